// Reading the ledger: reports, pages, export, verification, backup and restore, all beside a running writer.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { loadDriver } from '../src/store/driver.ts'
import { csvCell } from '../src/store/export.ts'
import { type Ledger, openLedger } from '../src/store/ledger.ts'
import { firstIdOf, printId } from '../src/store/ledgerId.ts'
import type { AttemptRow, RequestRow } from '../src/store/ledgerRow.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { openReader, type Reader } from '../src/store/reader.ts'
import { restoreFrom } from '../src/store/restore.ts'
import { factsOf } from '../src/store/rolloutCases.ts'
import { verifyLedger } from '../src/store/verify.ts'
import { attemptRow, intentOf, requestRow, tokens } from './support/ledgerRows.ts'
import { leaveOlderRun } from './support/olderRun.ts'

let folder: string
let store: Store
let ledger: Ledger
let reader: Reader

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-read-'))
  store = openStore({ file: join(folder, 'turnout.db') })
  ledger = openLedger(store)
  reader = openReader(store.file)
})

afterEach(async () => {
  await reader.close()
  await ledger.close()
  store.close()
  rmSync(folder, { recursive: true, force: true })
})

async function settle(over: Partial<RequestRow> = {}, ...attempts: Partial<AttemptRow>[]): Promise<number> {
  const id = over.id ?? ledger.nextRequestId()
  const rows = (attempts.length > 0 ? attempts : [{}]).map((own, place) => attemptRow(id, place + 1, own))
  await ledger.settle(requestRow(id, over), rows)
  return id
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

const modeOf = (file: string): number => statSync(file).mode & 0o777

const at = (day: string, hour = 12): number => firstIdOf(Date.parse(`${day}T${String(hour).padStart(2, '0')}:00:00Z`))

it('what budgets ask stands behind no report: requests wait for it', async () => {
  const threads = new Map<unknown, unknown>()
  const { postMessage } = Worker.prototype
  const posted = vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, ...all) {
    threads.set((all[0] as { verb: unknown }).verb, this)
    return postMessage.apply(this, all)
  })
  try {
    await settle({ key: 'a' }, { cost: 100 })
    await Promise.all([reader.spend({ by: ['key'] }), reader.verify()])
    expect(await reader.budgetSpend({ by: ['key'], from: -1 })).toMatchObject([{ key: 'a', nano: 100 }])
  } finally {
    posted.mockRestore()
  }
  expect(threads.get('verify')).toBe(threads.get('spend'))
  expect(threads.get('budgetSpend')).not.toBe(threads.get('spend'))
})

it('what somebody asked who has left since is not begun, and others are answered', async () => {
  await settle({ key: 'a' }, { cost: 100 })
  const leaves = new AbortController()
  const asked = [
    reader.verify(),
    reader.until(leaves.signal).spend({ by: ['key'] }),
    reader.until(new AbortController().signal).spend({ by: ['key'] }),
    reader.until(AbortSignal.abort()).requests(),
  ]
  // The thread has not started yet: nothing is begun.
  leaves.abort()
  const told = await Promise.allSettled(asked)
  expect(told.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected'])
  expect(told[1]).toMatchObject({ reason: { message: 'whoever asked has gone' } })
})

describe('spend', () => {
  beforeEach(async () => {
    await settle({ id: at('2026-01-30'), key: 'a' }, { cost: 100, model: 'm1' })
    await settle({ id: at('2026-01-31'), key: 'a', team: 'blue' }, { cost: 200, model: 'm2' })
    await settle(
      { id: at('2026-01-31', 13), key: 'b', outcome: 'failed' },
      { cost: 7, model: 'm1', fault: 'cut' },
      { cost: null, model: 'm3' },
    )
    await settle(
      { id: at('2026-02-01'), key: 'b', route: 'other' },
      { cost: 2 ** 53 - 1, model: 'm1', estimated: true },
    )
    await settle(
      { id: at('2026-02-01', 14), key: 'c' },
      { cost: 2 ** 53 - 1, model: 'm1', tokens: tokens({ input: 1, cacheRead: 5, audioOut: 3 }) },
    )
  })

  it('groups by any dimensions, exactly, and says what has no price', async () => {
    const { lines, total, more } = await reader.spend({ by: ['model'] })
    expect(
      lines.map(({ model, requests, failed, attempts, cost, unpriced, estimated }) => [
        model,
        requests,
        failed,
        attempts,
        cost,
        unpriced,
        estimated,
      ]),
    ).toEqual([
      ['m1', 3, 0, 4, 2n * (2n ** 53n - 1n) + 107n, 0, 1],
      ['m2', 1, 0, 1, 200n, 0, 0],
      ['m3', 1, 1, 1, 0n, 1, 0],
    ])
    expect(total).toMatchObject({
      requests: 5,
      failed: 1,
      attempts: 6,
      cost: 2n * (2n ** 53n - 1n) + 307n,
      unpriced: 1,
    })
    expect(more).toBe(0)
    expect(lines[0]).toMatchObject({ input: 3 * 1200 + 1, cacheRead: 5, audioOut: 3, output: 4 * 340 })
  })

  it('cuts by days, filters by names, and leaves out lines by limit but not from the total', async () => {
    const january = await reader.spend({ by: ['day', 'key'], from: '2026-01-31', to: '2026-01-31' })
    expect(january.lines.map(({ day, key, cost }) => [day, key, cost])).toEqual([
      ['2026-01-31', 'a', 200n],
      ['2026-01-31', 'b', 7n],
    ])
    const onlyA = await reader.spend({ by: ['team'], only: { key: 'a' } })
    expect(onlyA.lines.map(({ team, cost }) => [team, cost])).toEqual([
      ['blue', 200n],
      ['team-1', 100n],
    ])
    const first = await reader.spend({ by: ['day', 'model', 'key', 'team', 'route', 'provider'], limit: 2 })
    expect(first.lines).toHaveLength(2)
    expect(first.more).toBe(4)
    expect(first.total.requests).toBe(5)
    expect((await reader.spend({ by: ['key'], only: { key: "' OR 1=1 --" } })).lines).toEqual([])
    await expect(reader.spend({ by: ['day'], from: 'yesterday' })).rejects.toThrow('yesterday')
  })

  it('a name of one kind is not found as one of another, and odd dimensions are not SQL', async () => {
    expect((await reader.spend({ by: ['model'], only: { model: 'key-1' } })).total.requests).toBe(0)
    const odd = ['model', '1; DROP TABLE rollup', 'model'] as unknown as ['model']
    expect((await reader.spend({ by: odd })).lines).toHaveLength(3)
  })
})

describe('requests', () => {
  it('pages through all, newest first, with filters', async () => {
    const made: number[] = []
    for (let i = 0; i < 25; i++) {
      made.push(
        await settle(
          { key: i % 2 === 0 ? 'even' : 'odd', user: i === 7 ? 'u_seven' : undefined },
          { model: i < 5 ? 'old' : 'new' },
        ),
      )
    }
    const seen: number[] = []
    let before: number | undefined
    do {
      const page = await reader.requests({ limit: 10, before })
      seen.push(...page.rows.map((row) => row.id))
      before = page.next
    } while (before !== undefined)
    expect(seen).toEqual(made.toReversed())
    const ids = async (filter: Parameters<Reader['requests']>[0]): Promise<number[]> =>
      (await reader.requests(filter)).rows.map((row) => row.id)
    expect(await ids({ key: 'odd', limit: 2 })).toEqual([made[23], made[21]])
    expect(await ids({ user: 'u_seven' })).toEqual([made[7]])
    expect(await ids({ model: 'old' })).toEqual(made.slice(0, 5).toReversed())
    expect(await ids({ status: 500 })).toEqual([])
    expect(await ids({ target: "x' OR 1=1" })).toEqual([])
    const { rows } = await reader.requests({ limit: 1 })
    expect(await ids({ to: rows[0]!.at })).not.toContain(made[24])
    expect(await ids({ from: rows[0]!.at })).toContain(made[24])
  })

  it('shows one request with its attempts in order', async () => {
    const id = await settle({}, { fault: 'reset', cost: 0 }, { model: 'second' })
    await settle()
    const found = await reader.request(id)
    expect(found?.request).toMatchObject({ id, attempts: 2, route: 'chat' })
    expect(found?.attempts.map(({ n, fault, model }) => [n, fault, model])).toEqual([
      [1, 'reset', 'gpt-4o'],
      [2, '', 'second'],
    ])
    expect(await reader.request(id + 6400)).toBeUndefined()
  })

  it('tail shows the last ones and then each one as it is settled, also one that began long before', async () => {
    for (let i = 0; i < 5; i++) await settle()
    const early = ledger.nextRequestId()
    const shown = await settle({ latencyMs: 1 })
    const stop = new AbortController()
    const tail = reader.tail({ limit: 1, signal: stop.signal, every: 5 })
    expect((await tail.next()).value?.id).toBe(shown)
    const next = tail.next()
    await settle({ id: early, latencyMs: 50 })
    expect((await next).value?.id).toBe(early)
    const last = await settle({ latencyMs: 60 })
    expect((await tail.next()).value?.id).toBe(last)
    stop.abort()
    expect((await tail.next()).done).toBe(true)
  })
})

describe('export', () => {
  it('jsonl: every row once, with printed ids, times and exact dollars', async () => {
    const made: number[] = []
    for (let i = 0; i < 30; i++) made.push(await settle({ tags: { app: 'x' } }, { cost: 1 }, { cost: 1_234_567_891 }))
    const pieces = await all(reader.export({ format: 'jsonl', rows: 'requests', limit: 7 }))
    expect(pieces.length).toBeGreaterThan(4)
    const lines = pieces
      .join('')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.map((line) => line.id)).toEqual(made.map(printId))
    expect(lines[0]).toMatchObject({
      cost_nano_usd: 1_234_567_892,
      cost_usd: '1.234567892',
      tags: { app: 'x' },
      stream: false,
      error: null,
      outcome: 'ok',
    })
    expect(new Date(lines[0].at).getTime()).toBeGreaterThan(Date.now() - 60_000)
    const attempts = (await all(reader.export({ format: 'jsonl', rows: 'attempts', limit: 7 })))
      .join('')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(attempts.map(({ request, n }) => `${request} ${n}`)).toEqual(
      made.flatMap((id) => [`${printId(id)} 1`, `${printId(id)} 2`]),
    )
  })

  it('csv: a header, one line a row, and quoting that a parser undoes', async () => {
    const id = await settle({ route: 'a,"b"\nc', tags: { formula: '=1+1' }, user: undefined })
    const [text] = await all(reader.export({ format: 'csv', rows: 'requests' }))
    const [header, ...rest] = text!.split('\r\n')
    expect(header!.split(',').slice(0, 4)).toEqual(['id', 'at', 'route', 'key'])
    expect(header).toContain('cost_nano_usd,cost_usd')
    expect(rest.join('\r\n')).toContain('"a,""b""\nc"')
    expect(rest.join('\r\n')).toContain('"{""formula"":""=1+1""}"')
    expect(text!.startsWith(`id,at`) && text!.includes(printId(id))).toBe(true)
    const empty = await all(reader.export({ format: 'csv', rows: 'attempts', key: 'nobody' }))
    expect(empty.join('').split('\r\n')).toEqual([expect.stringMatching(/^request,n,target/), ''])
  })

  it('csv: a text that a spreadsheet would run is disarmed; numbers stay numbers', () => {
    expect(['=HYPERLINK("x")', '+1', '-2', '@a', '\tb', 'plain', '', -5, 1.5, true, null].map(csvCell)).toEqual([
      '"\'=HYPERLINK(""x"")"',
      "'+1",
      "'-2",
      "'@a",
      "'\tb",
      'plain',
      '',
      '-5',
      '1.5',
      'true',
      '',
    ])
  })

  it("exports one user's rows, of a span of time", async () => {
    await settle({ id: at('2026-01-30'), user: 'u_a' })
    await settle({ id: at('2026-01-31'), user: 'u_a' })
    await settle({ id: at('2026-01-31', 13), user: 'u_b' })
    const filter = { user: 'u_a', from: Date.parse('2026-01-31'), to: Date.parse('2026-02-01') }
    for (const rows of ['requests', 'attempts'] as const) {
      const text = (await all(reader.export({ format: 'jsonl', rows, ...filter }))).join('')
      expect(text.trimEnd().split('\n')).toHaveLength(1)
      expect(text).toContain(printId(at('2026-01-31')))
    }
  })
})

describe('verify', () => {
  /** Damages the database as a bug would, and returns what verify says. */
  async function damage(sql: string): Promise<{ kinds: string[]; text: string }> {
    store.db.exec(sql)
    const { ok, problems, counts } = await reader.verify()
    expect(ok).toBe(problems.length === 0)
    expect(Object.values(counts).reduce((sum, one) => sum + one, 0)).toBe(problems.length)
    return {
      kinds: [...new Set(problems.map((problem) => problem.kind))].sort(),
      text: problems.map((problem) => problem.text).join('\n'),
    }
  }

  it('finds nothing in a sound ledger, calls in flight included', async () => {
    await settle({}, { cost: null }, { cost: 3 })
    await settle({ outcome: 'refused', status: 402 })
    await ledger.intend(intentOf(ledger.nextRequestId()))
    expect(await reader.verify()).toMatchObject({
      ok: true,
      requests: 2,
      attempts: 3,
      open: 1,
      cost: 6_400_003n,
      problems: [],
    })
  })

  it('finds changed costs and tokens, in the row and in the sums', async () => {
    const id = await settle()
    const found = await damage('UPDATE attempt SET cost = cost + 1, input = input + 1')
    expect(found.kinds).toEqual(['rollup', 'sum'])
    expect(found.text).toContain(`${printId(id)}: cost is 6400000, its attempts make 6400001`)
  })

  it('finds a cost that was made up for an unknown one', async () => {
    await settle({}, { cost: null })
    expect((await damage('UPDATE request SET cost = 0')).kinds).toEqual(['sum'])
  })

  it('finds a lost attempt, a lost request, and a lost daily sum', async () => {
    await settle({}, {}, {})
    expect((await damage('DELETE FROM attempt WHERE id % 64 = 1')).kinds).toEqual(['gap', 'rollup', 'sum'])
    expect((await damage('DELETE FROM request')).kinds).toEqual(['rollup', 'stray'])
    expect((await damage('DELETE FROM attempt; DELETE FROM rollup')).kinds).toEqual([])
    await settle()
    expect((await damage('DELETE FROM rollup')).kinds).toEqual(['rollup'])
  })

  it('compares the sums day by day, and keeps no more than a day of them', async () => {
    for (const day of ['2026-01-30', '2026-01-31', '2026-02-01', '2026-02-02'])
      for (const key of ['a', 'b']) await settle({ id: at(day, key === 'a' ? 1 : 2), key })
    const { set } = Map.prototype
    let most = 0
    const watched = vi.spyOn(Map.prototype, 'set').mockImplementation(function (this: Map<unknown, unknown>, ...entry) {
      set.apply(this, entry)
      if (/^2026\d{4},/.test(String(entry[0]))) most = Math.max(most, this.size)
      return this
    })
    const found = verifyLedger(store.db)
    watched.mockRestore()
    expect([found.ok, found.requests, most]).toEqual([true, 8, 2])
    // A day whose sum is gone, one that is not that of its rows, and one without rows.
    const { text } =
      await damage(`DELETE FROM rollup WHERE day = 20260131; UPDATE rollup SET cost = 1 WHERE day = 20260202;
      INSERT INTO rollup SELECT 20260203, route, key, team, model, provider, requests, failed, attempts, input, cache_read, cache_write_5m,
        cache_write_1h, output, reasoning, audio_in, audio_out, cost, unpriced, estimated FROM rollup WHERE day = 20260130`)
    const days = text.split('\n').map((line) => /= (\d{8}),/.exec(line)?.[1])
    expect(days.toSorted()).toEqual([
      ...Array(4).fill('20260131'),
      ...Array(2).fill('20260202'),
      ...Array(4).fill('20260203'),
    ])
  })

  it('finds rows of a rollout without their request, and such as say nothing of it', async () => {
    const facts = factsOf({
      rollout: 'swap',
      rolloutId: 1,
      attempt: 1,
      revision: 2,
      arm: 'canary',
      propensityPpm: 50_000,
      assignment: 'hash',
      firstAttemptClass: 'ok',
      servedArm: 'canary',
      badMask: 0,
      seen: 1,
      arrivalSeq: 1,
      epoch: 7,
    })
    const id = await settle({ rollout: facts })
    expect((await damage('SELECT 1')).kinds).toEqual([])
    const caseless = await damage('UPDATE request_rollout SET case_id = 77')
    expect(caseless.kinds).toEqual(['stray'])
    expect(caseless.text).toBe(`the rollout's row of ${printId(id)} names case 77, which is not there`)
    const lost = await damage('DELETE FROM attempt; DELETE FROM rollup; DELETE FROM request')
    expect(lost.kinds).toEqual(['stray'])
    expect(lost.text).toBe(`the rollout's row of ${printId(id)} has no request`)
    const kept = await damage(`INSERT OR REPLACE INTO ledger_mark (mark, value) VALUES ('rows_from_id', ${id + 1})`)
    expect(kept.kinds).toEqual([])
  })

  it('finds nothing in the sound ledger of an older program', () => {
    const file = join(folder, 'older.db')
    leaveOlderRun(file)
    const older = new (loadDriver())(file, { readonly: true })
    expect(verifyLedger(older).problems).toEqual([])
    older.close()
  })

  it('finds a call that was never settled by a run before', async () => {
    await ledger.intend(intentOf(at('2026-01-31')))
    expect((await damage('SELECT 1')).kinds).toEqual(['open'])
  })

  it('finds pages that cannot be read, and reads on', async () => {
    for (let i = 0; i < 400; i++) void settle({ user: `u_${i}` }, {}, {})
    await ledger.flush()
    const copy = join(folder, 'copy.db')
    const { bytes } = await reader.backup(copy)
    const whole = readFileSync(copy)
    const Database = loadDriver()
    const found: string[] = []
    // The first page is the schema: without it there is no database at all.
    for (let page = 1; page < bytes / 4096; page++) {
      const damaged = Buffer.from(whole)
      damaged.fill(0xa5, page * 4096, (page + 1) * 4096)
      writeFileSync(copy, damaged)
      const one = new Database(copy, { readonly: true })
      const { ok, counts, problems } = verifyLedger(one)
      one.close()
      expect(counts.file > 0, `page ${page}`).toBe(!ok)
      const texts = problems.map(({ text }) => text)
      // Once of each: a table is read for each of its days.
      expect([...new Set(texts)], `page ${page}`).toEqual(texts)
      found.push(...texts)
    }
    expect(found).toContain('the rows cannot be read: database disk image is malformed')
  })

  it('finds an index that does not fit its table (doubles and losses inside the file)', async () => {
    await settle({ user: undefined })
    store.db.unsafeMode(true)
    store.db.pragma('writable_schema = ON')
    store.db.exec(
      "UPDATE sqlite_schema SET sql = 'CREATE INDEX request_user ON request (user)' WHERE name = 'request_user'",
    )
    store.db.pragma('writable_schema = RESET')
    expect((await damage('SELECT 1')).kinds).toEqual(['file'])
  })
})

describe('off the event loop', () => {
  it('verification and export of many rows delay nobody', async () => {
    const settled: Promise<number>[] = []
    for (let i = 0; i < 20_000; i++) settled.push(settle({ key: `k${i % 7}` }))
    await Promise.all(settled)
    await reader.spend({ by: [] })
    // Of the time that the work takes its thread, and how much of it was one pause of this one. On this one it would be all, each time.
    let share = 1
    for (let round = 0; round < 15 && share >= 0.5; round++) {
      const delay = monitorEventLoopDelay({ resolution: 5 })
      delay.enable()
      const start = performance.now()
      const [verified, pieces] = await Promise.all([
        reader.verify(),
        all(reader.export({ format: 'csv', rows: 'attempts' })),
      ])
      delay.disable()
      expect(verified).toMatchObject({ ok: true, requests: 20_000 })
      expect(pieces.join('').split('\r\n')).toHaveLength(20_002)
      share = delay.max / 1e6 / (performance.now() - start)
    }
    expect(share).toBeLessThan(0.5)
  })
})

describe('threads', () => {
  it('end when they are closed, and a process that waits for that gets there', { timeout: 300_000 }, async () => {
    const from = (name: string): string =>
      JSON.stringify(fileURLToPath(new URL(`../src/store/${name}.ts`, import.meta.url)))
    const script = `
      import { openStore } from ${from('open')}
      import { openLedger } from ${from('ledger')}
      import { openReader } from ${from('reader')}
      const store = openStore({ file: ${JSON.stringify(join(folder, 'other.db'))} })
      const ledger = openLedger(store)
      const reader = openReader(store.file)
      const { frames } = await ledger.keeper.checkpoint()
      const { ok } = await reader.verify()
      await reader.close()
      await ledger.close()
      store.close()
      console.log(frames > 0 && ok ? 'closed' : 'failed')`
    const ran = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      encoding: 'utf8',
    })
    expect(ran).toMatchObject({ stdout: 'closed\n', stderr: '', status: 0 })
    expect(readdirSync(folder).filter((name) => /^other\.db-/.test(name))).toEqual([])
  })

  it('are started anew when they have ended', async () => {
    const later = join(folder, 'later.db')
    const early = openReader(later)
    await expect(early.verify()).rejects.toThrow(/unable to open/)
    const made = openStore({ file: later })
    made.close()
    expect(await early.verify()).toMatchObject({ ok: true, requests: 0 })
    await early.close()
  })

  it('answer with the reason when they fail, and go on', async () => {
    await expect(openReader(join(folder, 'absent.db')).verify()).rejects.toThrow(/unable to open/)
    await expect(reader.spend({ by: ['day'], to: '31.1.2026' })).rejects.toThrow('31.1.2026')
    expect((await reader.verify()).ok).toBe(true)
  })
})

describe('backup and restore', () => {
  it('copies while the writer writes, and the copy is whole and sound', async () => {
    let stop = false
    let made = 0
    const load = (async () => {
      for (; !stop; made++) await settle()
    })()
    while (made < 200) await new Promise((resolve) => setImmediate(resolve))
    const atStart = made
    const copy = join(folder, 'copies', 'one.db')
    const result = await reader.backup(copy)
    stop = true
    await load
    expect(result.file).toBe(copy)
    expect(result.requests).toBeGreaterThanOrEqual(atStart)
    expect(readdirSync(join(folder, 'copies'))).toEqual(['one.db'])
    const copied = openStore({ file: copy })
    expect(copied.db.prepare('SELECT count(*) FROM request').pluck().get()).toBe(result.requests)
    copied.close()
    const copyReader = openReader(copy)
    expect(await copyReader.verify()).toMatchObject({ ok: true, requests: result.requests })
    await copyReader.close()
    await expect(reader.backup(copy)).rejects.toThrow('never overwrites')
  })

  it('restores into an empty place and over an older database, which is kept', async () => {
    const id = await settle()
    const copy = join(folder, 'copy.db')
    await reader.backup(copy)
    expect(modeOf(copy)).toBe(0o600)
    const elsewhere = join(folder, 'new', 'turnout.db')
    // As other programs copy it.
    chmodSync(copy, 0o644)
    expect(restoreFrom(copy, elsewhere)).toEqual({ requests: 1, kept: undefined })
    expect(modeOf(elsewhere)).toBe(0o600)
    const restored = openStore({ file: elsewhere })
    expect(restored.db.prepare('SELECT id FROM request').pluck().all()).toEqual([id])
    const second = openLedger(restored)
    const later = second.nextRequestId()
    await second.settle(requestRow(later), [attemptRow(later)])
    await second.close()
    restored.close()
    const { kept } = restoreFrom(copy, elsewhere)
    expect(existsSync(kept!)).toBe(true)
    const again = openStore({ file: elsewhere })
    expect(again.db.prepare('SELECT id FROM request').pluck().all()).toEqual([id])
    again.close()
    const old = openStore({ file: kept!, readonly: true })
    expect(old.db.prepare('SELECT id FROM request').pluck().all()).toEqual([id, later])
    old.close()
  })

  it('refuses while the database is in use, and leaves it alone', async () => {
    await settle()
    const copy = join(folder, 'copy.db')
    await reader.backup(copy)
    expect(() => restoreFrom(copy, store.file)).toThrow('already in use')
    await settle()
    expect(store.db.prepare('SELECT count(*) FROM request').pluck().get()).toBe(2)
  })

  it('refuses what is damaged, foreign, newer or absent, and leaves the old database in its place', async () => {
    await settle()
    const copy = join(folder, 'copy.db')
    await reader.backup(copy)
    const target = join(folder, 'target', 'turnout.db')
    restoreFrom(copy, target)
    const before = readFileSync(target)

    const bytes = readFileSync(copy)
    writeFileSync(join(folder, 'text.db'), 'no database at all '.repeat(100))
    writeFileSync(join(folder, 'cut.db'), bytes.subarray(0, bytes.length / 2))
    writeFileSync(
      join(folder, 'holed.db'),
      Buffer.concat([bytes.subarray(0, 4096), Buffer.alloc(8192, 0x5a), bytes.subarray(12_288)]),
    )
    writeFileSync(join(folder, 'newer.db'), bytes)
    const newer = new (store.db.constructor as new (file: string) => typeof store.db)(join(folder, 'newer.db'))
    newer.exec("INSERT INTO migration VALUES (9999, '9999_future.sql', 'x', 1)")
    newer.close()
    const foreign = new (store.db.constructor as new (file: string) => typeof store.db)(join(folder, 'foreign.db'))
    foreign.exec('CREATE TABLE request (id INTEGER)')
    foreign.close()
    // Copied from under a gateway: the newest rows are beside the file.
    for (const [name, beside] of [
      ['open.db', 'open.db-wal'],
      ['left.db', 'left.db.journal'],
    ] as const) {
      writeFileSync(join(folder, name), bytes)
      writeFileSync(join(folder, beside), Buffer.alloc(17))
    }
    for (const [name, reason] of [
      ['text.db', /not sound/],
      ['cut.db', /not sound/],
      ['holed.db', /not sound/],
      ['newer.db', /newer than this program/],
      ['foreign.db', /not a database of Turnout/],
      ['absent.db', /no backup/],
      ['open.db', /open\.db-wal: it is in use or was not closed/],
      ['left.db', /left\.db\.journal: it is in use or was not closed/],
    ] as const) {
      expect(() => restoreFrom(join(folder, name), target), name).toThrow(reason)
      expect(readFileSync(target).equals(before)).toBe(true)
    }
    expect(readdirSync(join(folder, 'target')).filter((name) => !/^turnout\.db(\.lock)?$/.test(name))).toEqual([])
  })
})
