// Which windows of the bench count: those in which the machine was not slowed down by others.
import { describe, expect, it } from 'vitest'
import { dearest, findSlowed } from '../bench/measure/quiet.ts'

describe('quiet windows of the bench', () => {
  it('lets windows count whose requests cost what they cost in the cheaper ones', () => {
    const cpu = [100, 104, 98, 112, 119, 160, 210]
    const most = dearest(cpu)
    expect(most).toBeCloseTo(99.2 * 1.2)
    expect(cpu.filter((one) => findSlowed(one, most) === undefined)).toEqual([100, 104, 98, 112, 119])
  })

  it('says how much dearer a request was', () => {
    expect(findSlowed(150, 120)).toBe('a request took 50 % more CPU than in quiet windows')
    expect(findSlowed(120, 120)).toBeUndefined()
  })

  it('judges nobody by fewer than four windows', () => {
    expect(dearest([100, 900, 950])).toBe(Number.POSITIVE_INFINITY)
    expect(findSlowed(900, dearest([100, 900]))).toBeUndefined()
  })
})
