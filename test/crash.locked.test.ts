// C53: another program holds the database of a running gateway under load: nothing freezes, and nothing is lost.
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it, type TestContext } from 'vitest'
import { type DbLock, lockDatabase } from './support/crash/dbLock.ts'
import { openPlace, type Place } from './support/crash/place.ts'
import type { Sighting } from './support/crash/traffic.ts'

async function open({ onTestFinished }: TestContext, ledger: Record<string, unknown>): Promise<Place> {
  const place = await openPlace({ ledger })
  onTestFinished(() => place.close())
  await place.start()
  return place
}

async function lockOf({ onTestFinished }: TestContext, place: Place, kind?: 'EXCLUSIVE'): Promise<DbLock> {
  const lock = await lockDatabase(place.file, kind)
  onTestFinished(() => lock.close())
  return lock
}

/** A stream whose pieces are counted as they come. */
interface Watched {
  done: Promise<Sighting>
  pieces: number
  /** The longest time without a piece since it was last set to 0, in milliseconds. */
  gap: number
  /** Resolves when there are so many pieces. */
  reach(pieces: number): Promise<void>
}

function watch(place: Place): Watched {
  let last = 0
  let waiting: { pieces: number; resolve: () => void }[] = []
  const watched: Watched = {
    pieces: 0,
    gap: 0,
    reach: (pieces) =>
      new Promise((resolve) => {
        if (watched.pieces >= pieces) resolve()
        else waiting.push({ pieces, resolve })
      }),
    // Long enough for a slow machine to come to the point: a stream that is at its end waits for the lock, too, and sends no more.
    done: place.ask('lasting', true, () => {
      const now = performance.now()
      if (last > 0) watched.gap = Math.max(watched.gap, now - last)
      last = now
      watched.pieces++
      for (const one of waiting) if (watched.pieces >= one.pieces) one.resolve()
      waiting = waiting.filter(({ pieces }) => pieces > watched.pieces)
    }),
  }
  return watched
}

describe('C53 a database that is locked for a second, under load', () => {
  it.for(['process', 'power'])(
    'C53 mode %s: streams flow on, requests wait at most for the lock, every row is there',
    { timeout: 300_000 },
    async (mode, context) => {
      const place = await open(context, { mode })
      const streams = Array.from({ length: 6 }, () => watch(place))
      await Promise.all(streams.map((stream) => stream.reach(10)))

      let over = false
      const clients = Array.from({ length: 8 }, async (_, number) => {
        for (let n = number; !over; n++)
          expect((await place.ask(['quick', 'thinking', 'late'][n % 3]!, n % 2 === 0)).seen).toBe('whole')
      })
      const before = await place.metric('turnout_ledger_entries_total')
      expect(before).toBeGreaterThan(0)

      const lock = await lockOf(context, place, 'EXCLUSIVE')
      const lockedAt = performance.now()
      const callsAt = Date.now()
      const inLock = [place.ask('quick'), place.ask('quick', true), place.ask('late'), place.ask('thinking', true)]
      const counts = streams.map(({ pieces }) => pieces)
      for (const stream of streams) stream.gap = 0
      // Told by events: as long as the lock is held, each stream grows by what its vendor sends in a part of that time. No longer than
      // the ledger is patient, however slow the machine is.
      await Promise.race([Promise.all(streams.map((stream, at) => stream.reach(counts[at]! + 20))), pause(3_000)])
      // The journal takes what the database does not: nobody waits for it.
      if (mode === 'process') await Promise.all(inLock)
      await pause(Math.max(0, 1000 - (performance.now() - lockedAt)))
      const releasedAt = performance.now()
      const grown = streams.map(({ pieces }, at) => pieces - counts[at]!)
      const gaps = streams.map(({ gap }) => gap)
      lock.release()
      over = true
      await Promise.all(clients)
      const seen = await Promise.all(streams.map(({ done }) => done))

      expect(seen.map((sighting) => sighting.seen)).toEqual(Array(6).fill('whole'))
      expect(Math.min(...grown)).toBeGreaterThan(0)
      // A busy wait of the driver would show as one gap of the whole time in every stream; a slow machine does so in some.
      expect(Math.min(...gaps)).toBeLessThan(releasedAt - lockedAt)
      const waited = await Promise.all(inLock)
      expect(waited.map((sighting) => sighting.seen)).toEqual(Array(4).fill('whole'))
      if (mode === 'process') expect(Math.max(...waited.map(({ at }) => at))).toBeLessThan(releasedAt)
      else {
        // Those that came while nothing could be written waited for it: neither served nor refused.
        expect(Math.min(...waited.map(({ at }) => at))).toBeGreaterThan(releasedAt)
        // What was announced just before is sent still; after that the vendor is left alone.
        const during = place.simulator.calls.filter(
          ({ startedAt }) => startedAt > callsAt + 700 && startedAt < callsAt + (releasedAt - lockedAt) - 50,
        )
        expect(during).toEqual([])
      }
      await expect.poll(() => place.metric('turnout_ledger_journal_rows'), { timeout: 60_000 }).toBe(0)

      expect(place.compare()).toMatchObject({ wrong: [], cut: 0, refused: 0, orphans: 0 })
      expect(await place.metric('turnout_ledger_busy_total')).toBeGreaterThan(0)
      for (const kind of ['kept_rows', 'lost_total', 'recovered_total'])
        expect([kind, await place.metric(`turnout_ledger_${kind}`)]).toEqual([kind, 0])
      expect(await place.metric('turnout_ledger_failures_total{kind="locked"}')).toBe(0)
      expect(await place.verify()).toMatchObject({ code: 0, out: expect.stringMatching(/^ok: .* 0 in flight\n$/) })
    },
  )
})

describe.concurrent('C53 a database that stays locked', () => {
  it.for([
    ['refuse', 503],
    ['serve', 200],
  ] as const)(
    'C53 onFailure %s: after the patience of five seconds',
    { timeout: 300_000 },
    async ([onFailure, status], context) => {
      const { expect } = context
      const place = await open(context, { onFailure })
      await place.ask('quick')
      const stream = watch(place)
      await stream.reach(10)
      const lock = await lockOf(context, place)
      const vendorSaw = place.simulator.calls.length
      // The journal takes what comes, until it is clear that the lock will not pass.
      const early = await place.ask('quick')
      expect(early.seen).toBe('whole')
      await expect
        .poll(() => place.metric('turnout_ledger_failures_total{kind="locked"}'), { timeout: 60_000 })
        .toBeGreaterThan(0)
      const calls = place.simulator.calls.length
      expect(calls).toBe(vendorSaw + 1)
      const seen = await Promise.all([place.ask('quick'), place.ask('quick', true), place.ask('thinking')])
      // What runs is settled into the journal.
      expect((await stream.done).seen).toBe('whole')

      expect(seen.map((sighting) => sighting.status)).toEqual(Array(3).fill(status))
      // Loud: a line of the log for the operator, a number for the alarm.
      const line = /the ledger cannot write: The ledger database is locked by another program/
      await expect.poll(() => place.server.log(), { timeout: 60_000 }).toMatch(line)
      expect(await place.metric('turnout_ledger_failures_total{kind="locked"}')).toBeGreaterThan(0)
      expect(await place.metric('turnout_ledger_journal_rows')).toBeGreaterThan(0)
      if (onFailure === 'refuse') {
        for (const { text } of seen) expect(JSON.parse(text).error).toMatchObject({ code: 'ledger_unavailable' })
        // Not announced, so not sent.
        expect(place.simulator.calls).toHaveLength(calls)
      } else expect(seen.map((sighting) => sighting.seen)).toEqual(Array(3).fill('whole'))

      lock.release()
      await expect.poll(() => place.metric('turnout_ledger_journal_rows'), { timeout: 60_000 }).toBe(0)
      expect(await place.metric('turnout_ledger_lost_total')).toBe(0)
      expect((await place.ask('quick')).seen).toBe('whole')
      // The rows that could not be written at their time are there once, with what the vendor charges.
      expect(place.compare()).toMatchObject({ wrong: [], requests: 7, rows: 7, orphans: 0 })
      expect((await place.verify()).code).toBe(0)
    },
  )
})
