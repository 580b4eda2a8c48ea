// Round after round on one database: start the gateway, load it, kill it, start it again, and compare all that is known.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { formatUsd } from '../../../src/pricing/decimal.ts'
import { type Simulator, startSimulator } from '../../../src/simulator/index.ts'
import { Dice, digest } from '../../../src/simulator/random.ts'
import { hashUser, loadSecret } from '../../../src/store/secret.ts'
import { type Build, buildTurnout } from './build.ts'
import { compare, type Findings, noFindings } from './compare.ts'
import { type DbLock, lockDatabase } from './dbLock.ts'
import { countOpen, readRows, verifyFile } from './rows.ts'
import { type Server, spawnServer, startServer } from './server.ts'
import { askAny, configFor, type LedgerMode, openAgent, type Sighting, scripts } from './traffic.ts'

export interface CrashOptions {
  rounds: number
  /** The same seed gives the same traffic and the same moments, as far as the machine keeps time. */
  seed: number
  /** The program to kill; the sources as they are where it is absent. */
  build?: Build | undefined
  /** Told of each round. */
  onRound?: ((round: number, mode: LedgerMode, found: Findings) => void) | undefined
}

export interface CrashReport extends Findings {
  readonly seed: number
  readonly rounds: Record<LedgerMode, number>
  /** How often each kind of moment was chosen. */
  readonly moments: Record<Moment, number>
  /** Starts that were killed before or while they settled what the run before had left. */
  deadStarts: number
  readonly wrongRounds: number[]
  seconds: number
}

/**
 * When the gateway is killed: after a time; as soon as so many replies were whole, pieces seen, or calls begun; or while another program
 * holds the database. Then nothing can be written, so that whatever is sent or released without its row is seen for certain.
 */
type Moment = 'time' | 'whole' | 'piece' | 'call' | 'lock'
const moments: readonly Moment[] = ['time', 'whole', 'piece', 'call', 'lock']

const clients = 16
/** Below what the simulator remembers, retries included. */
const maxRequests = 500
/** What `relaxed` may lose is 50 ms; on a machine that is busy with other things the timer comes late. */
const relaxedSlack = 2_500

/** Most rounds are in the default mode. */
function modeOf(round: number): LedgerMode {
  if (round % 8 === 3) return 'power'
  return round % 8 === 6 ? 'relaxed' : 'process'
}

/** Never rejects for what it finds: that is in the report. */
export async function runRounds({ rounds, seed, build, onRound }: CrashOptions): Promise<CrashReport> {
  const begin = performance.now()
  const report: CrashReport = {
    ...noFindings(),
    seed,
    rounds: { process: 0, power: 0, relaxed: 0 },
    moments: { time: 0, whole: 0, piece: 0, call: 0, lock: 0 },
    deadStarts: 0,
    wrongRounds: [],
    seconds: 0,
  }
  const ring = await openRing(build ?? buildTurnout())
  try {
    for (let round = 1; round <= rounds; round++) {
      const mode = modeOf(round)
      const dice = new Dice(digest('crash', seed, round))
      const moment = mode === 'relaxed' ? 'time' : (moments[round % moments.length] as Moment)
      const found = await ring.round({ mode, moment, next: modeOf(round + 1), dice, report })
      // Reading all of it is for the end, and for some rounds between.
      if (round % 10 === 0 || round === rounds) found.wrong.push(...ring.verify())
      report.rounds[mode]++
      if (found.wrong.length > 0) report.wrongRounds.push(round)
      add(report, found, round)
      onRound?.(round, mode, found)
    }
  } finally {
    await ring.close()
  }
  report.seconds = (performance.now() - begin) / 1000
  return report
}

interface Round {
  mode: LedgerMode
  moment: Moment
  /** Mode of the gateway that is started at the end, which is the next round's. */
  next: LedgerMode
  dice: Dice
  report: CrashReport
}

interface Ring {
  round(round: Round): Promise<Findings>
  /** What `turnout ledger verify` says of the whole file, in words. */
  verify(): string[]
  close(): Promise<void>
}

async function openRing(build: Build): Promise<Ring> {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-rounds-'))
  const file = join(folder, 'turnout.db')
  const config = join(folder, 'turnout.yaml')
  const simulator = await startSimulator({ scripts, keepBodies: true })
  const options = { build, folder, config }
  let server: Server | undefined
  let last = 0

  const configure = (mode: LedgerMode): void => writeFileSync(config, configFor(simulator.url, folder, { mode }))

  return {
    async round({ mode, moment, next, dice, report }) {
      simulator.reset()
      report.moments[moment]++
      if (!server) configure(mode)
      server ??= await startServer(options)
      const { sightings, killed, lock } = await loadAndKill(server, { simulator, file, mode, moment, dice })
      server = undefined
      await simulatorIsQuiet(simulator)
      const calls = simulator.calls
      configure(next)
      if (dice.next() < 0.2) {
        // Also who cleans up may die at it.
        const dead = spawnServer(options)
        await pause(dice.between(100, 900))
        await dead.kill()
        report.deadStarts++
      }
      server = await startServer(options)
      lock?.close()
      const rows = readRows(file, last)
      last = rows.last
      const secret = loadSecret(folder, {})
      const forgiven =
        mode === 'relaxed'
          ? { monotonic: killed.monotonic - relaxedSlack, unix: killed.unix - relaxedSlack }
          : undefined
      const found = compare({ sightings, calls, rows, hash: (user) => hashUser(secret, user), forgiven })
      const open = countOpen(file)
      if (open > 0) found.wrong.push(`${open} calls of a dead run are open after the next start`)
      return found
    },
    verify() {
      const { ok, counts, problems } = verifyFile(file)
      return ok
        ? []
        : [
            `verify: ${JSON.stringify(counts)} ${problems
              .slice(0, 3)
              .map(({ text }) => text)
              .join('; ')}`,
          ]
    },
    async close() {
      await server?.kill()
      await simulator.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

interface Loaded {
  sightings: Sighting[]
  killed: { monotonic: number; unix: number }
  /** Released, and to be closed. */
  lock: DbLock | undefined
}

interface Kill {
  simulator: Simulator
  file: string
  mode: LedgerMode
  moment: Moment
  dice: Dice
}

async function loadAndKill(server: Server, { simulator, file, mode, moment, dice }: Kill): Promise<Loaded> {
  const agent = openAgent(clients)
  const sightings: Sighting[] = []
  // In `relaxed` older rows are to be told from newer ones, so that the load has to last.
  const isLong = mode === 'relaxed'
  let count = dice.between(1, { time: 1, whole: 120, piece: 600, call: 150, lock: 1 }[moment])
  let over = false
  let asked = 0
  let strike = (): void => {}
  const struck = new Promise<void>((resolve) => {
    strike = resolve
  })
  const step = (what: Moment): void => {
    if (what === moment && --count === 0) strike()
  }
  if (moment === 'call') void countCalls(simulator, count, strike)
  const client = async (): Promise<void> => {
    while (!over && asked < maxRequests) {
      asked++
      const sighting = await askAny(agent, {
        url: server.url,
        dice,
        onPiece: () => step('piece'),
        onSeen: ({ seen }) => seen === 'whole' && step('whole'),
      })
      sightings.push(sighting)
      if (isLong) await pause(60)
    }
  }
  const load = Promise.all(Array.from({ length: isLong ? 8 : clients }, client))
  // The load ends by itself where so many requests do not come to the moment that was chosen.
  let lock: DbLock | undefined
  if (moment === 'time') await pause(isLong ? dice.between(3_200, 3_500) : dice.between(20, 500))
  else if (moment === 'lock') {
    await pause(dice.between(20, 300))
    lock = await lockDatabase(file)
    await pause(dice.between(20, 200))
  } else await Promise.race([struck, load])
  const killed = { monotonic: performance.now(), unix: Date.now() }
  over = true
  await server.kill()
  lock?.release()
  await load
  await agent.destroy()
  return { sightings, killed, lock }
}

async function countCalls(simulator: Simulator, count: number, strike: () => void): Promise<void> {
  await simulator.waitFor(({ n }) => n >= count, 60_000).then(strike, () => {})
}

/** The vendor has learnt that the gateway is gone. */
async function simulatorIsQuiet(simulator: Simulator): Promise<void> {
  if (simulator.totals().running > 0) await simulator.waitFor(() => simulator.totals().running === 0, 60_000)
}

function add(report: CrashReport, found: Findings, round: number): void {
  for (const text of found.wrong) report.wrong.push(`round ${round}: ${text}`)
  report.requests += found.requests
  report.whole += found.whole
  report.refused += found.refused
  report.cut += found.cut
  report.calls += found.calls
  report.rows += found.rows
  report.attempts += found.attempts
  report.orphans += found.orphans
  report.lost += found.lost
  report.exactCost += found.exactCost
  report.exactBill += found.exactBill
  report.estimatedCost += found.estimatedCost
}

/** The report in a few lines. */
export function describeReport(report: CrashReport): string {
  const { rounds, moments: chosen } = report
  const total = rounds.process + rounds.power + rounds.relaxed
  const parts = (record: Record<string, number>): string =>
    Object.entries(record)
      .map(([name, number]) => `${number} ${name}`)
      .join(', ')
  return [
    `${total} rounds (${parts(rounds)}) in ${report.seconds.toFixed(0)} s, seed ${report.seed}`,
    `killed by ${parts(chosen)}; ${report.deadStarts} of the next starts were killed, too`,
    `clients saw ${report.requests} requests: ${report.whole} whole, ${report.refused} refused, ${report.cut} cut`,
    `the vendor had ${report.calls} calls; the ledger has ${report.rows} requests, ${report.attempts} upstream calls, ${report.orphans} of them settled by estimate after a death`,
    `exact rows ${formatUsd(report.exactCost)} USD, the vendor's bill for them ${formatUsd(report.exactBill)} USD; estimates ${formatUsd(report.estimatedCost)} USD`,
    `relaxed: ${report.lost} requests without a settled row in the last ${relaxedSlack} ms before the kill`,
    report.wrong.length === 0
      ? 'all agree'
      : `${report.wrong.length} faults in rounds ${report.wrongRounds.join(', ')}`,
  ].join('\n')
}
