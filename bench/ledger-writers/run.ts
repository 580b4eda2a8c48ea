// Compares the two writers of the ledger under the same load: CPU of the whole process a request, and the latency of both commits.
//
//   npx tsx bench/ledger-writers/run.ts [seconds a run] [rounds]
//
// Each round runs: no ledger, main thread, worker thread, in changing order, at fixed rates and as fast as 64 connections go.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { type LedgerMode, openLedger } from '../../src/store/ledger.ts'
import { openStore } from '../../src/store/open.ts'
import { attemptRow, intentOf, requestRow } from '../../test/support/ledgerRows.ts'
import { openWorkerLedger } from './workerLedger.ts'

type Kind = 'none' | 'main' | 'worker' | 'main-power' | 'main-relaxed'
interface Result {
  kind: Kind
  load: string
  requests: number
  perSecond: number
  cpu: number
  perCommit: number
  intentP50: number
  intentP99: number
  settleP50: number
  settleP99: number
  lagP99: number
  lagMax: number
}

const seconds = Number(process.argv[2] ?? 4)
const rounds = Number(process.argv[3] ?? 5)
const connections = 64

async function main(): Promise<void> {
  const echo = fork(fileURLToPath(new URL('./echo.mjs', import.meta.url)), ['20'])
  const [port] = (await once(echo, 'message')) as [number]
  const results: Result[] = []
  const kinds: Kind[] = ['none', 'main', 'worker', 'main-power', 'main-relaxed']
  for (let round = 0; round < rounds; round++) {
    for (const rate of [200, 1000, 0]) {
      const order = round % 2 === 0 ? kinds : kinds.toReversed()
      for (const kind of order) results.push(await measure(kind, port, rate))
    }
  }
  echo.disconnect()
  report(results)
}

async function openKind(kind: Kind, file: string) {
  const store = openStore({ file })
  if (kind === 'worker') {
    const ledger = openWorkerLedger(store)
    return { ledger, commits: ledger.commits, close: () => ledger.close().then(store.close) }
  }
  const mode: LedgerMode = kind === 'main-power' ? 'power' : kind === 'main-relaxed' ? 'relaxed' : 'process'
  const ledger = openLedger(store, { mode })
  // Its thread starts with the first thing to do: now, so that the loading of sources is not part of what is measured.
  await ledger.keeper.checkpoint()
  return { ledger, commits: () => ledger.stats.commits, close: () => ledger.close().then(store.close) }
}

async function measure(kind: Kind, port: number, rate: number): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-bench-'))
  const { ledger, commits, close } = await openKind(kind, join(folder, 'turnout.db'))
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(port)))
  const intents: number[] = []
  const settles: number[] = []
  let requests = 0

  async function one(socket: Socket): Promise<void> {
    const id = ledger.nextRequestId()
    const start = performance.now()
    if (kind !== 'none') await ledger.intend(intentOf(id))
    const sent = performance.now()
    socket.write(payload)
    await once(socket, 'data')
    const answered = performance.now()
    if (kind !== 'none') await ledger.settle(requestRow(id), [attemptRow(id)])
    intents.push(sent - start)
    settles.push(performance.now() - answered)
    requests++
  }

  const run = (time: number): Promise<unknown> =>
    rate === 0 ? drive(sockets, time, one) : pace(sockets, time, rate, one)
  await run(700)
  intents.length = 0
  settles.length = 0
  requests = 0
  const commitsBefore = commits()
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const cpu = process.cpuUsage()
  const start = performance.now()
  await run(seconds * 1000)
  const used = process.cpuUsage(cpu)
  const time = performance.now() - start
  delay.disable()
  for (const socket of sockets) socket.destroy()
  const made = commits() - commitsBefore
  await close()
  rmSync(folder, { recursive: true })
  return {
    kind,
    load: rate === 0 ? 'full' : `${rate}/s`,
    requests,
    perSecond: requests / (time / 1000),
    cpu: (used.user + used.system) / requests,
    perCommit: made === 0 ? 0 : (2 * requests) / made,
    intentP50: quantile(intents, 0.5),
    intentP99: quantile(intents, 0.99),
    settleP50: quantile(settles, 0.5),
    settleP99: quantile(settles, 0.99),
    lagP99: delay.percentile(99) / 1e6,
    lagMax: delay.max / 1e6,
  }
}

const payload = Buffer.alloc(1024, 97)

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  return socket
}

/** As fast as the connections go, one request on each at a time. */
async function drive(sockets: Socket[], time: number, one: (socket: Socket) => Promise<void>): Promise<void> {
  const end = performance.now() + time
  await Promise.all(
    sockets.map(async (socket) => {
      while (performance.now() < end) await one(socket)
    }),
  )
}

/** At a fixed mean rate with exponential gaps, as strangers' requests come. */
async function pace(
  sockets: Socket[],
  time: number,
  rate: number,
  one: (socket: Socket) => Promise<void>,
): Promise<void> {
  const free = [...sockets]
  const running = new Set<Promise<void>>()
  const end = performance.now() + time
  let next = performance.now()
  while (performance.now() < end) {
    while (next <= performance.now()) {
      next += (-Math.log(1 - Math.random()) * 1000) / rate
      const socket = free.pop()
      if (!socket) continue
      const request: Promise<void> = one(socket).then(() => {
        free.push(socket)
        running.delete(request)
      })
      running.add(request)
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await Promise.all(running)
}

function quantile(values: number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0
}

/** Medians over the rounds; CPU of the ledger = that of a run less that of the run without one in the same round. */
function report(results: Result[]): void {
  const lines = [
    '| load | writer | req/s | rows a commit | ledger CPU, µs a request (range) | intent p50 / p99, ms | settle p50 / p99, ms | loop lag p99 / max, ms |',
    '|---|---|---|---|---|---|---|---|',
  ]
  for (const load of ['200/s', '1000/s', 'full']) {
    const none = results.filter((one) => one.kind === 'none' && one.load === load)
    for (const kind of ['none', 'main', 'worker', 'main-power', 'main-relaxed'] as const) {
      const own = results.filter((one) => one.kind === kind && one.load === load)
      const cpus = own.map((one, round) => one.cpu - (kind === 'none' ? 0 : (none[round]?.cpu ?? 0)))
      const of = (key: keyof Result): string =>
        quantile(
          own.map((one) => one[key] as number),
          0.5,
        ).toFixed(3)
      lines.push(
        `| ${load} | ${kind} | ${Number(of('perSecond')).toFixed(0)} | ${Number(of('perCommit')).toFixed(1)} | ${quantile(cpus, 0.5).toFixed(1)} (${Math.min(...cpus).toFixed(1)}–${Math.max(...cpus).toFixed(1)}) | ${of('intentP50')} / ${of('intentP99')} | ${of('settleP50')} / ${of('settleP99')} | ${of('lagP99')} / ${of('lagMax')} |`,
      )
    }
  }
  console.log(lines.join('\n'))
  writeFileSync(join(tmpdir(), 'ledger-writers.json'), JSON.stringify(results))
}

await main()
