// The pieces of a message: put together in their order whatever their lengths, and small ones in little memory.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { Pieces } from '../src/gateway/pieces.ts'
import fc from './support/seededCheck.ts'

describe('pieces of a message', () => {
  it('are put together in their order, whatever their lengths', () => {
    const length = fc.oneof(
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 1000, max: 1100 }),
      fc.integer({ min: 4000, max: 80_000 }),
    )
    fc.assert(
      fc.property(fc.array(length, { maxLength: 60 }), (lengths) => {
        let next = 0
        const given = lengths.map((size) => Buffer.from(Uint8Array.from({ length: size }, () => next++ % 251)))
        const pieces = new Pieces()
        for (const piece of given) pieces.add(piece)
        expect(pieces.size).toBe(lengths.reduce((sum, size) => sum + size, 0))
        expect(pieces.whole().equals(Buffer.concat(given))).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  it('are not copied where there is one', () => {
    for (const size of [0, 10, 100_000]) {
      const pieces = new Pieces()
      const only = Buffer.alloc(size)
      pieces.add(only)
      expect(pieces.whole()).toBe(only)
    }
  })

  it.each([
    ['of one byte', [1]],
    ['of one byte and of a thousand in turn', [1, 1024]],
  ])('%s take less than twice their bytes', (_, lengths) => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const used = (): number => {
      collect()
      const { heapUsed, external } = process.memoryUsage()
      return heapUsed + external
    }
    const count = Math.round((2 * lengths.length * (2 * 1024 ** 2)) / lengths.reduce((sum, size) => sum + size, 0))
    const before = used()
    const pieces = new Pieces()
    // In memory of their own, as the parser of HTTP hands them over.
    for (let n = 0; n < count; n++) pieces.add(Buffer.allocUnsafeSlow(lengths[n % lengths.length]!))
    const more = used() - before
    expect(pieces.size).toBeGreaterThan(2 * 1024 ** 2)
    expect(more).toBeLessThan(2 * pieces.size)
  })
})
