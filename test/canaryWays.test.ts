// A percentage and the verbs of rollouts: what begins again where it was, what ends, and what a refused wish leaves as it is.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { loadDriver } from '../src/store/driver.ts'
import { type ControlGateway, document, keys, type Reply, startControl } from './support/control.ts'
import { runTurnout } from './support/turnoutProcess.ts'

let gateway: ControlGateway
beforeEach(async () => {
  gateway = await startControl()
})
afterEach(() => gateway.close())

const set = (body: object, route = 'chat'): Promise<Reply> => gateway.ask('PUT', `/routes/${route}/canary`, body)
const verb = (name: string, more: object = {}): Promise<Reply> =>
  gateway.ask('POST', `/rollouts/canary:chat/${name}`, { reason: 'test', ...more })
const rollouts = () => gateway.running.turnout.rollouts!
const live = (route = 'chat') => rollouts().find(`canary:${route}`)!
const stands = (route = 'chat'): [string, number] => [live(route).state.phase, live(route).state.weightPpm / 10_000]
const fast = 'other/sim-fast'
/** As a guard does it. */
const abortByGuard = (): Promise<unknown> =>
  rollouts().inTurn(() =>
    rollouts().change(live(), { verb: 'abort', cause: 'guard', reason: 'harm', actor: 'turnout' }),
  )

it('`start` and `retry` of a percentage begin with the share that it had', async () => {
  await set({ target: fast, percent: 5 })
  await set({ percent: 12 })
  await verb('abort')
  const again = await verb('retry')
  expect([again.status, again.body.phase, again.body.percent]).toEqual([200, 'stepping', 12])
  await set({ percent: 0 })
  expect(stands()).toEqual(['stopped', 0])
  expect((await verb('start')).body.percent).toBe(12)
  // 100 % of what was completed is another thing.
  await verb('promote')
  await verb('undo')
  await gateway.restart()
  expect((await verb('retry')).body.percent).toBe(12)
  // Who never had one is not begun: it would look on and move nothing.
  await set({ target: fast, percent: 0 }, 'single')
  const none = await gateway.ask('POST', '/rollouts/canary:single/start', { reason: 'test' })
  expect([none.status, none.body.error.code, none.body.error.message]).toEqual([
    409,
    'rollout_conflict',
    "'canary:single' has had no percentage yet: 'turnout canary' gives it one.",
  ])
  expect(stands('single')).toEqual(['draft', 0])
})

it('0 for everything ends percentages, and holds rollouts, which go on with another share', async () => {
  await set({ target: fast, percent: 5 })
  const rollout = { route: 'single', canary: 'small', steps: [{ setWeight: 50 }, { pause: { duration: '1h' } }] }
  await gateway.ask('POST', '/rollouts', { name: 'move', reason: 'test', rollout })
  await gateway.ask('POST', '/rollouts/move/start', { reason: 'test' })
  const all = async (percent: number) => {
    const { changed } = (await gateway.ask('PUT', '/canary', { percent, reason: 'test' })).body
    const { phase, weightPpm } = rollouts().find('move')!.state
    return [changed, stands()[0], phase, weightPpm]
  }
  expect(await all(0)).toEqual([['canary:chat', 'move'], 'stopped', 'paused', 0])
  expect(await all(20)).toEqual([['move'], 'stopped', 'paused', 200_000])
})

it('another canary has the name from then on, and the account of the first one stays', async () => {
  await set({ target: fast, percent: 5 })
  await set({ target: 'other/sim-text', percent: 7 })
  const events = async (query = '') => (await gateway.ask('GET', `/rollouts/canary:chat/events${query}`)).body
  const said = ({ data }: { data: { verb: string; rollout_id: number }[] }) => data.map(({ verb: one }) => one)
  expect(said(await events())).toEqual(['create', 'start'])
  const all = await events('?earlier=true')
  expect([said(all), all.chain]).toEqual([['create', 'start', 'stop', 'create', 'start'], 'unbroken'])
  const ids: number[] = all.data.map((one: { rollout_id: number }) => one.rollout_id)
  expect(new Set(ids).size).toBe(2)
  expect((await gateway.ask('GET', '/rollouts/canary:chat/events?earlier=1')).status).toBe(400)
  const env = { TURNOUT_URL: gateway.url, TURNOUT_MASTER_KEY: keys.viewer }
  const cli = (...args: string[]) => runTurnout(['rollout', ...args], { cwd: gateway.folder, env })
  expect((await cli('events', 'canary:chat', '--earlier')).out.trim().split('\n')).toHaveLength(6)
  expect((await cli('verify-audit', 'canary:chat')).out).toBe('canary:chat: 5 events, the chain is unbroken\n')
  const store = new (loadDriver())(`${gateway.folder}/data/turnout.db`)
  store.exec('DROP TRIGGER rollout_event_unchanged')
  store.prepare("UPDATE rollout_event SET reason = 'nothing' WHERE seq = 2 AND rollout = ?").run(ids[0])
  store.close()
  expect((await events()).chain).toBe('unbroken')
  const broken = await cli('verify-audit', 'canary:chat')
  expect([broken.code, broken.out]).toEqual([
    1,
    `canary:chat: 5 events, the chain is broken: event 2 was changed (rollout ${ids[0]})\n`,
  ])
}, 300_000)

it('whoever is on call may abort what was stopped, too; what was completed is undone', async () => {
  await set({ target: fast, percent: 5 })
  await set({ percent: 0 })
  const aborted = await gateway.ask('POST', '/rollouts/canary:chat/abort', { reason: 'for good' }, 'responder')
  expect([aborted.status, aborted.body.phase, aborted.body.reason]).toEqual([200, 'rolled_back', 'for good'])
  expect((await gateway.ask('GET', '/rollouts/canary:chat/events')).body.chain).toBe('unbroken')
  // By hand, so that it may be taken back.
  expect((await set({ percent: 5 })).body.percent).toBe(5)
  await verb('promote')
  const over = await verb('abort')
  expect([over.status, over.body.error.message]).toEqual([
    409,
    expect.stringMatching(/'completed'. 'undo' takes it back.$/),
  ])
})

it('a canary that was aborted by a guard is refused before anything is ended for it', async () => {
  await set({ target: fast, percent: 5 })
  await abortByGuard()
  await set({ target: 'sim/sim-fast', percent: 7 })
  const { id } = live()
  const refused = await set({ target: fast, percent: 5 })
  expect([refused.status, refused.body.error.code]).toEqual([409, 'rollout_conflict'])
  expect([live().id, ...stands()]).toEqual([id, 'stepping', 7])
  // What has to be retried is not told to be forced, which would be refused, too.
  await set({ target: fast, percent: 5, force: true })
  await abortByGuard()
  expect((await verb('start')).body.error.message).toContain("'retry' tries again")
  await set({ target: 'sim/sim-fast', percent: 7 })
  // Nor does it take the place of the one that was aborted, whose reason somebody wants to read.
  expect((await set({ target: fast, percent: 5, force: true })).status).toBe(200)
  await abortByGuard()
  const other = await set({ percent: 5, unit: 'request' })
  expect([other.status, other.body.error.code]).toEqual([409, 'rollout_conflict'])
  expect((await gateway.ask('GET', '/routes/chat/canary')).body).toMatchObject({ phase: 'rolled_back', reason: 'harm' })
})

it('everything is set although one of them is being aborted', async () => {
  await set({ target: fast, percent: 5 })
  await set({ target: 'sim/sim-fast', percent: 5 }, 'single')
  // In force, and not stored yet: as while the database is locked.
  live().halt()
  const all = await gateway.ask('PUT', '/canary', { percent: 0 })
  expect([all.status, all.body.changed]).toEqual([200, ['canary:single']])
  expect(stands('single')).toEqual(['stopped', 0])
  expect(live().weightPpm).toBe(0)
})

it('everything is set although one of them is aborted while the others are', async () => {
  await gateway.close()
  const routes = ['a', 'b', 'c', 'd']
  const text = document().replace('routes:\n', `routes:\n${routes.map((name) => `  ${name}: sim/sim-text\n`).join('')}`)
  gateway = await startControl({ text })
  const key = { 'idempotency-key': 'night' }
  for (const route of routes) await set({ target: fast, percent: 5 }, route)
  // As soon as the first one is stopped: between two changes.
  const aborted = new Promise<unknown>((resolve) => {
    const end = rollouts().watch(() => {
      end()
      resolve(rollouts().command('canary:c', { verb: 'abort', cause: 'operator', reason: 'test', actor: 'ann' }))
    })
  })
  const all = await gateway.ask('PUT', '/canary', { percent: 0 }, 'responder', key)
  expect([all.status, all.body.changed]).toEqual([200, ['canary:a', 'canary:b', 'canary:d']])
  await aborted
  expect(
    rollouts()
      .list()
      .map(({ state }) => state.phase),
  ).toEqual(['stopped', 'stopped', 'rolled_back', 'stopped'])
  const again = await gateway.ask('PUT', '/canary', { percent: 0 }, 'responder', key)
  expect([again.headers['idempotent-replayed'], again.body]).toEqual(['true', all.body])
})

it('in the place of a rollout with a name of its own another canary has the unit that a percentage has', async () => {
  const rollout = {
    route: 'chat',
    canary: fast,
    assign: { unit: 'request' },
    steps: [{ setWeight: 5 }, { pause: { approval: true } }],
  }
  await gateway.ask('POST', '/rollouts', { name: 'steps', reason: 'test', rollout })
  expect((await gateway.ask('POST', '/rollouts/steps/start', { reason: 'test' })).status).toBe(200)
  expect((await set({ percent: 3 })).body).toMatchObject({ rollout: 'steps', unit: 'request' })
  const other = await set({ target: 'other/sim-text', percent: 5, force: true })
  expect(other.body).toMatchObject({ rollout: 'canary:chat', unit: 'conversation', percent: 5 })
  // And goes on with its own.
  await set({ percent: 5, unit: 'user' })
  expect((await set({ target: fast, percent: 6 })).body).toMatchObject({ unit: 'user', percent: 6 })
})

it('0, and all, of what had the percentage before end a rollout that runs there now', async () => {
  const rollout = {
    route: 'chat',
    canary: 'small',
    stable: fast,
    steps: [{ setWeight: 5 }, { pause: { approval: true } }],
  }
  await gateway.ask('POST', '/rollouts', { name: 'steps', reason: 'test', rollout })
  const start = () => gateway.ask('POST', '/rollouts/steps/start', { reason: 'test' })
  const phase = async () => (await gateway.ask('GET', '/rollouts/steps')).body.phase
  await set({ target: fast, percent: 5 })
  expect((await start()).status).toBe(200)
  expect((await set({ target: fast, percent: 0 })).status).toBe(409)
  expect((await set({ target: fast, percent: 0, force: true })).body).toMatchObject({ percent: 0, phase: 'stopped' })
  expect(await phase()).toBe('stopped')
  await set({ target: fast, percent: 50 })
  expect((await verb('promote', { full: true })).body.phase).toBe('completed')
  expect((await start()).status).toBe(200)
  expect((await set({ target: fast, percent: 100, force: true })).body).toMatchObject({
    percent: 100,
    phase: 'completed',
  })
  expect(await phase()).toBe('stopped')
  expect((await gateway.chat('chat')).headers['x-turnout-target']).toBe(fast)
})

it('the account of what is over names whom it was compared with, whatever the route asks since then', async () => {
  const rollout = { route: 'chat', canary: fast, steps: [{ setWeight: 5 }, { pause: { approval: true } }] }
  await gateway.ask('POST', '/rollouts', { name: 'steps', reason: 'test', rollout })
  for (const way of ['start', 'abort']) await gateway.ask('POST', `/rollouts/steps/${way}`, { reason: 'test' })
  await set({ target: 'other/sim-text', percent: 5 })
  expect((await verb('promote', { full: true })).body.phase).toBe('completed')
  const report = async () => (await gateway.ask('GET', '/rollouts/steps/report')).body
  expect((await report()).stable).toEqual(['sim/sim-text', 'small'])
  await gateway.restart()
  expect((await report()).stable).toEqual(['sim/sim-text', 'small'])
  // Begun again it stands against what was completed meanwhile.
  await gateway.ask('POST', '/rollouts/steps/retry', { reason: 'test' })
  expect((await report()).stable[0]).toBe('other/sim-text')
})
