// How many bad events it took in an independent simulation until harm was found: medians at alpha = 1 %, by weight and risk ratio.
import { delayOf } from './events.ts'
import { quantileOf, valuesOf } from './scenario.ts'

const ratios = [1.5, 2, 5, 20, 100]
const references: readonly (readonly [weight: number, medians: readonly number[]])[] = [
  [0.01, [4752, 1423, 150, 16, 3]],
  [0.05, [1067, 314, 35, 7, 3]],
  [0.1, [589, 163, 24, 5, 3]],
  [0.25, [303, 93, 17, 7, 5]],
  [0.5, [264, 92, 21, 9, 9]],
]

const delayTable = references.flatMap(([weight, medians]) =>
  medians.map((median, column) => ({ weight, ratio: ratios[column]!, reference: median })),
)

/**
 * The same medians from runs of our own, within a fifth. Whole numbers jump: at 25 % and 20x five events suffice in 49.7 % of all runs, and
 * the next possible number is seven; so quantiles a few percent off the middle may be meant.
 */
export const measureDelays = (runs: number) =>
  delayTable.map(({ weight, ratio, reference }) => {
    const values = valuesOf(`delay ${weight} ${ratio}`, runs, (draw) => delayOf(draw, weight, ratio))
    const least = quantileOf(values, 0.45) * 0.8 - 1
    const most = quantileOf(values, 0.55) * 1.2 + 1
    return {
      weight,
      ratio,
      reference,
      median: quantileOf(values, 0.5),
      isNear: reference >= least && reference <= most,
    }
  })
