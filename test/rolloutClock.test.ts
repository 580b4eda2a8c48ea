// A clock that is set back while rollouts run: what is told of them has no negative times, and what was completed last counts.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { historyOf } from '../src/state/rollouts/history.ts'
import { writeHistory } from '../src/state/rollouts/historyText.ts'
import { Rollouts } from '../src/state/rollouts/rollouts.ts'
import { baseOf } from '../src/state/rollouts/traffic.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { openRollouts } from '../src/store/rollouts.ts'

const { snapshot } = parseConfig(
  `providers: { up: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1" } }
routes: { chat: up/old }
rollouts:
  move: { route: chat, canary: up/new, steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ] }
  again: { route: chat, canary: up/newer, steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ] }
  asks: { route: chat, canary: up/newest, steps: [ { setWeight: 50 }, { pause: { duration: 1h, minRequests: 0, approval: true } } ] }
`,
  { env: {}, version: 1 },
)

const by = { actor: 'ann', reason: 'test', cause: 'operator' } as const
const hour = 3_600_000
let folder: string
let store: Store
let rollouts: Rollouts
let now: number
const open = (): void => {
  rollouts = new Rollouts({ keeper: openRollouts(store), snapshot: () => snapshot, now: () => now })
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-clock-'))
  store = openStore({ file: join(folder, 'turnout.db') })
  now = Date.parse('2026-01-31T08:00:00Z')
  open()
})
afterEach(async () => {
  await rollouts.close()
  store.close()
  rmSync(folder, { recursive: true })
})

it('makes no negative times in a report', async () => {
  const live = await rollouts.create(snapshot.rollouts.get('move')!, { ...by, origin: 'file' })
  await rollouts.command('move', { ...by, verb: 'start' })
  now -= 2 * hour
  await rollouts.command('move', { ...by, verb: 'pause' })
  now += hour
  const running = historyOf(live, rollouts.events(live), now)
  expect(running.attempts[0]!.lasted_ms).toBe(0)
  expect(running.attempts[0]!.stages.map(({ lasted_ms }) => lasted_ms)).toEqual([0, hour])
  await rollouts.command('move', { ...by, verb: 'abort' })
  const over = historyOf(live, rollouts.events(live), now)
  const page = writeHistory(
    {
      rollout: 'move',
      route: 'chat',
      stable: ['up/old'],
      canary: ['up/new'],
      unit: 'request',
      phase: 'rolled_back',
      percent: 0,
      revision: 4,
      created_at: new Date(now).toISOString(),
      created_by: 'file',
      chain: rollouts.chains.findBreak(live.id) ?? 'unbroken',
    },
    over,
  )
  expect(page).toContain('| 2 | 2026-01-31T08:00:00.000Z | ann | start | stepping | 50 % | 0 s | test |')
  expect(page).toContain(' | ann | pause | paused | 50 % | 1 h 0 min | test |')
  expect(page).not.toMatch(/ -\d/)
})

it('puts nothing that is completed under what was completed before', async () => {
  for (const name of ['again', 'move']) await rollouts.create(snapshot.rollouts.get(name)!, { ...by, origin: 'file' })
  const asked = (): string[] =>
    baseOf(snapshot, rollouts.route('chat'), rollouts.traffic.of('chat')?.promoted ?? []).map(({ id }) => id)
  for (const name of ['move', 'again']) {
    await rollouts.command(name, { ...by, verb: 'start' })
    await rollouts.command(name, { ...by, verb: 'promote', full: true })
    now -= hour
  }
  expect(asked()).toEqual(['up/newer', 'up/new', 'up/old'])
  open()
  expect(asked()).toEqual(['up/newer', 'up/new', 'up/old'])
})

it('waits for a step that began while the clock was ahead no longer than for others', async () => {
  const live = await rollouts.create(snapshot.rollouts.get('asks')!, { ...by, origin: 'file' })
  now += 400 * 24 * hour
  await rollouts.command('asks', { ...by, verb: 'start' })
  now -= 400 * 24 * hour
  const phaseAfter = async (ms: number): Promise<string> => {
    now += ms
    rollouts.tick()
    await rollouts.settled()
    return live.state.phase
  }
  expect([await phaseAfter(0), await phaseAfter(hour - 1), await phaseAfter(1)]).toEqual([
    'stepping',
    'stepping',
    'awaiting',
  ])
})
