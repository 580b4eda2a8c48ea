// The bench's command: starts all contenders, measures them in turn, prints the table and writes the results.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Arguments, readArguments, usage } from './arguments.ts'
import type { Contender, Running } from './contenders/contender.ts'
import { direct, nginx, portkey, relay } from './contenders/peers.ts'
import { entry, turnout, turnoutBare } from './contenders/turnout.ts'
import type { Figures } from './figures.ts'
import { benchFolder, buildChildren, buildProduct, installPeers } from './folders.ts'
import { type Machine, pinSelf, readMachine } from './machine.ts'
import { measureLatency } from './measure/latency.ts'
import { measureMemory, measureStart } from './measure/memory.ts'
import { measurePeaks } from './measure/peak.ts'
import { median } from './measure/statistics.ts'
import { makePlan, orientation, type Plan } from './plan.ts'
import { writeMarkdown } from './report/markdown.ts'
import { printTables } from './report/terminal.ts'
import { checkWork, closeStage, openStage, type Stage, startContender, takesPart } from './stage.ts'
import { works } from './work.ts'

const all: readonly Contender[] = [direct, relay, turnout, turnoutBare, portkey, nginx]

/** Who takes part: all that the machine has, narrowed by `--only`; direct and relay always. */
const chooseContenders = (
  machine: Machine,
  { only, set }: Arguments,
): { chosen: Contender[]; absent: Record<string, string> } => {
  const absent: Record<string, string> = {}
  if (!machine.nginx) absent.nginx = 'nginx is not installed'
  else if (set === 'quick') absent.nginx = 'left out of the quick set'
  if (!existsSync(entry)) absent.turnout = absent['turnout-bare'] = 'dist/ is not built'
  const named = all.filter(({ name }) => only.includes(name))
  const wanted = named.length > 0 ? all.filter((one) => one === direct || one === relay || named.includes(one)) : all
  return { chosen: wanted.filter(({ name }) => !(name in absent)), absent }
}

const tell = (text: string) => console.error(`${new Date().toISOString().slice(11, 19)}  ${text}`)

type Measured = Pick<Figures, 'start' | 'memory' | 'peak' | 'latency'>

/** Measures everything of a plan on an open stage, into lists that are good for a report at any time. */
const measureAll = async (stage: Stage, contenders: readonly Contender[], plan: Plan, measured: Measured) => {
  const gateways = contenders.filter((contender) => contender !== direct)
  const isPeer = ({ name }: Contender) => orientation.includes(name)
  for (const contender of gateways)
    measured.start.push(await measureStart(stage, contender, isPeer(contender) ? 1 : plan.starts))
  tell('start-up measured')
  if (plan.waves > 0) {
    const holders = gateways.filter((contender) => contender !== nginx)
    // Flatness is asked of ours.
    const wavesOf = (contender: Contender) => (contender === turnout ? plan.waves : 1)
    measured.memory.push(...(await measureMemory(stage, holders, wavesOf)))
    tell('memory measured')
  }
  const running: Running[] = []
  for (const contender of contenders) running.push((await startContender(stage, contender)).running)
  // The identity lane's twin of a hub work is measured beside it, also where it was not asked for by name.
  const twins = works.filter(({ name }) => plan.works.some(({ hub }) => hub?.twin === name))
  for (const work of new Set([...plan.works, ...twins])) {
    for (const one of running) if (takesPart(one.contender, work)) await checkWork(stage, one, work)
  }
  tell('all contenders answer all works with the right words')
  await measurePeaks(stage, running, plan, tell, (rows) => measured.peak.splice(0, Infinity, ...rows))
  for (const work of plan.works) {
    if (!plan.latencyWorks.includes(work.name)) continue
    const rows = measured.peak.filter((row) => row.work === work.name)
    measured.latency.push(...(await measureLatency(stage, running, work, peaksOf(rows), plan, tell)))
  }
  // A rollout that its guards have ended meanwhile, say, was not measured to the end.
  for (const work of plan.works)
    for (const one of running)
      if (one.contender.detour && takesPart(one.contender, work)) await checkWork(stage, one, work)
}

/** Requests a second by contender, for those whose latency is measured: half of nginx's peak is more than the generator can send. */
const peaksOf = (rows: Figures['peak']): Map<string, number> =>
  new Map(
    rows
      .filter((row) => row.rounds > 0 && row.contender !== 'nginx')
      .map((row) => [row.contender, median(row.perSecond)]),
  )

const main = async (): Promise<void> => {
  const options = readArguments(process.argv.slice(2))
  if (options === 'help') return console.log(usage)
  const begun = performance.now()
  const known = [...all, ...works].map(({ name }) => name)
  const unknown = options.only.find((name) => !known.includes(name))
  if (unknown !== undefined) throw new Error(`--only ${unknown}: known are ${known.join(', ')}`)
  installPeers()
  if (options.build) buildProduct()
  await buildChildren()
  const machine = readMachine()
  pinSelf(machine)
  const { chosen, absent } = chooseContenders(machine, options)
  const plan = makePlan(options.set, options.only, options.passes)
  const patience = { seconds: options.patience ?? plan.repeats }
  const stage = await openStage(machine, patience)
  const measured: Measured = { start: [], memory: [], peak: [], latency: [] }
  const report = (): Figures => ({
    machine,
    command: ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' '),
    upstreams: stage.upstreamNames,
    seconds: (performance.now() - begun) / 1000,
    absent,
    ...measured,
  })
  try {
    await measureAll(stage, chosen, plan, measured)
    if (options.results && !('turnout' in absent))
      writeFileSync(join(benchFolder, 'RESULTS.md'), writeMarkdown(report()))
  } finally {
    // What a failed run did measure is shown all the same.
    printTables(report())
    if (options.json) writeFileSync(options.json, `${JSON.stringify(report(), null, 2)}\n`)
    await closeStage(stage)
  }
}

main().catch((error: Error) => {
  console.error(error.message)
  process.exit(1)
})
