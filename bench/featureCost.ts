// What each feature costs: everything on against everything but one, in paired rounds, as CPU µs per request with an interval.
import { parseArgs } from 'node:util'
import type { Contender, Running } from './contenders/contender.ts'
import { extras, type Feature, features } from './contenders/features.ts'
import { makeTurnout } from './contenders/turnout.ts'
import { buildChildren, buildProduct } from './folders.ts'
import { drivePeak } from './load/drive.ts'
import { pinSelf, readMachine } from './machine.ts'
import { warmUp } from './measure/peak.ts'
import { meanInterval, median } from './measure/statistics.ts'
import { measureWindow } from './measure/window.ts'
import { showTable } from './report/terminal.ts'
import { checkWork, closeStage, openStage, type Stage, startContender } from './stage.ts'
import { type Work, works } from './work.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
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

/** The first is a pair of equals: what it shows is the noise that the others have to be read against. */
const variants: readonly Variant[] = [
  { name: 'nothing', title: 'two equal processes: the noise', with: features, without: features },
  ...features.map((feature) => ({
    name: feature.name,
    title: feature.title,
    with: features,
    without: features.filter((other) => other !== feature),
  })),
  ...extras.map((extra) => ({
    name: extra.name,
    title: extra.title,
    with: [...features, extra],
    without: features,
  })),
  { name: 'all', title: 'everything against bare', with: features, without: [] },
].filter(({ name }) => values.only.length === 0 || values.only.includes(name))

/** CPU microseconds per request, or per event of a stream; undefined when the window is void. */
const measure = async (stage: Stage, running: Running, work: Work): Promise<number | undefined> => {
  const window = await measureWindow(stage, running, () => drivePeak(stage, running, work, Number(values.seconds)))
  return window.void === undefined ? window.cpu! / window.load.completed / (work.events || 1) : undefined
}

const measureVariant = async (stage: Stage, variant: Variant, work: Work): Promise<string[]> => {
  const contenders: Contender[] = [makeTurnout('with', '', variant.with), makeTurnout('without', '', variant.without)]
  const running: Running[] = []
  for (const contender of contenders) running.push((await startContender(stage, contender)).running)
  for (const one of running) {
    await checkWork(stage, one, work)
    await warmUp(stage, one, work, 12)
  }
  const pairs: { on: number; off: number }[] = []
  for (let round = 0; round < rounds; round++) {
    // The order alternates, so that a drift of the machine falls on both.
    const order = round % 2 === 0 ? [0, 1] : [1, 0]
    const figures: (number | undefined)[] = []
    for (const i of order) figures[i] = await measure(stage, running[i]!, work)
    const [on, off] = figures
    if (on !== undefined && off !== undefined) pairs.push({ on, off })
  }
  for (const one of running) await one.child!.stop()
  if (pairs.length < 2) return [variant.name, '–', '–', '–', '–', `${pairs.length} of ${rounds}`, variant.title]
  const { mean, low, high } = meanInterval(pairs.map(({ on, off }) => on - off))
  const show = (micros: number) => micros.toFixed(2)
  return [
    variant.name,
    show(median(pairs.map(({ on }) => on))),
    show(median(pairs.map(({ off }) => off))),
    show(mean),
    `${show(low)} … ${show(high)}`,
    `${pairs.length} of ${rounds}`,
    variant.title,
  ]
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
      const rows: string[][] = []
      for (const variant of variants) {
        console.error(`${work.name}: ${variant.name} …`)
        rows.push(await measureVariant(stage, variant, work))
      }
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
