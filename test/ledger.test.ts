// The ledger's writer: what is promised to be durable is there, once, with exact sums.
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Entry, makeBatchWriter } from '../src/store/batch.ts'
import { driverPackage, loadDriver } from '../src/store/driver.ts'
import { type Ledger, type LedgerOptions, openLedger } from '../src/store/ledger.ts'
import {
  attemptId,
  dayOf,
  firstIdOf,
  makeIdSource,
  parseId,
  printId,
  requestOf,
  timeOf,
} from '../src/store/ledgerId.ts'
import type { AttemptRow, LedgerError } from '../src/store/ledgerRow.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { factsOf } from '../src/store/rolloutCases.ts'
import { checkpoint } from '../src/store/upkeep.ts'
import { verifyLedger } from '../src/store/verify.ts'
import { attemptRow, intentOf, requestRow, tokens } from './support/ledgerRows.ts'
import fc from './support/seededCheck.ts'

let folder: string
let store: Store
/** Set by tests that need another time than now. */
let clock: number | undefined
const now = (): number => clock ?? Date.now()
const ledgers: Ledger[] = []

beforeEach(() => {
  clock = undefined
  folder = mkdtempSync(join(tmpdir(), 'turnout-ledger-'))
  store = openStore({ file: join(folder, 'turnout.db') })
})

afterEach(async () => {
  for (const ledger of ledgers.splice(0)) await ledger.close()
  store.close()
  rmSync(folder, { recursive: true, force: true })
})

function open(options: LedgerOptions = {}): Ledger {
  const ledger = openLedger(store, { now, ...options })
  ledgers.push(ledger)
  return ledger
}

const count = (table: string): number => store.db.prepare(`SELECT count(*) FROM ${table}`).pluck().get() as number

async function failure(promise: Promise<unknown>): Promise<LedgerError> {
  return promise.then(
    () => {
      throw new Error('expected a failure')
    },
    (error: LedgerError) => error,
  )
}

describe('C25 ids are ours', () => {
  it('C25 grow strictly, within a millisecond and when the clock goes back', () => {
    let now = Date.UTC(2026, 0, 5)
    const ids = makeIdSource(0, () => now)
    const made: number[] = []
    for (let i = 0; i < 500; i++) made.push(ids.next())
    now -= 3_600_000
    for (let i = 0; i < 500; i++) made.push(ids.next())
    now += 7_200_000
    made.push(ids.next())
    for (let i = 1; i < made.length; i++) expect(made[i]!).toBeGreaterThan(made[i - 1]!)
    expect(timeOf(made[0]!)).toBe(Date.UTC(2026, 0, 5))
    expect(timeOf(made.at(-1)!)).toBe(now)
    expect(made.every((id) => id % 64 === 0 && Number.isSafeInteger(id))).toBe(true)
  })

  it('C25 grow across restarts, also when the clock was set back between', async () => {
    clock = Date.now() + 86_400_000
    const first = open()
    const used = first.nextRequestId()
    await first.settle(requestRow(used, { outcome: 'refused', status: 402 }), [])
    const unwritten = first.nextRequestId()
    expect(timeOf(unwritten)).toBe(clock)
    await first.close()
    clock -= 2 * 86_400_000
    const second = open()
    const [third, fourth] = [second.nextRequestId(), second.nextRequestId()]
    expect(third).toBeGreaterThan(unwritten)
    // Again, and this time nothing was written at all.
    await second.close()
    expect(open().nextRequestId()).toBeGreaterThan(fourth)
  })

  it('C25 are printed so that texts sort as the ids do, and read back', () => {
    fc.assert(
      fc.property(fc.nat(Number.MAX_SAFE_INTEGER), fc.nat(Number.MAX_SAFE_INTEGER), (a, b) => {
        expect(parseId(printId(a))).toBe(a)
        expect(printId(a) < printId(b)).toBe(a < b)
      }),
    )
    expect(printId(0)).toBe('req_00000000000')
    for (const text of ['req_', 'req_0', '00000000000', 'req_0000000000l', 'req_zzzzzzzzzzz', "req_' OR 1=1 --"]) {
      expect(parseId(text)).toBeUndefined()
    }
  })

  it('C25 hold their time and their request', () => {
    const id = makeIdSource(0, () => Date.UTC(2026, 1, 28, 23, 59, 59, 999)).next()
    expect(dayOf(id)).toBe(20260228)
    expect(dayOf(firstIdOf(Date.UTC(2026, 2, 1)))).toBe(20260301)
    expect(requestOf(attemptId(id, 63))).toBe(id)
    expect(() => attemptId(id, 64)).toThrow(RangeError)
    expect(timeOf(2 ** 53 - 1)).toBeGreaterThan(Date.UTC(2090, 0, 1))
  })
})

describe('rows', () => {
  it('an intent is in the database when its promise resolves, and goes after its request is settled', async () => {
    const ledger = open()
    const id = ledger.nextRequestId()
    await ledger.intend(intentOf(id))
    expect(store.db.prepare('SELECT id FROM intent').pluck().all()).toEqual([id + 1])
    await ledger.settle(requestRow(id), [attemptRow(id)])
    expect(count('request')).toBe(1)
    const next = ledger.nextRequestId()
    await ledger.intend(intentOf(next))
    expect(store.db.prepare('SELECT id FROM intent').pluck().all()).toEqual([next + 1])
  })

  it('an intent is not written where its attempt ends in the same transaction, and is written again after a rollback', () => {
    const writer = makeBatchWriter(store.db, store.instance)
    const [one, other] = [makeIdSource(0, now), firstIdOf(Date.UTC(2026, 0, 5))]
    const id = one.next()
    const intent: Entry = { kind: 'intent', intent: intentOf(id) }
    const settled: Entry = { kind: 'settle', request: requestRow(id), attempts: [attemptRow(id)] }
    const open: Entry = { kind: 'intent', intent: intentOf(other) }
    expect(writer.write([intent, open, settled])).toEqual([])
    expect(store.db.prepare('SELECT id FROM intent').pluck().all()).toEqual([attemptId(other, 1)])
    expect([count('request'), count('attempt')]).toEqual([1, 1])

    const next = one.next()
    const broken = { kind: 'settle', request: { ...requestRow(next), status: {} }, attempts: [] } as unknown as Entry
    const settledNext: Entry = { kind: 'settle', request: requestRow(next), attempts: [attemptRow(next)] }
    const intentNext: Entry = { kind: 'intent', intent: intentOf(next) }
    expect(() => writer.write([intentNext, settledNext, broken])).toThrow(RangeError)
    writer.write([intentNext])
    expect(count('intent')).toBe(2)
    writer.write([settledNext])
    // Its row goes with the next intents.
    writer.write([{ kind: 'intent', intent: intentOf(one.next()) }])
    expect(store.db.prepare('SELECT count(*) FROM intent WHERE id = ?').pluck().get(attemptId(next, 1))).toBe(0)
  })

  it('keeps every fact of a request and its attempts (C27: each leg)', async () => {
    const ledger = open()
    const id = ledger.nextRequestId()
    const rollout = factsOf({
      rollout: 'chat-haiku',
      revision: 12,
      arm: 'canary',
      propensityPpm: 50_000,
      assignment: 'hash',
      unit: 'h_1',
      arrivalSeq: 77,
      firstAttemptClass: 'rate_limited',
      badMask: 5,
      shares: { 3: 990_000, 4: 980_000 },
      servedArm: 'stable',
      shadowOf: id - 64,
    })
    await ledger.settle(
      requestRow(id, {
        user: 'u_abc',
        tags: { app: 'crm' },
        stream: true,
        config: 9,
        outcome: 'partial',
        error: 'cut',
        rollout,
      }),
      [
        attemptRow(id, 1, {
          status: 429,
          fault: 'rate_limited',
          served: undefined,
          finish: undefined,
          tokens: tokens({ input: 0, output: 0 }),
          cost: 0,
        }),
        attemptRow(id, 2, {
          target: 'anthropic/claude',
          provider: 'anthropic',
          model: 'claude-x',
          lane: 'hub',
          tokens: {
            input: 1,
            cacheRead: 2,
            cacheWrite5m: 3,
            cacheWrite1h: 4,
            output: 5,
            reasoning: 6,
            audioIn: 7,
            audioOut: 8,
          },
          estimated: true,
          losses: [{ param: 'logprobs', reason: 'unsupported' }],
        }),
      ],
    )
    expect(store.db.prepare('SELECT * FROM requests').get()).toEqual({
      id,
      at: timeOf(id),
      route: 'chat',
      key: 'key-1',
      team: 'team-1',
      user: 'u_abc',
      tags: '{"app":"crm"}',
      dialect: 'openai-chat',
      stream: 1,
      config: 9,
      status: 200,
      outcome: 'partial',
      error: 'cut',
      latency_us: 812_345,
      first_us: 201_500,
      overhead_us: 321,
      attempts: 2,
      tokens_in: 17,
      tokens_out: 19,
      cost: 6_400_000,
      estimated: 1,
      rollout: 'chat-haiku',
      revision: 12,
      arm: 'canary',
      propensity_ppm: 50_000,
      assignment: 'hash',
      unit: 'h_1',
      arrival_seq: 77,
      first_attempt_class: 'rate_limited',
      bad_mask: 5,
      clean_share_ppm: 990_000,
      served_arm: 'stable',
      shadow_of: id - 64,
      cache: null,
      cache_age_s: null,
      cache_saved: null,
    })
    const classes = 'cache_read, cache_write_5m, cache_write_1h, output, reasoning, audio_in, audio_out, estimated'
    expect(Object.values(store.db.prepare(`SELECT ${classes} FROM rollup WHERE input = 1`).get() as object)).toEqual([
      2, 3, 4, 5, 6, 7, 8, 1,
    ])
    const [first, second] = store.db.prepare('SELECT * FROM attempts ORDER BY id').all() as Record<string, unknown>[]
    expect(first).toMatchObject({
      request: id,
      n: 1,
      status: 429,
      fault: 'rate_limited',
      served: '',
      finish: '',
      cost: 0,
      losses: null,
    })
    expect(second).toEqual({
      id: id + 2,
      request: id,
      n: 2,
      target: 'anthropic/claude',
      provider: 'anthropic',
      model: 'claude-x',
      served: 'gpt-4o-2024-11-20',
      lane: 'hub',
      reason: 'fallback',
      status: 200,
      fault: '',
      finish: 'stop',
      started_us: 200,
      latency_us: 811_900,
      first_us: 201_100,
      input: 1,
      cache_read: 2,
      cache_write_5m: 3,
      cache_write_1h: 4,
      output: 5,
      reasoning: 6,
      audio_in: 7,
      audio_out: 8,
      estimated: 1,
      price_source: 'genai-prices',
      price_version: '0.1.8',
      cost: 6_400_000,
      losses: '[{"param":"logprobs","reason":"unsupported"}]',
    })
  })

  it('C24 an unknown price is NULL for the attempt and the request, and counted in the sums', async () => {
    const ledger = open()
    const id = ledger.nextRequestId()
    await ledger.settle(requestRow(id), [
      attemptRow(id, 1, { cost: null, priceSource: undefined }),
      attemptRow(id, 2, { cost: 5 }),
    ])
    expect(store.db.prepare('SELECT cost FROM request').pluck().get()).toBeNull()
    expect(store.db.prepare('SELECT cost FROM attempt ORDER BY id').pluck().all()).toEqual([null, 5])
    expect(store.db.prepare('SELECT cost, unpriced FROM rollup').get()).toEqual({ cost: 5, unpriced: 1 })
  })

  it('sums are exact where doubles are not, and verify agrees', async () => {
    const ledger = open()
    const huge = Number.MAX_SAFE_INTEGER
    const settled: Promise<void>[] = []
    for (let i = 0; i < 5; i++) {
      const id = ledger.nextRequestId()
      settled.push(ledger.settle(requestRow(id), [attemptRow(id, 1, { cost: huge - i })]))
    }
    await Promise.all(settled)
    const sum = store.db.prepare('SELECT sum(cost) FROM rollup').pluck().safeIntegers().get()
    expect(sum).toBe(5n * BigInt(huge) - 10n)
    const verified = verifyLedger(store.db)
    expect(verified).toMatchObject({ ok: true, requests: 5, attempts: 5, cost: sum })
  })

  it('random requests: the daily sums are the sums of the rows, whatever the grouping into commits', async () => {
    const name = fc.constantFrom('a', 'b', '')
    const attempt = fc.record({
      model: fc.constantFrom('m1', 'm2', 'm3'),
      provider: fc.constantFrom('p1', 'p2'),
      cost: fc.option(fc.nat(1e12), { nil: null }),
      estimated: fc.boolean(),
      input: fc.nat(1e6),
      reasoning: fc.nat(1e6),
    })
    const request = fc.record({
      route: name,
      key: name,
      team: name,
      outcome: fc.constantFrom('ok' as const, 'failed' as const),
      attempts: fc.array(attempt, { maxLength: 4 }),
      wait: fc.boolean(),
    })
    clock = Date.UTC(2030, 3, 30, 23, 59, 59, 900)
    const ledger = open()
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 12 }), async (requests) => {
        const settled: Promise<void>[] = []
        for (const { attempts, wait, ...facts } of requests) {
          clock = now() + 7
          const id = ledger.nextRequestId()
          const rows = attempts.map(
            ({ input, reasoning, ...own }, place): AttemptRow =>
              attemptRow(id, place + 1, { ...own, tokens: tokens({ input, reasoning }) }),
          )
          settled.push(ledger.settle(requestRow(id, facts), rows))
          if (wait) await settled.at(-1)
        }
        await Promise.all(settled)
        expect(verifyLedger(store.db)).toMatchObject({ ok: true, problems: [] })
      }),
      { numRuns: 40 },
    )
    expect(store.db.prepare('SELECT count(DISTINCT day) FROM rollup').pluck().get()).toBeGreaterThan(1)
  })
})

describe('group commit', () => {
  it('commits all rows of one turn of the event loop together', async () => {
    const ledger = open()
    await ledger.intend(intentOf(ledger.nextRequestId()))
    const before = ledger.stats.commits
    await Promise.all(Array.from({ length: 200 }, () => ledger.intend(intentOf(ledger.nextRequestId()))))
    expect(ledger.stats.commits).toBe(before + 1)
    expect(count('intent')).toBe(201)
  })

  it('refuses a row that is there already and one that makes no sense, and writes their neighbours', async () => {
    const ledger = open()
    const [first, second, third, fourth] = Array.from({ length: 4 }, () => ledger.nextRequestId()) as [
      number,
      number,
      number,
      number,
    ]
    await ledger.settle(requestRow(first), [attemptRow(first)])
    const again = failure(ledger.settle(requestRow(first), [attemptRow(first, 1, { cost: 1 })]))
    const good = ledger.settle(requestRow(second), [attemptRow(second)])
    // SQLite itself refuses this one: the check of numbers lets a text through that is no text.
    const odd = failure(
      ledger.settle(requestRow(third, { user: { $ne: 1 } as unknown as string }), [attemptRow(third)]),
    )
    const last = ledger.settle(requestRow(fourth), [attemptRow(fourth)])
    expect(await again).toMatchObject({ code: 'duplicate', kept: false })
    expect(await odd).toMatchObject({ code: 'invalid', kept: false })
    await Promise.all([good, last])
    expect(store.db.prepare('SELECT id FROM request').pluck().all()).toEqual([first, second, fourth])
    expect(verifyLedger(store.db)).toMatchObject({ ok: true })
    expect(ledger.stats.failures).toMatchObject({ duplicate: 1, invalid: 1 })
  })

  it('refuses numbers that would make a sum inexact, before they reach the database', async () => {
    const ledger = open()
    const id = ledger.nextRequestId()
    const bad: Partial<AttemptRow>[] = [
      { cost: 0.5 },
      { cost: -1 },
      { cost: 2 ** 53 },
      { cost: Number.NaN },
      { tokens: tokens({ input: -1 }) },
      { tokens: tokens({ output: 1.5 }) },
      { id: id + 64 },
    ]
    for (const over of bad) {
      expect(await failure(ledger.settle(requestRow(id), [attemptRow(id, 1, over)]))).toMatchObject({ code: 'invalid' })
    }
    expect(await failure(ledger.intend({ ...intentOf(id), id }))).toMatchObject({ code: 'invalid' })
    expect(count('request') + count('attempt') + count('intent')).toBe(0)
  })

  it('takes no more after it was closed, and what was handed over before is written', async () => {
    const ledger = open()
    const id = ledger.nextRequestId()
    const settled = ledger.settle(requestRow(id), [attemptRow(id)])
    await ledger.close()
    await settled
    expect(count('request')).toBe(1)
    expect(await failure(ledger.intend(intentOf(id)))).toMatchObject({ code: 'closed' })
  })
})

describe('modes', () => {
  it('power: rows are there when the promise resolves, and syncs are shared', async () => {
    const ledger = open({ mode: 'power' })
    const ids = Array.from({ length: 300 }, () => ledger.nextRequestId())
    await Promise.all(
      ids.map(async (id) => {
        await ledger.intend(intentOf(id))
        await ledger.settle(requestRow(id), [attemptRow(id)])
      }),
    )
    expect(count('request')).toBe(300)
  })

  it('relaxed: promises resolve before the commit; closing writes all', async () => {
    const ledger = open({ mode: 'relaxed' })
    const id = ledger.nextRequestId()
    await ledger.intend(intentOf(id))
    await ledger.settle(requestRow(id), [attemptRow(id)])
    expect(count('request')).toBe(0)
    await ledger.close()
    expect(count('request')).toBe(1)
    expect(verifyLedger(store.db)).toMatchObject({ ok: true })
  })

  it('relaxed: rows are written soon without closing', async () => {
    const ledger = open({ mode: 'relaxed' })
    const id = ledger.nextRequestId()
    await ledger.settle(requestRow(id), [attemptRow(id)])
    await expect.poll(() => count('request')).toBe(1)
  })
})

describe('orphans', () => {
  it('calls that a dead run left open are settled by estimate, once, and show up as such', async () => {
    const dead = open()
    const [lone, retried, done] = [dead.nextRequestId(), dead.nextRequestId(), dead.nextRequestId()]
    await dead.intend(intentOf(lone, 1, { user: 'u_x', stream: true, config: 4 }))
    await dead.intend(intentOf(retried, 1))
    await dead.intend(intentOf(retried, 2, { model: 'm2', estimate: { inputTokens: 7, outputTokens: 8, cost: null } }))
    await dead.intend(intentOf(done))
    await dead.settle(requestRow(done), [attemptRow(done)])
    await dead.close()

    const next = open()
    expect(next.stats.orphans).toBe(3)
    expect(count('intent')).toBe(0)
    expect(
      store.db
        .prepare(
          'SELECT id, outcome, error, status, attempts, cost, estimated, user, stream, config FROM requests ORDER BY id',
        )
        .all(),
    ).toEqual([
      {
        id: lone,
        outcome: 'interrupted',
        error: 'interrupted',
        status: 0,
        attempts: 1,
        cost: 750_000,
        estimated: 1,
        user: 'u_x',
        stream: 1,
        config: 4,
      },
      {
        id: retried,
        outcome: 'interrupted',
        error: 'interrupted',
        status: 0,
        attempts: 2,
        cost: null,
        estimated: 1,
        user: null,
        stream: 0,
        config: 1,
      },
      {
        id: done,
        outcome: 'ok',
        error: '',
        status: 200,
        attempts: 1,
        cost: 6_400_000,
        estimated: 0,
        user: null,
        stream: 0,
        config: 1,
      },
    ])
    expect(
      store.db.prepare('SELECT fault, input, output, price_source FROM attempts WHERE id = ?').get(lone + 1),
    ).toEqual({
      fault: 'interrupted',
      input: 100,
      output: 50,
      price_source: 'overlay',
    })
    expect(verifyLedger(store.db)).toMatchObject({ ok: true, requests: 3, attempts: 4 })
    await next.close()
    expect(open().stats.orphans).toBe(0)
    expect(count('attempt')).toBe(4)
  })

  it('a call that was left out of its settled request is added to it', async () => {
    const dead = open()
    const id = dead.nextRequestId()
    await dead.intend(intentOf(id, 1))
    await dead.intend(intentOf(id, 2))
    await dead.settle(requestRow(id), [attemptRow(id, 1)])
    await dead.close()
    expect(open().stats.orphans).toBe(1)
    expect(store.db.prepare('SELECT attempts, cost, outcome FROM requests').get()).toEqual({
      attempts: 2,
      cost: 7_150_000,
      outcome: 'ok',
    })
    expect(verifyLedger(store.db)).toMatchObject({ ok: true })
  })
})

describe('checkpoints', () => {
  it('what was written moves from the log into the file without being asked to', async () => {
    const ledger = open({ smallCommits: 10_000 })
    const before = statSync(store.file).size
    for (let i = 0; i < 1000; i++) {
      const id = ledger.nextRequestId()
      await ledger.settle(requestRow(id), [attemptRow(id)])
    }
    await expect.poll(() => statSync(store.file).size, { timeout: 60_000 }).toBeGreaterThan(before)
  })

  it('the log does not grow without end under constant load', async () => {
    // Each row in a transaction of its own; but those that meet a checkpoint of the keeper's thread go by way of the journal, some at a time.
    const ledger = open({ smallCommits: 10_000 })
    const wal = `${store.file}-wal`
    let written = 0
    // 6000 commits of four pages and more would be beyond 100 MB.
    while (ledger.stats.commits < 6000) {
      for (let i = 0; i < 250; i++) {
        const id = ledger.nextRequestId()
        await ledger.intend(intentOf(id))
        await ledger.settle(requestRow(id), [attemptRow(id)])
      }
      written += 250
      await ledger.keeper.checkpoint()
    }
    expect(statSync(wal).size).toBeLessThan(30_000_000)
    await ledger.flush()
    expect(verifyLedger(store.db)).toMatchObject({ ok: true, requests: written })
  })

  it('the log starts anew even where rows come in while it is moved', async () => {
    store.db.exec('CREATE TABLE stuffing (bytes BLOB)')
    // 300 MB, in turns of about a millisecond as the gateway commits.
    const writer = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads')
      const db = new (require(workerData.driver))(workerData.file, { timeout: 60000 })
      db.pragma('synchronous = NORMAL')
      db.pragma('wal_autocheckpoint = 0')
      const write = db.prepare('INSERT INTO stuffing VALUES (zeroblob(100000))')
      const clock = new Int32Array(new SharedArrayBuffer(4))
      for (let i = 0; i < 3000; i++) {
        write.run()
        if (i % 300 === 299) parentPort.postMessage('30 MB more')
        Atomics.wait(clock, 0, 0, 1)
      }
      db.close()`,
      {
        eval: true,
        workerData: { file: store.file, driver: createRequire(import.meta.url).resolve(driverPackage()) },
      },
    )
    const keeper = new (loadDriver())(store.file, { timeout: 2000 })
    let longest = 0
    writer.on('message', () => {
      longest = Math.max(longest, checkpoint(keeper).frames)
    })
    await new Promise((resolve, reject) => writer.once('exit', resolve).once('error', reject))
    keeper.close()
    // 64 MB, and what comes in until the next move and during it.
    expect(longest).toBeLessThan(150 * 256)
  })
})
