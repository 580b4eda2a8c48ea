// What was completed lies under what comes after it: it can be undone as long as its route asks it, and is what later ones stand against.
import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, expect, it } from 'vitest'
import { type ControlGateway, document, keys, type Reply, startControl } from './support/control.ts'

let gateway: ControlGateway
afterEach(() => gateway?.close())

const steps = 'steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]'
const start = async (text = document()): Promise<void> => {
  gateway = await startControl({ text })
}
const rollouts = () => gateway.running.turnout.rollouts!
const verb = (name: string, what: string, body: object = {}): Promise<Reply> =>
  gateway.ask('POST', `/rollouts/${name}/${what}`, { reason: 'test', ...body })
const set = (body: object): Promise<Reply> => gateway.ask('PUT', '/routes/single/canary', body)
const asked = async (): Promise<string> => (await gateway.chat('single')).headers['x-turnout-target'] as string
/** Writes the file anew and has it read. */
async function reload(change: (text: string) => string): Promise<void> {
  writeFileSync(gateway.file, change(readFileSync(gateway.file, 'utf8')))
  await gateway.running.reload()
  await rollouts().settled()
}

it('a completed rollout whose definition changes in the file can still be undone', async () => {
  await start(document(`rollouts:\n  move: { route: single, canary: sim/sim-fast, ${steps} }\n`))
  await verb('move', 'start')
  await verb('move', 'promote', { full: true })
  expect(await asked()).toBe('sim/sim-fast')
  // The same arms, other steps: what it says is so already.
  await reload((text) => text.replace('setWeight: 50', 'setWeight: 20'))
  expect(rollouts().find('move')!.state.phase).toBe('completed')
  await reload((text) => text.replace('canary: sim/sim-fast', 'canary: sim/sim-tools'))
  const shown = (await gateway.ask('GET', '/rollouts/move')).body
  expect(shown).toMatchObject({ phase: 'draft', stable: ['sim/sim-fast', 'other/sim-text'], canary: ['sim/sim-tools'] })
  expect(await asked()).toBe('sim/sim-fast')
  await gateway.restart()
  expect(await asked()).toBe('sim/sim-fast')
  const undone = await verb('move', 'undo')
  expect([undone.status, undone.body]).toEqual([
    200,
    expect.objectContaining({ phase: 'rolled_back', percent: 0, canary: ['sim/sim-fast'], stable: ['other/sim-text'] }),
  ])
  expect(await asked()).toBe('other/sim-text')
  // What the file says now stands where it stood, and there is nothing more to be undone.
  expect(rollouts().find('move')!.state.phase).toBe('draft')
  const again = await verb('move', 'undo')
  expect([again.status, again.body.error.code]).toEqual([409, 'rollout_conflict'])
  await gateway.restart()
  expect(await asked()).toBe('other/sim-text')
  expect((await verb('move', 'start')).body).toMatchObject({ phase: 'stepping', percent: 20 })
}, 120_000)

it('an undo of what lies beneath may name the revision that is shown, which is that of what has the name', async () => {
  await start()
  await set({ target: 'sim/sim-fast', percent: 5 })
  await verb('canary:single', 'promote')
  await set({ target: 'sim/sim-tools', percent: 5 })
  await set({ percent: 0 })
  const undo = (revision: number) =>
    gateway.ask('POST', '/rollouts/canary:single/undo', { reason: 'test' }, 'operator', { 'if-match': `"${revision}"` })
  const { revision } = (await gateway.ask('GET', '/rollouts/canary:single')).body
  const stale = await undo(revision - 1)
  expect([stale.status, stale.body.error.message]).toEqual([
    412,
    `'canary:single' is at revision ${revision} now: look at it and repeat.`,
  ])
  expect(await asked()).toBe('sim/sim-fast')
  expect(await undo(revision)).toMatchObject({ status: 200, body: { phase: 'rolled_back' } })
  expect(await asked()).toBe('other/sim-text')
}, 120_000)

it('a percentage that was promoted can be undone after another one came and went', async () => {
  await start()
  await set({ target: 'sim/sim-fast', percent: 5 })
  await verb('canary:single', 'promote')
  await set({ target: 'sim/sim-tools', percent: 5 })
  expect((await gateway.ask('GET', '/rollouts/canary:single')).body.stable).toEqual(['sim/sim-fast', 'other/sim-text'])
  // Which one is meant is told by what is under way: a percentage that runs has not been completed.
  expect((await verb('canary:single', 'undo')).status).toBe(409)
  await set({ percent: 0 })
  expect(await asked()).toBe('sim/sim-fast')
  // A step of what is under it would run under a name that stands for another.
  expect((await verb('canary:single', 'undo', { toRevision: 2 })).status).toBe(400)
  expect((await verb('canary:single', 'undo')).body).toMatchObject({ phase: 'rolled_back', canary: ['sim/sim-fast'] })
  expect(await asked()).toBe('other/sim-text')
  const audit = (await gateway.ask('GET', '/audit?limit=1')).body.data[0]
  expect([audit.before.phase, audit.after.phase]).toEqual(['completed', 'rolled_back'])
}, 120_000)

it("a route's own first target is no canary of it: there is nothing to move", async () => {
  await start()
  const refused = await gateway.ask('PUT', '/routes/chat/canary', { target: 'sim/sim-text', percent: 5 })
  expect([refused.status, refused.body.error.message]).toEqual([
    400,
    'Both arms are the same: there is nothing to move.',
  ])
  // Its second one is.
  expect((await gateway.ask('PUT', '/routes/chat/canary', { target: 'small', percent: 5 })).status).toBe(200)
}, 120_000)

it('what can move nothing does not begin, and ends nothing for it', async () => {
  const fresh = '  fresh: { provider: other, model: sim-fast }\n'
  await start(document().replace('targets:\n', `targets:\n${fresh}`))
  const definition = { route: 'single', canary: 'fresh', steps: [{ setWeight: 50 }, { pause: { duration: '1h' } }] }
  await gateway.ask('POST', '/rollouts', { name: 'move', reason: 'test', rollout: definition })
  await set({ target: 'sim/sim-fast', percent: 100 })
  await reload((text) => text.replace(fresh, ''))
  const refused = await verb('move', 'start')
  expect([refused.status, refused.body.error.message]).toEqual([400, "There is no target 'fresh'."])
  expect(await asked()).toBe('sim/sim-fast')
  await reload((text) => text.replace('targets:\n', `targets:\n${fresh}`))
  expect((await verb('move', 'start')).body).toMatchObject({ phase: 'stepping', percent: 50 })
  expect(rollouts().find('canary:single')!.state).toMatchObject({ phase: 'stopped', cause: 'superseded' })
}, 120_000)

it('what moves nothing is not gone on with by hand, and a verb that its phase forbids is told of first', async () => {
  await start()
  const rollout = { route: 'single', canary: 'small', steps: [{ setWeight: 50 }, { pause: { duration: '1h' } }] }
  await gateway.ask('POST', '/rollouts', { name: 'move', reason: 'test', rollout })
  await reload((text) => text.replace('  single: other/sim-text\n', ''))
  const early = await verb('move', 'promote', { full: true })
  expect([early.status, early.body.error.message]).toEqual([409, expect.stringContaining('draft')])
  await reload((text) => text.replace('routes:\n', 'routes:\n  single: other/sim-text\n'))
  expect((await verb('move', 'start')).status).toBe(200)
  await reload((text) => text.replace('  single: other/sim-text\n', ''))
  const late = await verb('move', 'promote', { full: true })
  expect([late.status, late.body.error.message]).toEqual([
    409,
    "The configuration has no route 'single': it moves nothing.",
  ])
  expect(rollouts().find('move')!.state.phase).toBe('stepping')
}, 120_000)

it('behind a stable side of its own stands what the route asks: nobody loses a way out, nor the only model of a key', async () => {
  const move = `  move: { route: chat, stable: other/sim-text, canary: other/sim-fast, assign: { unit: request }, ${steps} }\n`
  await start(document(`directModels: true\nrollouts:\n${move}`))
  const { body } = await gateway.ask('POST', '/keys', { name: 'narrow', models: ['chat', 'sim/*'] })
  await verb('move', 'start')
  const narrow = await gateway.chat('chat', { authorization: `Bearer ${body.secret}` })
  expect([narrow.status, narrow.headers['x-turnout-target']]).toEqual([200, 'sim/sim-text'])
  for (const model of ['sim-text', 'sim-fast'])
    await gateway.ask('POST', `/targets/other/${model}/disable`, { reason: 'test' })
  for (const arm of ['stable', 'canary']) {
    const reply = await gateway.chat('chat', { authorization: `Bearer ${keys.operator}`, 'x-turnout-arm': arm })
    expect([reply.status, reply.headers['x-turnout-target']], arm).toEqual([200, 'sim/sim-text'])
  }
  // What was completed has what its route asked before behind it, too.
  await verb('move', 'promote', { full: true })
  expect((await gateway.chat('chat')).headers['x-turnout-target']).toBe('sim/sim-text')
}, 120_000)
