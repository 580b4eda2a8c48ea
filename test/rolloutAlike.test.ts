// Requests that are alike are counted together, and each tally gets its share before it is read.
import { describe, expect, it } from 'vitest'
import { Alike } from '../src/rollouts/alike.ts'
import { Tally } from '../src/rollouts/tally.ts'
import fc from './support/seededCheck.ts'

describe('counting together', () => {
  it('comes to what counting one by one does, whenever somebody reads', () => {
    const request = fc.record({
      epoch: fc.integer({ min: 0, max: 3 }),
      ppm: fc.constantFrom(10_000, 50_000),
      marks: fc.integer({ min: 0, max: 7 }),
      canary: fc.boolean(),
      isRead: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(request, { maxLength: 60 }), (requests) => {
        const [together, alone] = [new Tally(), new Tally()]
        let marked = 0
        const alike = new Alike((epoch, ppm, marks, seenStable, seenCanary) => {
          marked += marks * (seenStable + seenCanary)
          together.merge({ epoch, ppm, seenStable, seenCanary, badStable: 0, badCanary: 0 })
        })
        let expected = 0
        for (const { epoch, ppm, marks, canary, isRead } of requests) {
          alike.see(epoch, ppm, marks, canary)
          alone.see(epoch, ppm, canary)
          expected += marks
          if (!isRead) continue
          alike.settle()
          expect(together.cells()).toEqual(alone.cells())
        }
        alike.settle()
        alike.settle()
        expect(together).toEqual(
          expect.objectContaining({ seenStable: alone.seenStable, seenCanary: alone.seenCanary }),
        )
        expect(together.cells()).toEqual(alone.cells())
        expect(marked).toBe(expected)
      }),
    )
  })
})
