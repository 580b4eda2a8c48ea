// Runs the simulation of rollouts in the sizes of the night and prints its figures. Usage: npm run test:rollouts [-- --quick] [-- --only NAME]
import { parseArgs } from 'node:util'
import { measureDelays } from './delays.ts'
import { eventScenarios, lateDelay } from './events.ts'
import { nightly, type Outcome, quantileOf, quick, simulate, valuesOf } from './scenario.ts'
import { frailScenario, stickyScenarios } from './sticky.ts'
import { latencyDelay, timedScenarios } from './timed.ts'
import { wholeScenarios } from './whole.ts'
import { wrongScenarios } from './wrong.ts'

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } } })
const sizes = values.quick ? quick : nightly
const percent = (part: number): string => `${(part * 100).toFixed(2)} %`
const words = { atMost: 'at most', above: 'must be above', atLeast: 'at least' }

let failures = 0
const show = (outcome: Outcome, asserted = true): void => {
  const { scenario, runs, rate, bound, isAsExpected } = outcome
  if (asserted && !isAsExpected) failures++
  const verdict = asserted ? (isAsExpected ? 'ok  ' : 'FAIL') : 'note'
  const measure = `${words[scenario.expect]} ${percent(bound)}`
  console.log(
    `${verdict} ${percent(rate).padStart(9)}  ${measure.padEnd(24)} ${String(runs).padStart(6)} runs  ${scenario.name}`,
  )
}

const began = performance.now()
const all = [...eventScenarios, ...timedScenarios, ...stickyScenarios, ...wholeScenarios, ...wrongScenarios]
for (const scenario of all) if (!values.only || scenario.name.includes(values.only)) show(simulate(scenario, sizes))
if (!values.only) {
  show(simulate(frailScenario, sizes), false)

  console.log('\nbad events until harm is found, alpha 1 %: median (reference)')
  for (const { weight, ratio, reference, median, isNear } of measureDelays(sizes.delay)) {
    if (!isNear) failures++
    console.log(`${isNear ? 'ok  ' : 'FAIL'} weight ${weight * 100} %, ${ratio}x: ${median} (${reference})`)
  }
  const late = (restarts: boolean) =>
    quantileOf(
      valuesOf('late', sizes.delay, (draw) => lateDelay(draw, restarts)),
      0.5,
    )
  console.log(
    `\n5 times the errors after 40,000 requests: found after ${late(true)} requests; without restarts ${late(false)}`,
  )
  for (const slower of [1.3, 2]) {
    const values = valuesOf('slow', sizes.delay / 4, (draw) => latencyDelay(draw, [0.05], slower, 1, 20_000))
    console.log(`${slower} times slower at 5 %: found after ${quantileOf(values, 0.5)} requests of the canary`)
  }
}
console.log(
  `\n${failures} of the figures are not as they have to be; ${((performance.now() - began) / 1000).toFixed(0)} s`,
)
process.exitCode = failures > 0 ? 1 : 0
