// What a rollout keeps of requests that it waits for: in their order, the oldest known, and none of those that are over.
import { expect, it } from 'vitest'
import { Ticket } from '../src/rollouts/ticket.ts'
import { Watermark } from '../src/rollouts/watermark.ts'
import { type Traveller, Underway } from '../src/state/rollouts/underway.ts'
import fc from './support/seededCheck.ts'

const cap = 1000

it('releases requests in the order of their arrival, as far as the oldest that is open', () => {
  // A request that comes, one of those waiting that is decided, or the clock. Many come first, so that there is room to be made.
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.constant({ verb: 'push' as const, at: 0 }) },
    { weight: 4, arbitrary: fc.record({ verb: fc.constant('decide' as const), at: fc.nat(300) }) },
    { weight: 1, arbitrary: fc.record({ verb: fc.constant('wait' as const), at: fc.nat(400) }) },
  )
  let longest = 0
  const check = fc.property(fc.nat(90), fc.array(step, { minLength: 100, maxLength: 500 }), (first, steps) => {
    let now = 0
    const released: Ticket[] = []
    const givenUp: Ticket[] = []
    const mark = new Watermark(
      (ticket) => ticket.isEnded,
      () => cap,
      (ticket) => givenUp.push(ticket),
      (ticket) => released.push(ticket),
    )
    const waiting: Ticket[] = []
    const expected: Ticket[] = []
    const late: Ticket[] = []
    const push = (): void => {
      const ticket = new Ticket(now++, 50_000, false, 0, 0, undefined, true, 0, undefined, undefined)
      mark.push(ticket)
      waiting.push(ticket)
    }
    for (let n = 0; n < first; n++) push()
    for (const { verb, at } of steps) {
      if (verb === 'push') push()
      else if (verb === 'wait') now += at
      else if (waiting.length > 0) waiting[at % waiting.length]!.isEnded = true
      longest = Math.max(longest, waiting.length)
      mark.advance(now)
      for (; waiting.length > 0; expected.push(waiting.shift()!)) {
        const [ticket] = waiting
        if (ticket!.isEnded) continue
        if (now - ticket!.at < cap) break
        late.push(ticket!)
      }
      expect(mark.waiting).toBe(waiting.length)
    }
    expect(released.length).toBe(expected.length)
    expect(released.every((ticket, n) => ticket === expected[n])).toBe(true)
    expect(givenUp.length).toBe(late.length)
    expect(givenUp.every((ticket, n) => ticket === late[n])).toBe(true)
  })
  fc.assert(check, { numRuns: 200 })
  expect(longest).toBeGreaterThan(128)
})

it('knows the oldest request under way, and forgets those that are over', () => {
  const check = fc.property(fc.array(fc.nat(999), { maxLength: 300 }), (draws) => {
    const underway = new Underway()
    const there: Traveller[] = []
    const gone: Traveller[] = []
    let begun = 0
    for (const draw of draws) {
      if (draw % 5 < 3) {
        const traveller = { number: 2 ** 40 + draw, place: -1 }
        underway.push(traveller)
        there.push(traveller)
        begun++
      } else if (there.length > 0) {
        const [traveller] = there.splice(draw % there.length, 1)
        underway.remove(traveller!)
        gone.push(traveller!)
      }
      // Who is over already, or never set out, changes nothing.
      if (gone.length > 0) underway.remove(gone[draw % gone.length]!)
      underway.remove({ number: 1, place: -1 })
      expect(underway.length).toBe(there.length)
      expect(underway.oldest()).toBe(Math.min(...there.map(({ number }) => number)))
    }
    expect(underway.begun).toBe(begun)
  })
  fc.assert(check, { numRuns: 200 })
})
