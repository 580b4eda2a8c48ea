// The upstream of the bench as a process of its own: answers from buffers made before the first request, and paces streams.
import { createServer, type ServerResponse } from 'node:http'
import { makeContent, makeContentFrames, makeMessage, makeMessageFrames } from './vendorWire.ts'
import { makeFrames, makeReply, vendorHeaders } from './wire.ts'
import { eventsPerStream, slowEvents } from './work.ts'

/** Streams "as fast as possible" are written in bursts, one per turn of the loop and stream: what a fast vendor's socket shows. */
const burst = 10

interface Open {
  response: ServerResponse
  frames: Buffer[]
  next: number
  due: number
  gap: number
}

const whole = {
  small: makeReply(820),
  cached: makeReply(820),
  large: makeReply(8192),
  claude: makeMessage(820),
  gemini: makeContent(820),
}
const jsonHeaders = (body: Buffer) => ({
  ...vendorHeaders,
  'content-type': 'application/json',
  'content-length': String(body.length),
})
const heads = {
  small: jsonHeaders(whole.small),
  cached: jsonHeaders(whole.cached),
  large: jsonHeaders(whole.large),
  claude: jsonHeaders(whole.claude),
  gemini: jsonHeaders(whole.gemini),
}
const streamHead = { ...vendorHeaders, 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' }

/** Each event as an HTTP chunk of its own, as vendors send them. */
const asChunk = (frame: Buffer) =>
  Buffer.concat([Buffer.from(`${frame.length.toString(16)}\r\n`), frame, Buffer.from('\r\n')])
const chunksOf = (count: number, usage: boolean) => makeFrames(count, usage).map(asChunk)
const joined = (chunks: Buffer[]): Buffer[] => {
  const bursts: Buffer[] = []
  for (let i = 0; i < chunks.length; i += burst) bursts.push(Buffer.concat(chunks.slice(i, i + burst)))
  return bursts
}
const single = { asked: chunksOf(eventsPerStream, true), unasked: chunksOf(eventsPerStream, false) }
const fast = { asked: joined(single.asked), unasked: joined(single.unasked) }
const translated = {
  'claude-fast': joined(makeMessageFrames(eventsPerStream).map(asChunk)),
  'gemini-fast': joined(makeContentFrames(eventsPerStream).map(asChunk)),
}
const slow = { asked: chunksOf(slowEvents, true), unasked: chunksOf(slowEvents, false) }

const open = new Set<Open>()
let ticker: NodeJS.Timeout | undefined

const server = createServer({ keepAliveTimeout: 600_000, requestTimeout: 0, noDelay: true }, (request, response) => {
  const lane = request.url?.split('/', 2)[1] ?? ''
  let asked = false
  request.on('data', (piece: Buffer) => {
    // The flag is near the end of a 1 KB body: one piece. Only streams look.
    if (!(lane in whole)) asked ||= piece.includes('"include_usage":true')
  })
  request.on('end', () => {
    if (lane in whole) {
      response.writeHead(200, heads[lane as keyof typeof whole])
      response.end(whole[lane as keyof typeof whole])
      return
    }
    response.writeHead(200, streamHead)
    response.flushHeaders()
    const kind = asked ? 'asked' : 'unasked'
    const now = performance.now()
    if (lane === 'fast') sendBursts(response, fast[kind], 0)
    else if (lane === 'claude-fast' || lane === 'gemini-fast') sendBursts(response, translated[lane], 0)
    else if (lane === 'paced') pace({ response, frames: single[kind], next: 0, due: now + 10, gap: 1 })
    else if (lane === 'slow') pace({ response, frames: slow[kind], next: 0, due: now, gap: 250 })
    else response.destroy()
  })
})

/** Frames go to the socket as ready-made chunks, past `response.write`, which would cost the upstream more than a gateway's relay. */
const sendBursts = (response: ServerResponse, bursts: Buffer[], at: number): void => {
  if (!response.socket || response.destroyed) return
  response.socket.write(bursts[at]!)
  if (at + 1 === bursts.length) response.end()
  else setImmediate(sendBursts, response, bursts, at + 1)
}

const pace = (stream: Open): void => {
  open.add(stream)
  stream.response.on('close', () => open.delete(stream))
  ticker ??= setInterval(tick, 1)
}

const tick = (): void => {
  const now = performance.now()
  for (const stream of open) {
    // A late timer sends what is due together, so that the stream's rate holds.
    while (stream.due <= now && stream.next < stream.frames.length) {
      stream.response.socket?.write(stream.frames[stream.next++]!)
      stream.due += stream.gap
    }
    if (stream.next === stream.frames.length) {
      open.delete(stream)
      stream.response.end()
    }
  }
  if (open.size === 0) {
    clearInterval(ticker)
    ticker = undefined
  }
}

server.listen(Number(process.argv[2]), '127.0.0.1', 4096)
process.on('SIGTERM', () => process.exit(0))
