// Random moves of an operator under traffic whose vendors fail, with a cache, budgets, switches and restarts between them. Nobody says what
// has to come of it, but replies, rows and evidence have to tell the same story. MOVES_SEED=7 npx vitest run test/movesUnderWay.test.ts
import { afterEach, describe, expect, it } from 'vitest'
import { LoadClient, type Reply } from './soak/load.ts'
import { keys } from './support/control.ts'
import { drawOf } from './support/draws.ts'
import { type RolloutGateway, startRollout } from './support/rolloutLoad.ts'

let gateway: RolloutGateway
let client: LoadClient
afterEach(async () => {
  client?.close()
  await gateway?.close()
})

const rollout = `    assign: { unit: UNIT }
    guards: { abort: [ { metric: first_attempt_error, share: 0.5 }, { metric: late_error } ], dryRun: [ first_attempt_error, late_error ] }
    steps: [ { setWeight: 30 }, { pause: { duration: 1h } }, { setWeight: 100 }, { pause: { duration: 1h } } ]
`
/** The route's own target is soon too dear, so that requests of both arms are sent on to another route. */
const money = `prices: { canary: { input: 0, output: 1, maxOutput: 100 }, "*": { input: 0, output: 100, maxOutput: 100 } }
budgets: { stable: { only: { target: sim/stable }, usd: 0.02, onExhausted: "route:single" } }
`
const kept = ', cache: { deterministicOnly: false, ttl: 1ms, staleIfError: 1h }'
const targets = ['sim/stable', 'other/canary'] as const
const faults = [{}, {}, { fault: { kind: 'status', status: 503 } }, { fault: { kind: 'status', status: 401 } }]

interface Row {
  readonly id: string
  readonly rollout: { arm: string; revision: number; assignment: string }
  readonly bad_events: readonly string[]
}

/** As its reply and its row tell it. */
const storyOf = (reply: Reply): string | undefined => reply.headers['x-turnout-rollout']?.toString()

const rowsOf = async (only = ''): Promise<Row[]> => {
  const rows: Row[] = []
  for (let cursor: string | undefined = ''; cursor !== undefined; ) {
    const page = await gateway.get(`/rollouts/move/requests?limit=1000${only}${cursor}`)
    rows.push(...page.data)
    cursor = page.has_more ? `&cursor=${page.next_cursor}` : undefined
  }
  return rows
}

async function moveAbout(seed: number, unit: string): Promise<void> {
  const draw = drawOf(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(draw() * list.length)]!
  gateway = await startRollout(rollout.replace('UNIT', unit), money, { route: kept, random: draw })
  client = new LoadClient(gateway.url)
  const replies: Reply[] = []
  /** By unit: the highest share with which it was on the stable side, and the lowest with which it was on the canary. */
  const places = new Map<string, { stable: number; canary: number }>()
  const off = new Set<string>()
  const act = async (path: string, body: object, method = 'POST') =>
    gateway.ask(method, path, { reason: 'test', ...body }, 'admin')

  const traffic = async (): Promise<void> => {
    const { percent } = await gateway.get('/rollouts/move')
    for (let n = 0; n < 6; n++) {
      const user = `u${Math.floor(draw() * 8)}`
      const messages = [{ role: 'user', content: `How do you do, number ${Math.floor(draw() * 4)}?` }]
      const reply = await client.ask(
        { model: 'moved', user, stream: draw() < 0.5, messages },
        { headers: { authorization: `Bearer ${keys.app}` } },
      )
      replies.push(reply)
      const arm = /arm=(\w+)/.exec(storyOf(reply) ?? '')?.[1] as 'stable' | 'canary' | undefined
      if (percent === 0) expect(arm).not.toBe('canary')
      if (arm === undefined || unit !== 'user') continue
      const place = places.get(user) ?? { stable: -1, canary: 101 }
      place[arm] = arm === 'stable' ? Math.max(place.stable, percent) : Math.min(place.canary, percent)
      places.set(user, place)
    }
  }
  const moves: readonly (() => Promise<unknown>)[] = [
    traffic,
    traffic,
    traffic,
    () => act(`/rollouts/move/${pick(['start', 'retry', 'pause', 'resume', 'promote', 'abort'])}`, { force: true }),
    () => act('/rollouts/move/set-weight', { percent: pick([0, 20, 50, 80, 100]) }),
    async () => gateway.script(pick(['stable', 'canary']), { tokens: 5, ...pick(faults) }),
    async () => {
      const target = pick(targets)
      const verb = off.has(target) ? pick(['enable', 'reset']) : 'disable'
      await act(`/targets/${target}/${verb}`, {})
      off[verb === 'disable' ? 'add' : 'delete'](target)
    },
    async () => {
      const before = await gateway.get('/rollouts/move')
      await gateway.restart()
      client.close()
      client = new LoadClient(gateway.url)
      const after = await gateway.get('/rollouts/move')
      expect([after.phase, after.percent, after.revision]).toEqual([before.phase, before.percent, before.revision])
      if (before.evidence && ['stepping', 'paused', 'awaiting'].includes(before.phase)) {
        const { guards, decided } = after.evidence
        expect([guards, decided]).toEqual([before.evidence.guards, before.evidence.decided])
      }
    },
    async () => {
      const { data } = (await gateway.ask('GET', '/models/health', undefined, 'admin')).body
      const shut = data.filter(({ breaker }: never) => Object(breaker).state === 'disabled')
      expect(new Set(shut.map(({ id }: never) => id))).toEqual(off)
    },
  ]
  await gateway.verb('start')
  for (let n = 0; n < 32; n++) await pick(moves)()
  await moves[7]!()
  await moves[8]!()

  // Where a unit is, only the share decides; and it never goes back when that rises.
  for (const [user, { stable, canary }] of places) expect([user, stable < canary]).toEqual([user, true])
  const rows = await rowsOf()
  const byId = new Map(rows.map((row) => [row.id, row.rollout]))
  for (const reply of replies) {
    const row = byId.get(String(reply.headers['x-request-id']))
    expect(storyOf(reply)).toBe(row && `move; arm=${row.arm}; rev=${row.revision}`)
  }
  const { attempt, evidence } = await gateway.get('/rollouts/move')
  const last = await rowsOf(`&attempt=${attempt}`)
  for (const guard of evidence.guards) {
    const bad = { stable: 0, canary: 0 }
    for (const row of last) if (row.bad_events.includes(guard.id)) bad[row.rollout.arm as 'stable']++
    expect([guard.id, bad]).toEqual([guard.id, guard.bad])
  }
}

describe('whatever is moved, and whatever fails meanwhile', () => {
  const first = Number(process.env.MOVES_SEED ?? 1)
  it.each([
    [first, 'request'],
    [first + 1, 'user'],
  ])('replies, rows and evidence agree, and a restart changes nothing: seed %i, by %s', moveAbout, 120_000)
})
