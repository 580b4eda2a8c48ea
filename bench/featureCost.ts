// What each feature costs: everything on against everything but one, in paired rounds, as CPU µs per request with an interval.
import { parseArgs } from 'node:util'
import type { Running } from './contenders/contender.ts'
import { extras, type Feature, features } from './contenders/features.ts'
import { makeSwap, type Swap } from './contenders/swap.ts'
import { makeTurnout } from './contenders/turnout.ts'
import { buildChildren, buildProduct } from './folders.ts'
import { drivePeak } from './load/drive.ts'
import { pinSelf, readMachine } from './machine.ts'
import { warmUp } from './measure/peak.ts'
import { readCpu } from './measure/processes.ts'
import { median, middleInterval } from './measure/statistics.ts'
import { measureWindow } from './measure/window.ts'
import { showTable } from './report/terminal.ts'
import { checkWork, closeStage, openStage, type Stage, startContender } from './stage.ts'
import { type Work, works } from './work.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '16' },
    seconds: { type: 'string', default: '1' },
    work: { type: 'string', multiple: true, default: ['json'] },
    only: { type: 'string', multiple: true, default: [] },
    /** Minutes; as in the bench itself. */
    patient: { type: 'string' },
    build: { type: 'boolean', default: true },
  },
  allowNegative: true,
})
const rounds = Number(values.rounds)

interface Variant {
  name: string
  title: string
  with: readonly Feature[]
  without: readonly Feature[]
}

/** The first compares equals: what it shows is the noise that the others have to be read against. */
const variants: readonly Variant[] = [
  { name: 'nothing', title: 'the same twice: the noise', with: features, without: features },
  ...features.map((feature) => ({
    name: feature.name,
    title: feature.title,
    with: features,
    without: features.filter((other) => other !== feature),
  })),
  {
    name: 'keys+limits+budgets',
    title: 'these three together',
    with: features,
    without: features.filter(({ name }) => !['keys', 'limits', 'budgets'].includes(name)),
  },
  ...extras.map((extra) => ({
    name: extra.name,
    title: extra.title,
    with: [...features, extra],
    without: features,
  })),
  { name: 'all', title: 'everything against bare', with: features, without: [] },
].filter(({ name }) => values.only.length === 0 || values.only.includes(name))

/** A process, made to serve what one side of a comparison has on. Resolves to whether it was swapped for that. */
interface Side {
  readonly running: Running
  readonly ready: () => Promise<boolean>
}

/** CPU microseconds per request, or per event of a stream; undefined when the window is void. */
const measure = async (stage: Stage, { running, ready }: Side, work: Work): Promise<number | undefined> => {
  const drive = () => drivePeak(stage, running, work, Number(values.seconds))
  // What a new snapshot costs once is not the price of a request: what it reads of the ledger, and what the code meets for the first time.
  if (await ready()) {
    await waitForRest(running)
    await drive()
  }
  const window = await measureWindow(stage, running, drive)
  return window.void === undefined ? window.cpu! / window.load.completed / (work.events || 1) : undefined
}

/** Until the process has nothing to do, for ten seconds at most. */
const waitForRest = async ({ child }: Running): Promise<void> => {
  for (let i = 0; i < 50; i++) {
    const before = readCpu(child!.pid)
    await new Promise((resolve) => setTimeout(resolve, 200))
    if (readCpu(child!.pid) - before <= 10_000) return
  }
}

const measureVariant = async (
  stage: Stage,
  variant: Variant,
  sides: readonly Side[],
  work: Work,
): Promise<string[]> => {
  for (const side of [...sides].reverse()) if (await side.ready()) await warmUp(stage, side.running, work, 4)
  const pairs: { on: number; off: number }[] = []
  for (let round = 0; round < rounds; round++) {
    // The order alternates, so that a drift of the machine falls on both.
    const order = round % 2 === 0 ? [0, 1] : [1, 0]
    const figures: (number | undefined)[] = []
    for (const i of order) figures[i] = await measure(stage, sides[i]!, work)
    const [on, off] = figures
    if (on !== undefined && off !== undefined) pairs.push({ on, off })
  }
  if (pairs.length < 2) return [variant.name, '–', '–', '–', '–', `${pairs.length} of ${rounds}`, variant.title]
  const { middle, low, high } = middleInterval(pairs.map(({ on, off }) => on - off))
  const show = (micros: number) => micros.toFixed(2)
  return [
    variant.name,
    show(median(pairs.map(({ on }) => on))),
    show(median(pairs.map(({ off }) => off))),
    show(middle),
    `${show(low)} … ${show(high)}`,
    `${pairs.length} of ${rounds}`,
    variant.title,
  ]
}

const startWarm = async (stage: Stage, name: string, on: readonly Feature[], work: Work): Promise<Running> => {
  const { running } = await startContender(stage, makeTurnout(name, '', on))
  await checkWork(stage, running, work)
  await warmUp(stage, running, work, 12)
  return running
}

/**
 * All comparisons of one work. One process serves both sides, by swaps of its configuration: two processes that run the same differ by more
 * than most features cost, for as long as they live, by chance of their heaps and of what was compiled when. Where a feature is read
 * at the start there have to be two.
 */
const measureWork = async (stage: Stage, work: Work): Promise<string[][]> => {
  const rows: string[][] = []
  let swapped: { running: Running; swap: Swap } | undefined
  for (const variant of variants) {
    console.error(`${work.name}: ${variant.name} …`)
    const on = [variant.with, variant.without]
    if (on.flat().some(({ isFixed }) => isFixed)) {
      const two: Side[] = []
      for (const [i, name] of ['with', 'without'].entries())
        two.push({ running: await startWarm(stage, name, on[i]!, work), ready: async () => false })
      rows.push(await measureVariant(stage, variant, two, work))
      for (const { running } of two) await running.child!.stop()
    } else {
      if (!swapped) {
        const running = await startWarm(stage, 'swapped', features, work)
        swapped = { running, swap: makeSwap(running, features) }
      }
      const { running, swap } = swapped
      const sides = on.map((side) => ({ running, ready: () => swap(side) }))
      rows.push(await measureVariant(stage, variant, sides, work))
    }
  }
  if (swapped) await swapped.running.child!.stop()
  return rows
}

const main = async () => {
  if (values.build) buildProduct()
  await buildChildren()
  const machine = readMachine()
  pinSelf(machine)
  const stage = await openStage(machine, {
    seconds: values.patient === undefined ? 60 : Number(values.patient) * 60,
    waits: values.patient !== undefined,
  })
  try {
    for (const name of values.work) {
      const work = works.find((one) => one.name === name)
      if (!work) throw new Error(`--work ${name}: known are ${works.map((one) => one.name).join(', ')}`)
      const rows = await measureWork(stage, work)
      const unit = work.stream ? 'event' : 'request'
      const header = ['feature', 'with', 'without', 'cost', '95 % interval', 'pairs', '']
      const notes = ['An interval that holds 0 means: not seen with so many rounds.']
      console.log(showTable({ title: `${work.title}: CPU µs per ${unit}`, header, rows, notes }))
    }
  } finally {
    await closeStage(stage)
  }
}

main().catch((error: Error) => {
  console.error(error.message)
  process.exit(1)
})
