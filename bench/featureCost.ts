// What each feature costs: everything on against everything but one, slice by slice, as CPU µs per request with an interval.
import { parseArgs } from 'node:util'
import { product, startPair } from './contenders/pair.ts'
import { buildChildren, buildProduct } from './folders.ts'
import { drivePeak } from './load/drive.ts'
import { pinSelf, readMachine } from './machine.ts'
import { measureSlices, type Slices } from './measure/slices.ts'
import { median, middleInterval } from './measure/statistics.ts'
import { showTable } from './report/terminal.ts'
import { checkWork, closeStage, makeGrounds, openStage, type Stage, waitForAnswer } from './stage.ts'
import { sinceThen, type Variant, variants } from './variants.ts'
import { type Work, works } from './work.ts'

const { values } = parseArgs({
  options: {
    /** Of each process, after its warm-up. */
    seconds: { type: 'string', default: '20' },
    /** Of load for each of the two gateways, before they are measured. */
    warm: { type: 'string', default: '15' },
    /** Of each comparison. */
    processes: { type: 'string', default: '3' },
    work: { type: 'string', multiple: true, default: ['json'] },
    only: { type: 'string', multiple: true, default: [] },
    /** A checkout of another commit, with its `dist/`: what changed between the two is measured in place of features. */
    against: { type: 'string' },
    build: { type: 'boolean', default: true },
  },
  allowNegative: true,
})

const chosen = variants.filter(({ name }) => values.only.length === 0 || values.only.includes(name))
const asked = values.against === undefined ? chosen : [sinceThen(values.against)]

/** @param first which side is started first: every second process has them the other way round, lest its place be taken for the feature */
const measureProcess = async (
  stage: Stage,
  variant: Variant,
  work: Work,
  first: 'with' | 'without',
): Promise<Slices[]> => {
  const [one, other] = first === 'with' ? (['with', 'without'] as const) : (['without', 'with'] as const)
  const grounds = [await makeGrounds(stage, one), await makeGrounds(stage, other)] as const
  const builds = { with: product, without: variant.build?.() ?? product }
  const pair = await startPair(grounds, [variant[one], variant[other]], [builds[one], builds[other]])
  stage.children.push(pair.child)
  for (const side of pair.sides) {
    await waitForAnswer(side)
    await checkWork(stage, side, work)
  }
  for (const side of pair.sides) await drivePeak(stage, side, work, Number(values.warm))
  const slices = await measureSlices(stage, pair, work, Number(values.seconds))
  await pair.child.stop()
  return first === 'with' ? slices : slices.map(([off, on]) => [on, off])
}

const measureVariant = async (stage: Stage, variant: Variant, work: Work): Promise<string[]> => {
  const processes: Slices[][] = []
  for (let n = 0; n < Number(values.processes); n++)
    processes.push(await measureProcess(stage, variant, work, n % 2 === 0 ? 'with' : 'without'))
  const costs = ([on, off]: Slices) => (on - off) / (work.events || 1)
  const each = processes.flat().map(([on, off]) => [on / (work.events || 1), off / (work.events || 1)] as const)
  const { middle, low, high } = middleInterval(each.map(([on, off]) => on - off))
  const show = (micros: number) => micros.toFixed(2)
  return [
    variant.name,
    show(median(each.map(([on]) => on))),
    show(median(each.map(([, off]) => off))),
    show(middle),
    `${show(low)} … ${show(high)}`,
    processes.map((slices) => median(slices.map(costs)).toFixed(1)).join('  '),
    String(each.length),
    variant.title,
  ]
}

const main = async () => {
  const unknown = values.only.find((name) => !variants.some((variant) => variant.name === name))
  if (unknown !== undefined)
    throw new Error(`--only ${unknown}: known are ${variants.map(({ name }) => name).join(', ')}`)
  if (values.build) buildProduct()
  await buildChildren()
  const machine = readMachine()
  pinSelf(machine)
  const stage = await openStage(machine, { seconds: 60 })
  try {
    for (const name of values.work) {
      const work = works.find((one) => one.name === name)
      if (!work) throw new Error(`--work ${name}: known are ${works.map((one) => one.name).join(', ')}`)
      const rows: string[][] = []
      for (const variant of asked) {
        console.error(`${work.name}: ${variant.name} …`)
        rows.push(await measureVariant(stage, variant, work))
      }
      const unit = work.stream ? 'event' : 'request'
      const header = ['feature', 'with', 'without', 'cost', '95 % interval', 'by process', 'pairs', '']
      const notes = [
        'An interval that holds 0 means: not seen in so many seconds. Processes differ by more than the intervals say.',
      ]
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
