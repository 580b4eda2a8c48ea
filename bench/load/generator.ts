// The load generator as a process: raw sockets, every body checked, latency counted from the intended time of sending.
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { percentile } from '../measure/statistics.ts'
import { steady } from '../wire.ts'
import type { Job, LoadResult } from './job.ts'
import { nowMicros, startMetronome } from './metronome.ts'
import { makeReplyReader, type Reply } from './reply.ts'

const job = JSON.parse(process.argv[2]!) as Job
const body = readFileSync(job.bodyFile)
const expected = job.replyFile === undefined ? undefined : readFileSync(job.replyFile)
const expectedText = expected && job.varies ? steady(expected) : undefined
const head = Object.entries({
  host: `127.0.0.1:${job.port}`,
  'content-type': 'application/json',
  'content-length': String(body.length),
  ...job.headers,
}).map(([name, value]) => `${name}: ${value}\r\n`)
const request = Buffer.concat([Buffer.from(`POST ${job.path} HTTP/1.1\r\n${head.join('')}\r\n`), body])

const result: LoadResult = {
  completed: 0,
  wrong: 0,
  failures: {},
  seconds: 0,
  bytes: 0,
  latency: [],
  firstByte: [],
  lagP99: 0,
}
const lags: number[] = []

interface Connection {
  socket: Socket
  /** Intended time of the request under way. */
  intended: number
  first: number
  busy: boolean
}

const fail = (kind: string) => {
  result.wrong++
  result.failures[kind] = (result.failures[kind] ?? 0) + 1
}

/** Where replies have ids and times of a gateway's making, all else in them must be the expected. */
const judge = (reply: Reply): string | undefined => {
  if (reply.status !== 200) return `status ${reply.status}`
  if (reply.same) return undefined
  return reply.body && expectedText !== undefined && steady(reply.body) === expectedText ? undefined : 'another body'
}

const send = (connection: Connection, intended: number) => {
  connection.busy = true
  connection.intended = intended
  connection.first = 0
  connection.socket.write(request)
}

const dial = (onFree: (connection: Connection) => void): Promise<Connection> =>
  new Promise((resolve, reject) => {
    const socket = connect({ port: job.port, host: '127.0.0.1', noDelay: true })
    const connection: Connection = { socket, intended: 0, first: 0, busy: false }
    const read = makeReplyReader(
      expected,
      // Keeping bodies costs: most are judged as they come, by their bytes alone.
      job.varies,
      () => {
        connection.first = nowMicros()
        onFirst()
      },
      (reply) => {
        const now = nowMicros()
        connection.busy = false
        const wrong = judge(reply)
        if (wrong) fail(wrong)
        else {
          result.completed++
          if (connection.intended >= countedFrom) {
            result.latency.push(now - connection.intended)
            result.firstByte.push(connection.first - connection.intended)
          }
        }
        result.bytes += reply.bytes
        onFree(connection)
      },
    )
    socket.on('data', (piece) => {
      try {
        read(piece)
      } catch (error) {
        socket.destroy(error as Error)
      }
    })
    socket.on('error', reject)
    socket.on('close', () => {
      if (connection.busy) {
        connection.busy = false
        fail('connection lost')
        onLost()
      }
    })
    socket.on('connect', () => resolve(connection))
  })

let begun = 0
/** The end of the lead. */
let countedFrom = 0
let onFirst = () => {}
let onLost = () => {}

const dialAll = (onFree: (connection: Connection) => void) =>
  Promise.all(Array.from({ length: job.connections }, () => dial(onFree)))

const runClosed = async (): Promise<void> => {
  let sent = 0
  let active = job.connections
  let done = () => {}
  const finished = new Promise<void>((resolve) => (done = resolve))
  let end = Number.POSITIVE_INFINITY
  const next = (connection: Connection) => {
    const now = nowMicros()
    if (now < end && (job.requests === 0 || sent < job.requests) && !connection.socket.destroyed) {
      sent++
      send(connection, now)
    } else if (--active === 0) done()
  }
  onLost = () => {
    if (--active === 0) done()
  }
  const connections = await dialAll(next)
  begin()
  end = begun + job.seconds * 1e6
  for (const connection of connections) next(connection)
  await finished
}

const runOpen = async (): Promise<void> => {
  // Above 4,000 ticks a second several requests share a tick and its intended time.
  const perTick = Math.ceil(job.rate / 4000)
  const gap = (perTick * 1e6) / job.rate
  const ticks = Math.floor(((job.lead + job.seconds) * 1e6) / gap)
  let open = ticks * perTick
  let done = () => {}
  const finished = new Promise<void>((resolve) => (done = resolve))
  const waiting: number[] = []
  const onFree = (connection: Connection) => {
    const late = waiting.shift()
    if (late === undefined) free.push(connection)
    else send(connection, late)
    if (--open === 0) done()
  }
  onLost = () => {
    if (--open === 0) done()
  }
  const free = await dialAll(onFree)
  begin()
  const start = nowMicros() + 20_000
  countedFrom = start + job.lead * 1e6
  let ticked = 0
  const metronome = startMetronome({ start, gap, ticks }, () => {
    const intended = start + ticked++ * gap
    if (intended >= countedFrom) lags.push(nowMicros() - intended)
    for (let i = 0; i < perTick; i++) {
      const connection = free.pop()
      if (connection) send(connection, intended)
      else waiting.push(intended)
    }
  })
  await Promise.race([
    finished,
    new Promise((resolve) => setTimeout(resolve, (job.lead + job.seconds) * 1000 + 10_000)),
  ])
  if (open > 0) for (let i = 0; i < open; i++) fail('no reply in time')
  await metronome.terminate()
}

const runHold = async (): Promise<void> => {
  let active = job.connections
  let waiting = job.connections
  let done = () => {}
  const finished = new Promise<void>((resolve) => (done = resolve))
  onFirst = () => {
    if (--waiting === 0) console.log('held')
  }
  const end = () => {
    if (--active === 0) done()
  }
  onLost = end
  const connections = await dialAll(end)
  begin()
  for (const connection of connections) send(connection, nowMicros())
  await finished
}

const begin = () => {
  begun = nowMicros()
  console.log('begin')
}

await (job.mode === 'open' ? runOpen() : job.mode === 'hold' ? runHold() : runClosed())
result.seconds = (nowMicros() - begun) / 1e6
result.lagP99 = lags.length > 0 ? percentile(lags, 0.99) : 0
process.stdout.write(`result ${JSON.stringify(result)}\n`, () => process.exit(0))
