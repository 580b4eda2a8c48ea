// A database that is taken away under a running ledger: no row is lost in silence, and no call is made that nobody could record.
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { type Ledger, openLedger } from '../src/store/ledger.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { restoreFrom } from '../src/store/restore.ts'
import { verifyLedger } from '../src/store/verify.ts'
import { attemptRow, intentOf, requestRow } from './support/ledgerRows.ts'

let folder: string
let file: string
let store: Store
let ledger: Ledger
let troubles: string[]

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  folder = mkdtempSync(join(tmpdir(), 'turnout-rescue-'))
  file = join(folder, 'turnout.db')
  store = openStore({ file })
  troubles = []
  ledger = openLedger(store, { onTrouble: ({ message }) => void troubles.push(message) })
})

afterEach(async () => {
  await ledger.close()
  store.close()
  vi.useRealTimers()
  rmSync(folder, { recursive: true, force: true })
})

async function begin(): Promise<number> {
  const id = ledger.nextRequestId()
  await ledger.intend(intentOf(id))
  return id
}
const end = (id: number): Promise<void> => ledger.settle(requestRow(id), [attemptRow(id)])
const rescued = (): string[] =>
  existsSync(folder) ? readdirSync(folder).filter((name) => /\.rescued-[^.]*$/.test(name)) : []

/** A heartbeat is when the ledger looks. */
async function noticed(): Promise<void> {
  vi.advanceTimersByTime(5000)
  await expect.poll(rescued, { timeout: 10_000 }).toHaveLength(1)
  await expect.poll(() => troubles.length, { timeout: 10_000 }).toBeGreaterThan(0)
}

const ways: [how: string, take: () => void][] = [
  [
    'removed',
    () => {
      for (const ending of ['', '-wal', '-shm']) rmSync(file + ending, { force: true })
    },
  ],
  ['removed with its folder', () => rmSync(folder, { recursive: true })],
  ['moved away', () => renameSync(file, join(folder, 'elsewhere.db'))],
  [
    'replaced by another',
    () => {
      writeFileSync(`${file}.new`, 'another file')
      renameSync(`${file}.new`, file)
    },
  ],
  ['robbed of its log', () => rmSync(`${file}-wal`)],
]

it.each(ways)('is noticed when it is %s: new calls are refused, and what it holds is saved', async (_, take) => {
  await end(await begin())
  const running = await begin()
  take()
  await noticed()
  expect(troubles.at(-1)).toContain(`saved to ${join(folder, rescued()[0]!)}`)
  await expect(begin()).rejects.toMatchObject({ code: 'io', message: expect.stringContaining('removed or replaced') })

  await end(running)
  await ledger.close()
  store.close()
  const [copy] = rescued()
  rmSync(`${file}-wal`, { force: true })
  expect(restoreFrom(join(folder, copy!), file).requests).toBe(2)
  const next = openStore({ file })
  try {
    expect(verifyLedger(next.db)).toMatchObject({ ok: true, requests: 2, open: 0 })
  } finally {
    next.close()
  }
})

it('is saved by a stop that comes before anybody has looked', async () => {
  await end(await begin())
  ways[0]![1]()
  await ledger.close()
  expect(rescued()).toHaveLength(1)
})

it('takes calls again where the file is back in its place', async () => {
  const away = join(folder, 'elsewhere.db')
  renameSync(file, away)
  await noticed()
  renameSync(away, file)
  vi.advanceTimersByTime(5000)
  await expect.poll(() => begin().then(end, () => 'refused'), { timeout: 10_000 }).toBeUndefined()
})

it('does nothing of the kind while all is in its place', async () => {
  await end(await begin())
  vi.advanceTimersByTime(20_000)
  await ledger.close()
  expect(rescued()).toEqual([])
  expect(troubles).toEqual([])
})
