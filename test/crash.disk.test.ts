// C53: the disk of a running gateway fills up and is freed again: nothing is served as complete without its row, or it is said loudly.
import { describe, it, type TestContext } from 'vitest'

import { type Disk, makeDisk } from './support/crash/disk.ts'
import { openPlace, type Place } from './support/crash/place.ts'
import type { Sighting } from './support/crash/traffic.ts'

async function open({ onTestFinished }: TestContext, onFailure: string): Promise<{ place: Place; disk: Disk }> {
  const disk = makeDisk(['turnout.db', 'turnout.db-wal'])
  onTestFinished(() => disk.remove())
  const place = await openPlace({ folder: disk.folder, ledger: { onFailure }, under: disk.under })
  onTestFinished(() => place.close())
  await place.start()
  return { place, disk }
}

/** Fills the disk and asks, JSON and streams in turn, until the ledger cannot write. What fits into the log's own room is still written. */
async function fillUp(place: Place, disk: Disk, until: (sighting: Sighting) => Promise<boolean>): Promise<void> {
  disk.fill(place.server.pid)
  for (let n = 0; n < 700; n++) if (await until(await place.ask('quick', n % 2 === 0))) return
  throw new Error('Hundreds of requests were recorded on a full disk.')
}

const isDenied = ({ text }: Sighting): boolean => text.includes('"code":"ledger_unavailable"')
const full = { 'file system': 'full', limit: 'io' } as const

/** Rows that are not in the database yet: in the journal where it has room, else in memory. */
const waitingRows = async (place: Place): Promise<number> =>
  (await place.metric('turnout_ledger_kept_rows')) + (await place.metric('turnout_ledger_journal_rows'))

describe.concurrent('C53 a full disk', () => {
  it('C53 onFailure refuse: 503 in the shape of the dialect, and service again when there is room', {
    timeout: 300_000,
  }, async (context) => {
    const { expect } = context
    const { place, disk } = await open(context, 'refuse')
    for (const stream of [false, true]) expect((await place.ask('quick', stream)).seen).toBe('whole')
    // Under way when the room runs out.
    const begun: { resolve?: () => void } = {}
    const flowing = new Promise<void>((resolve) => {
      begun.resolve = resolve
    })
    const stream = place.ask('lasting', true, () => begun.resolve?.())
    await flowing
    await fillUp(place, disk, async ({ seen }) => seen === 'refused')

    const vendorSaw = place.simulator.calls.length
    const refused = await Promise.all([place.ask('quick'), place.ask('thinking', true), place.ask('down')])
    for (const { seen, status, text } of refused) {
      expect([seen, status]).toEqual(['refused', 503])
      expect(JSON.parse(text)).toEqual({
        error: {
          message: expect.stringContaining('does not serve unrecorded ones'),
          type: 'gateway_error',
          param: null,
          code: 'ledger_unavailable',
          metadata: { reason: full[disk.kind] },
        },
      })
    }
    // No call without its intent.
    expect(place.simulator.calls).toHaveLength(vendorSaw)
    // A balancer learns it, too.
    expect(await place.ready()).toMatchObject({ status: 503, text: expect.stringContaining('"ledger_unavailable"') })
    // The stream ends after that. Where not even the journal has room for its row, it says why it is not complete.
    const ended = await stream
    expect(ended.status).toBe(200)
    if (ended.seen !== 'whole') {
      expect([ended.seen, isDenied(ended)]).toEqual(['cut', true])
      expect(ended.text).not.toContain('[DONE]')
    }
    expect(await place.metric(`turnout_ledger_failures_total{kind="${full[disk.kind]}"}`)).toBeGreaterThan(0)
    await expect
      .poll(() => place.server.log(), { timeout: 60_000 })
      .toMatch(/the ledger cannot write: .*"event":"ledger"|"event":"ledger".*the ledger cannot write: /)

    disk.free(place.server.pid)
    // Without a request, for a balancer sends none.
    await expect.poll(async () => (await place.ready()).status, { timeout: 60_000 }).toBe(200)
    await expect.poll(async () => (await place.ask('quick')).seen, { timeout: 60_000 }).toBe('whole')
    await expect.poll(() => waitingRows(place), { timeout: 60_000 }).toBe(0)
    expect(await place.metric('turnout_ledger_lost_total')).toBe(0)
    const found = place.compare()
    expect(found).toMatchObject({ wrong: [], orphans: 0 })
    // Also the refused ones are on record by now, and so is the stream that had to be broken off.
    expect(found.rows).toBe(found.requests)
    expect(await place.verify()).toMatchObject({ code: 0, out: expect.stringMatching(/^ok: .* 0 in flight\n$/) })
  })

  it('C53 onFailure serve: served, loudly, and written down when there is room', {
    timeout: 300_000,
  }, async (context) => {
    const { expect } = context
    const { place, disk } = await open(context, 'serve')
    expect((await place.ask('quick')).seen).toBe('whole')
    const failures = `turnout_ledger_failures_total{kind="${full[disk.kind]}"}`
    await fillUp(place, disk, async () => (await place.metric(failures)) > 0)
    const served = await Promise.all([place.ask('quick'), place.ask('thinking', true), place.ask('down', true)])
    expect(served.map(({ seen }) => seen)).toEqual(Array(3).fill('whole'))
    expect(place.sightings.map(({ seen }) => seen)).toEqual(place.sightings.map(() => 'whole'))
    expect(await waitingRows(place)).toBeGreaterThanOrEqual(3)
    expect((await place.ready()).status).toBe(200)
    await expect.poll(() => place.server.log(), { timeout: 60_000 }).toContain('the ledger cannot write: ')
    expect(
      place.server
        .log()
        .split('\n')
        .filter((line) => line.includes('"level":"error"')).length,
    ).toBeLessThan(100)

    disk.free(place.server.pid)
    await expect.poll(() => waitingRows(place), { timeout: 60_000 }).toBe(0)
    expect(await place.metric('turnout_ledger_lost_total')).toBe(0)
    expect((await place.ask('quick', true)).seen).toBe('whole')
    const found = place.compare()
    expect(found).toMatchObject({ wrong: [], orphans: 0, refused: 0, cut: 0 })
    expect(found.rows).toBe(found.requests)
    expect((await place.verify()).code).toBe(0)
  })

  it('C53 kill -9 on a full disk: it does not start without room, says why, and has lost nothing that was seen complete', {
    timeout: 300_000,
  }, async (context) => {
    const { expect } = context
    const { place, disk } = await open(context, 'refuse')
    const load = Array.from({ length: 4 }, async (_, number) => {
      for (let n = number; n < 40; n++) await place.ask(['quick', 'paced', 'late'][n % 3]!, n % 2 === 0)
    })
    await Promise.all(load)
    const steady = [place.ask('lasting', true), place.ask('lasting')]
    await place.simulator.waitFor(({ model, outcome }) => model === 'sim-lasting' && outcome === 'running')
    await fillUp(place, disk, async ({ seen }) => seen === 'refused')
    await place.server.kill()
    expect((await Promise.all(steady)).map(({ seen }) => seen)).toEqual(['cut', 'cut'])

    const failed = await place.start().then(
      () => undefined,
      (error: Error) => error.message,
    )
    expect(failed).toMatch(/ended with 1: .*turnout\.db/)
    expect(failed).toMatch(/ENOSPC|EFBIG|full|disk I\/O/)
    expect(failed).not.toMatch(/\n\s+at /)

    disk.free(undefined)
    await place.start()
    expect((await place.ask('quick')).seen).toBe('whole')
    const found = place.compare()
    expect(found).toMatchObject({ wrong: [] })
    expect(found.orphans).toBeGreaterThanOrEqual(2)
    expect(found.whole).toBeGreaterThan(100)
    expect((await place.verify()).code).toBe(0)
  })
})
