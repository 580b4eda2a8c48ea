// What holds requests for a while: in the order in which they came, and nothing of those that went.
import { getHeapSpaceStatistics } from 'node:v8'
import { describe, expect, it } from 'vitest'
import { Roster } from '../src/state/roster.ts'

let garbage: number[] = []

describe('a roster', () => {
  it('has its items in the order in which they came, and each leaves once', () => {
    const roster = new Roster<string>()
    const [a, b, c] = ['a', 'b', 'c'].map((item) => roster.add(item))
    expect([[...roster], roster.size]).toEqual([['a', 'b', 'c'], 3])
    expect([b!(), b!(), [...roster]]).toEqual([true, false, ['a', 'c']])
    expect([roster.shift(), a!(), roster.size]).toEqual(['a', false, 1])
    expect([c!(), roster.shift(), [...roster]]).toEqual([true, undefined, []])
  })

  it('has an item as often as it was added', () => {
    const roster = new Roster<string>()
    const first = roster.add('a')
    roster.add('a')
    expect([first(), [...roster]]).toEqual([true, ['a']])
  })

  it('goes on over those that are there when some leave on the way', () => {
    const roster = new Roster<number>()
    const leave = [1, 2, 3].map((item) => roster.add(item))
    const seen: number[] = []
    for (const item of roster) {
      seen.push(item)
      leave[item]?.()
    }
    expect(seen).toEqual([1, 3])
  })

  it('lets nothing grow old with it: what left is not copied into the old generation', () => {
    const used = (): number =>
      getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')!.space_used_size
    const roster = new Roster<number[]>()
    const under: (() => boolean)[] = []
    const before = used()
    for (let i = 0; i < 4_000; i++) {
      under.push(roster.add(Array.from({ length: 2_500 }, (_, n) => i + n)))
      if (under.length > 16) under.shift()!()
      // What else a gateway does meanwhile: some twenty come and go between two collections of the young generation.
      for (let n = 0; n < 20; n++) garbage = new Array(2_500).fill(n)
    }
    expect(garbage).toHaveLength(2_500)
    // A Set in its place leaves half of all 80 MB there.
    expect(used() - before).toBeLessThan(10 * 1024 ** 2)
  })
})
