// A clock that was far ahead leaves its mark on the ids: it is said, once, and when it is over.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished, vi } from 'vitest'
import { watchClock } from '../src/cli/clockWatch.ts'
import { openLedger } from '../src/store/ledger.ts'
import { timeOf } from '../src/store/ledgerId.ts'
import { openStore } from '../src/store/open.ts'
import { lastId } from '../src/store/orphans.ts'
import { requestRow } from './support/ledgerRows.ts'

const day = 86_400_000

it('is told while rows are dated later than the clock, and when that is over', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-clock-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const begun = Date.UTC(2026, 5, 20, 13)
  const clock = { at: begun }
  const now = () => clock.at
  const store = openStore({ file: join(folder, 'turnout.db'), now })
  const ledger = openLedger(store, { now })
  const told: string[] = []
  const tell = (text: string) => void told.push(text)
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  const stop = watchClock({
    newest: () => timeOf(lastId(store.db, now())),
    log: { warn: tell, info: tell } as never,
    every: 1000,
    now,
  })
  try {
    const request = (): Promise<void> => ledger.settle(requestRow(ledger.nextRequestId()), [])
    await request()
    clock.at += 400 * day
    await request()
    vi.advanceTimersByTime(1000)
    expect(told).toEqual([])
    clock.at -= 400 * day
    await request()
    vi.advanceTimersByTime(3000)
    expect(told).toEqual([expect.stringContaining(`are dated ${new Date(begun + 400 * day).toISOString()}`)])
    clock.at += 401 * day
    vi.advanceTimersByTime(3000)
    expect(told.slice(1)).toEqual([expect.stringContaining('caught up')])
  } finally {
    stop()
    vi.useRealTimers()
    await ledger.close()
    store.close()
  }
  // A database that cannot be read ends nothing.
  watchClock({
    newest: () => timeOf(lastId(store.db, now())),
    log: { warn: tell, info: tell } as never,
    now,
  })()
  expect(told).toHaveLength(2)
})
