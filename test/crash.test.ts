// C53: the whole program, killed with `kill -9` at random moments under load, has lost no row and counted none twice.
import { describe, expect, it } from 'vitest'
import type { Call } from '../src/simulator/call.ts'
import { printId } from '../src/store/ledgerId.ts'
import type { StoredAttempt, StoredRequest } from '../src/store/requestRead.ts'
import { compare, type Stories } from './support/crash/compare.ts'
import { describeReport, runRounds } from './support/crash/rounds.ts'
import type { Sighting } from './support/crash/traffic.ts'

describe('C53 kill -9 of the whole program', () => {
  it('C53 25 rounds: clients, the vendor and the ledger tell one story', { timeout: 300_000 }, async () => {
    const report = await runRounds({ rounds: 25, seed: 20 })
    console.log(describeReport(report))
    expect(report.wrong).toEqual([])
    expect(report.rounds).toEqual({ process: 19, power: 3, relaxed: 3 })
    expect(report.exactCost).toBe(report.exactBill)
    // A test that met no call in the middle of anything would have seen nothing.
    expect(report.orphans).toBeGreaterThan(30)
    expect(report.whole).toBeGreaterThan(200)
    expect(report.cut).toBeGreaterThan(30)
    expect(report.exactBill).toBeGreaterThan(0n)
    expect(Math.min(...Object.values(report.moments))).toBeGreaterThan(0)
  })
})

/** A round in which all went well; each test spoils one thing. */
function story(): { stories: Stories; sighting: Sighting; row: StoredRequest; attempt: StoredAttempt; call: Call } {
  const id = 4096 * 1000
  const sighting: Sighting = {
    user: 'alice',
    model: 'quick',
    stream: true,
    seen: 'whole',
    status: 200,
    requestId: printId(id),
    replyId: 'chatcmpl-abc',
    text: '',
    at: 500,
  }
  const row = { id, user: 'u_alice', outcome: 'ok', status: 200 } as StoredRequest
  const attempt = {
    id: id + 1,
    request: id,
    n: 1,
    model: 'sim-quick',
    estimated: 0,
    fault: '',
    input: 20,
    cache_read: 5,
    cache_write_5m: 0,
    cache_write_1h: 0,
    audio_in: 0,
    output: 9,
    reasoning: 3,
    audio_out: 0,
    cost: 20 * 400 + 5 * 100 + 12 * 1600,
  } as StoredAttempt
  const call = {
    id: 'abc',
    model: 'sim-quick',
    promptTokens: 25,
    cachedTokens: 5,
    completionTokens: 12,
    reasoningTokens: 3,
    startedAt: 5000,
    body: Buffer.from('{"user":"alice"}'),
  } as Call
  const rows = { requests: new Map([['u_alice', [row]]]), attempts: new Map([[id, [attempt]]]), last: id }
  const stories = { sightings: [sighting], calls: [call], rows, hash: (user: string) => `u_${user}` }
  return { stories, sighting, row, attempt, call }
}

type Story = ReturnType<typeof story>

describe('the comparison itself', () => {
  it('has nothing against a story that fits', () => {
    expect(compare(story().stories)).toMatchObject({ wrong: [], whole: 1, calls: 1, rows: 1, exactCost: 27_700n })
  })

  it.each<[string, (it: Story) => void, RegExp]>([
    ['a lost row', ({ stories }) => stories.rows.requests.clear(), /no row, 1 upstream calls/],
    ['a doubled row', ({ stories, row }) => stories.rows.requests.set('u_alice', [row, row]), /2 rows/],
    ['a row of nobody', ({ stories, row }) => stories.rows.requests.set('u_bob', [row]), /u_bob, whom nobody sent/],
    ['a lost attempt', ({ stories }) => stories.rows.attempts.clear(), /0 attempts of 1 upstream calls/],
    [
      'a doubled attempt',
      ({ stories, row, attempt }) => stories.rows.attempts.set(row.id, [attempt, attempt]),
      /2 attempts of 1/,
    ],
    ['a token too many', ({ attempt }) => attempt.output++, /books 25,5,13,3, the vendor counted 25,5,12,3/],
    ['a nano-dollar too few', ({ attempt }) => attempt.cost!--, /exact rows cost 27699, the vendor's bill is 27700/],
    ['an estimate for a count', ({ attempt }) => (attempt.estimated = 1), /is an estimate/],
    ['a whole reply that was never settled', ({ row }) => (row.outcome = 'interrupted'), /interrupted/],
    ['a whole reply that is called a failure', ({ row }) => (row.outcome = 'failed'), /not one of ok/],
    ['another id', ({ sighting }) => (sighting.requestId = printId(64)), /another id/],
    ["another one's reply", ({ sighting }) => (sighting.replyId = 'chatcmpl-xyz'), /not the vendor's abc/],
    ['another status', ({ row }) => (row.status = 201), /another status/],
    ['a call that nobody asked for', ({ call }) => (call.body = Buffer.from('{"user":"eve"}')), /1 calls of eve/],
  ])('sees %s', (_, spoil, expected) => {
    const it = story()
    spoil(it)
    expect(compare(it.stories).wrong.join('\n')).toMatch(expected)
  })

  it('forgives only what the mode may lose, and counts it', () => {
    const { stories } = story()
    stories.rows.requests.clear()
    const lost = { ...stories, forgiven: { monotonic: 400, unix: 4000 } }
    expect(compare(lost)).toMatchObject({ wrong: [], lost: 1 })
    expect(compare({ ...lost, forgiven: { monotonic: 501, unix: 4000 } }).wrong).toHaveLength(1)
    expect(compare({ ...lost, forgiven: { monotonic: 400, unix: 5001 } }).wrong).toHaveLength(1)
  })
})
