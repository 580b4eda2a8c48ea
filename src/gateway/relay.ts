// Sends a good reply to the client: a whole one at once, a stream as it comes. The ending waits until the request is settled.
import { Refusal, type UpstreamFault } from '../dialects/errors.ts'
import { formatUsd } from '../pricing/decimal.ts'
import type { HistogramRow } from '../telemetry/families.ts'
import type { Good } from './attempt.ts'
import { asksForCost, type Call, ClientGone, isAbandoned, isHeard, overheadOf } from './call.ts'
import { costLine } from './costHeaders.ts'
import { passedHeaders, writeHead } from './headers.ts'
import { breakOff, withoutSecrets } from './refuse.ts'
import { costOf } from './settle.ts'

export type Settle = (call: Call) => Promise<void> | undefined

/**
 * @param gaps where the times between the pieces of a stream are observed, in seconds
 * @throws ClientGone when the client left before the end
 */
export async function relay(call: Call, good: Good, settle: Settle, gaps: HistogramRow): Promise<void> {
  if (good.exchange.stream) await relayStream(call, good, settle, gaps)
  else await relayWhole(call, good, settle)
}

async function relayWhole(call: Call, good: Good, settle: Settle): Promise<void> {
  const { res } = call
  const { exchange } = good
  call.status = exchange.status
  call.outcome = 'ok'
  call.firstTokenAt = performance.now()
  const settled = settle(call)
  if (settled) await settled
  const type = contentType(call, exchange.headers)
  call.cache?.flight?.land(good, type, [exchange.body!])
  if (call.gone) throw new ClientGone()
  if (call.background) return
  const { stream } = call.inspected!.ask
  const body = wantsCost(call) ? withCost(call, exchange.body!, stream) : exchange.body!
  const overhead = overheadOf(call, performance.now())
  const headers = passedHeaders(exchange.headers, call)
  headers.push('content-type', type, 'content-length', String(body.length))
  writeHead(call, exchange.status, headers, costLine(call) + overheadLine(overhead))
  res.end(body)
}

function relayStream(call: Call, good: Good, settle: Settle, gaps: HistogramRow): Promise<void> {
  const { res } = call
  const { exchange, attempt } = good
  const stream = exchange.stream!
  const flight = call.cache?.flight
  const type = contentType(call, exchange.headers)
  call.status = exchange.status
  if (isHeard(call))
    writeHead(call, exchange.status, [
      ...passedHeaders({ ...exchange.headers, 'cache-control': undefined }, call),
      'content-type',
      type,
      'cache-control',
      'no-cache',
      'x-accel-buffering',
      'no',
    ])
  flight?.begin(type, stream.facts, attempt)
  return new Promise((resolve, reject) => {
    let waiting = false
    let told = 0
    let toldAt = 0
    /** The upstream goes on when neither the client nor one that shares the stream holds it back. */
    const goOn = (): void => {
      if (!waiting && !flight?.congested) exchange.resume()
    }
    const resume = (): void => {
      waiting = false
      goOn()
    }
    // Others may wait for what a client that has gone does not take any more.
    if (flight) res.once('close', () => waiting && resume())
    const send = (): void => {
      if (stream.progress !== told) {
        told = stream.progress
        const now = performance.now()
        if (toldAt > 0) gaps.observe((now - toldAt) / 1000)
        toldAt = now
      }
      if (call.firstTokenAt === undefined && stream.good) call.firstTokenAt = performance.now()
      flight?.push(stream.ready)
      if (flight?.congested) {
        exchange.pause()
        flight.onRoom = goOn
      }
      if (writeAll(call, stream.ready) || waiting || flight?.runsAhead) return
      waiting = true
      exchange.pause()
      res.once('drain', resume)
    }
    const end = async (broken: UpstreamFault | undefined): Promise<void> => {
      let fault: UpstreamFault | Refusal | undefined = broken
      clearTimeout(exchange.deadline)
      attempt.endedAt = performance.now()
      attempt.heldBackMs = exchange.heldBackMs
      attempt.facts = stream.facts
      attempt.fault = broken
      attempt.firstTokenAt ??= call.firstTokenAt
      call.error = broken
      call.outcome = broken ? 'partial' : 'ok'
      send()
      try {
        await settle(call)
      } catch (error) {
        // What is not on record is not complete.
        if (!(error instanceof Refusal)) throw error
        fault = error
      }
      if (fault) flight?.break(fault)
      else flight?.land(good, type, stream.held)
      if (call.gone) throw new ClientGone()
      if (call.background) return
      if (broken && fault === broken && stream.errorFrame) {
        writeAll(call, stream.held)
        res.end(withoutSecrets(call, stream.errorFrame))
      } else if (fault) breakOff(call, fault)
      else {
        if (wantsCost(call)) stream.held.splice(0, Infinity, withCost(call, Buffer.concat(stream.held), true))
        writeAll(call, stream.held)
        res.end()
      }
    }
    call.onGone = () => {
      clearTimeout(exchange.deadline)
      exchange.abort()
      attempt.endedAt = performance.now()
      attempt.facts = stream.facts
      reject(new ClientGone())
    }
    if (isAbandoned(call)) return call.onGone()
    exchange.onBytes = send
    exchange.onFinished = (fault) => void end(fault).then(resolve, reject)
    if (exchange.ended) exchange.onFinished(exchange.fault)
    else send()
  })
}

export const wantsCost = (call: Call): boolean => call.route!.usageCost || asksForCost(call)

export const withCost = (call: Call, ending: Buffer, stream: boolean): Buffer => {
  const nano = costOf(call)
  const bill = call.attempts.at(-1)?.bill
  return call.dialect.inbound!.addCost(ending, stream, {
    usd: nano === null ? undefined : formatUsd(nano),
    source: bill?.priceSource,
    version: bill?.priceVersion,
    attempts: call.attempts.length,
  })
}

export const overheadLine = (ms: number): string => `x-turnout-overhead-ms: ${ms.toFixed(3)}\r\n`

/** Writes and empties the list. False when the client's buffer is full. */
function writeAll(call: Call, pieces: Buffer[]): boolean {
  let room = true
  if (isHeard(call)) for (const piece of pieces) room = call.res.write(piece)
  pieces.length = 0
  return room
}

/**
 * The upstream's own word where its bytes pass and are what it says, ours elsewhere: SDKs hand out as text what is not called JSON, and
 * some servers call it `text/plain`, or `Application/JSON`, which the SDKs do not know.
 */
function contentType(call: Call, headers: Readonly<Record<string, string | string[] | undefined>>): string {
  const { stream } = call.inspected!.ask
  const value = headers['content-type']
  const isWhatItIs = stream ? /^text\/event-stream/ : /^application\/(?:[\w.+-]+\+)?json\b/
  const passes = call.attempts.at(-1)!.lane === 'identity' && typeof value === 'string' && isWhatItIs.test(value)
  if (passes && /^[\x20-\x7e]+$/.test(value)) return value
  return stream ? 'text/event-stream; charset=utf-8' : 'application/json'
}
