// The promises of rollouts by simulation, in sizes for every commit; `npm run test:rollouts` runs them in those of the night.
import { describe, expect, it } from 'vitest'
import { measureDelays } from './rollouts/delays.ts'
import { eventScenarios, lateDelay } from './rollouts/events.ts'
import { quantileOf, quick, type Scenario, simulate, valuesOf } from './rollouts/scenario.ts'
import { stickyScenarios } from './rollouts/sticky.ts'
import { latencyDelay, timedScenarios } from './rollouts/timed.ts'
import { wholeScenarios } from './rollouts/whole.ts'
import { isAbortedWith, wrongScenarios } from './rollouts/wrong.ts'
import { drawOf } from './support/draws.ts'

const hold = (scenarios: readonly Scenario[]) =>
  it.each(scenarios.map((scenario) => [scenario.name, scenario] as const))('%s', (_, scenario) => {
    const { rate, bound, isAsExpected } = simulate(scenario, quick)
    expect(isAsExpected, `${rate} against ${bound}`).toBe(true)
  })

describe('bad events', () => hold(eventScenarios))
describe('time', () => hold(timedScenarios))
describe('units that stay on their arm', () => hold(stickyScenarios))
describe('the default policy as a whole', () => hold(wholeScenarios))
describe('methods known to be wrong are found out', () => hold(wrongScenarios))

describe('how long it takes', () => {
  it('is what another program found, in the median', () => {
    for (const { weight, ratio, reference, median, isNear } of measureDelays(quick.delay)) {
      expect(isNear, `weight ${weight}, ${ratio}x: ${median} against ${reference}`).toBe(true)
    }
  })

  it('is less by far for a late regression where the evidence starts anew', () => {
    const median = (restarts: boolean) =>
      quantileOf(
        valuesOf('late', 40, (draw) => lateDelay(draw, restarts)),
        0.5,
      )
    expect(median(true)).toBeLessThan(median(false) * 0.6)
  })

  it('is some dozen requests of a canary that takes twice as long', () => {
    const delays = valuesOf('latency', 20, (draw) => latencyDelay(draw, [0.05], 2, 1, 5000))
    expect(quantileOf(delays, 0.5)).toBeLessThan(50)
  })
})

it('arms swapped are decided the other way round', () => {
  for (let seed = 0; seed < 50; seed++) {
    expect(isAbortedWith(drawOf(seed), 5)).toEqual({ harm: true, safe: false })
    expect(isAbortedWith(drawOf(seed), 1 / 5)).toEqual({ harm: false, safe: true })
  }
})
