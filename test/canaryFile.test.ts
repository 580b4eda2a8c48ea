// `canary:` in the file while the gateway runs: what it says counts as long as nobody else has said anything, and revives nothing.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { followFile } from '../src/state/rollouts/follow.ts'
import { loadDriver } from '../src/store/driver.ts'
import { type ControlGateway, document, startControl } from './support/control.ts'

let gateway: ControlGateway | undefined
afterEach(async () => {
  await gateway?.close()
  gateway = undefined
})

const withCanary = (canary: string): string =>
  document().replace('  single: other/sim-text', `  single: { targets: [other/sim-text], canary: ${canary} }`)

const start = async (canary: string, env: Record<string, string> = {}): Promise<void> => {
  gateway = await startControl({ text: withCanary(canary), env })
}
/** Writes the file anew, has it read, and tells where the canary stands then. */
async function reload(text: string): Promise<unknown[]> {
  writeFileSync(gateway!.file, text)
  await gateway!.running.reload()
  return stand()
}
async function stand(): Promise<unknown[]> {
  await gateway!.running.turnout.rollouts!.settled()
  const { body } = await gateway!.ask('GET', '/routes/single/canary', undefined, 'viewer')
  return [body.phase, body.percent, body.unit, body.target?.[0]]
}
const small = (share: string): string => withCanary(`{ target: small, ${share} }`)

it('another percentage in the file is in force when it is read, 0 too, and after a restart', async () => {
  await start('{ target: small }', { TURNOUT_CANARY_PERCENT: '100' })
  expect(await stand()).toEqual(['stepping', 100, 'conversation', 'small'])
  expect(await reload(small('percent: 5'))).toEqual(['stepping', 5, 'conversation', 'small'])
  // Who takes the traffic back in the file must not find it where it was.
  expect(await reload(small('percent: 0'))).toEqual(['stopped', 0, 'conversation', 'small'])
  expect((await gateway!.chat('single')).headers['x-turnout-target']).toBe('other/sim-text')
  expect(await reload(small('percent: 100'))).toEqual(['stepping', 100, 'conversation', 'small'])
  expect(await reload(document())).toEqual(['stopped', 0, 'conversation', 'small'])
  // Taken out and put back is said anew.
  expect(await reload(small('percent: 100'))).toEqual(['stepping', 100, 'conversation', 'small'])
  expect((await gateway!.chat('single')).headers['x-turnout-target']).toBe('small')
  writeFileSync(gateway!.file, small('percent: 30'))
  await gateway!.restart()
  expect(await stand()).toEqual(['stepping', 30, 'conversation', 'small'])
  const revision = async () => (await gateway!.ask('GET', '/routes/single/canary', undefined, 'viewer')).body.revision
  const before = await revision()
  await reload(`${small('percent: 30')}# read again\n`)
  expect(await revision()).toBe(before)
}, 120_000)

it('a canary that began at 0, or for another unit, is that of the file too', async () => {
  await start('{ target: small, percent: 10 }')
  expect(await reload(withCanary('{ target: sim/sim-fast, percent: 0 }'))).toEqual([
    'draft',
    0,
    'conversation',
    'sim/sim-fast',
  ])
  expect(await reload(withCanary('{ target: sim/sim-fast, percent: 20 }'))).toEqual([
    'stepping',
    20,
    'conversation',
    'sim/sim-fast',
  ])
  expect(await reload(withCanary('{ target: sim/sim-fast, percent: 20, unit: key }'))).toEqual([
    'stepping',
    20,
    'key',
    'sim/sim-fast',
  ])
}, 120_000)

it('never counts against an operator, nor revives what was aborted or superseded', async () => {
  await start('{ target: small, percent: 10 }')
  const put = (percent: number) => gateway!.ask('PUT', '/routes/single/canary', { percent })
  await put(40)
  expect(await reload(small('percent: 0'))).toEqual(['stepping', 40, 'conversation', 'small'])
  await gateway!.ask('POST', '/rollouts/single/abort', { reason: 'test' })
  expect(await reload(small('percent: 50'))).toEqual(['rolled_back', 0, 'conversation', 'small'])
  expect((await reload(document()))[0]).toBe('rolled_back')
  expect((await reload(small('percent: 60')))[0]).toBe('rolled_back')
  // Another one from the file ends for a rollout: it does not come back while that runs.
  expect((await reload(withCanary('{ target: sim/sim-fast, percent: 10 }')))[0]).toBe('stepping')
  const steps = [{ setWeight: 50 }, { pause: { duration: '1h' } }]
  const rollout = { route: 'single', canary: 'small', steps }
  await gateway!.ask('POST', '/rollouts', { name: 'move', reason: 'test', rollout })
  const begun = await gateway!.ask('POST', '/rollouts/move/start', { reason: 'test' })
  expect(begun.body).toMatchObject({ phase: 'stepping', percent: 50 })
  await reload(withCanary('{ target: sim/sim-fast, percent: 90 }'))
  const { rollouts } = gateway!.running.turnout
  expect(rollouts!.find('move')!.state).toMatchObject({ phase: 'stepping', weightPpm: 500_000 })
  expect(rollouts!.find('canary:single')!.state).toMatchObject({ phase: 'stopped', cause: 'superseded' })
}, 120_000)

it.each(['the file', 'an operator'])(
  'takes an operator at their word who begins again what %s has ended',
  async (by) => {
    await start('{ target: small, percent: 10 }')
    if (by === 'an operator') await gateway!.ask('POST', '/rollouts/single/abort', { reason: 'test' })
    await reload(document())
    await gateway!.ask('PUT', '/routes/single/canary', { percent: 40 })
    const begun = ['stepping', 40, 'conversation', 'small']
    expect(await reload(`${document()}# something else\n`)).toEqual(begun)
    await gateway!.restart()
    expect(await stand()).toEqual(begun)
  },
  120_000,
)

it('takes an operator at their word who says 0 where the file has 0 already', async () => {
  await start('{ target: small, percent: 10 }')
  expect((await reload(small('percent: 0')))[0]).toBe('stopped')
  const zero = () => gateway!.ask('PUT', '/routes/single/canary', { percent: 0, reason: 'not today' })
  expect((await zero()).body).toMatchObject({ phase: 'stopped', percent: 0, cause: 'operator', reason: 'not today' })
  const { revision } = (await zero()).body
  expect((await zero()).body.revision).toBe(revision)
  expect(await reload(small('percent: 50'))).toEqual(['stopped', 0, 'conversation', 'small'])
}, 120_000)

it('takes an operator at their word about what the file began at 0', async () => {
  await start('{ target: small, percent: 10 }')
  expect((await reload(withCanary('{ target: sim/sim-fast, percent: 0 }')))[0]).toBe('draft')
  await gateway!.ask('PUT', '/routes/single/canary', { percent: 0 })
  expect((await reload(withCanary('{ target: sim/sim-fast, percent: 20 }')))[0]).toBe('stopped')
  expect((await gateway!.ask('PUT', '/routes/single/canary', { percent: 20 })).body.phase).toBe('stepping')
}, 120_000)

it('says that both arms ask the same once the route itself asks the canary first, and goes on when it does not', async () => {
  await start('{ target: small, percent: 10 }')
  const idle = async () => (await gateway!.ask('GET', '/routes/single/canary', undefined, 'viewer')).body.idle
  expect(await idle()).toBeNull()
  await gateway!.ask('POST', '/models/set-primary', { route: 'single', model_id: 'small' })
  expect(await idle()).toBe('both arms ask the same')
  await gateway!.ask('POST', '/models/set-primary', { route: 'single', model_id: 'other/sim-text' })
  expect(await idle()).toBeNull()
  // Back to what was asked before a completed one: the route's own first target is another one then than what stable asks.
  await gateway!.ask('POST', '/rollouts/single/promote', { reason: 'test' })
  await gateway!.ask('PUT', '/routes/single/canary', { target: 'other/sim-text', percent: 5 })
  expect(await idle()).toBeNull()
}, 120_000)

it('leaves a rollout that moves the route alone, also one to the same target, and begins when that is over', async () => {
  const move = '  move: { route: single, canary: small, steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ] }\n'
  gateway = await startControl({ text: document(`rollouts:\n${move}`) })
  await gateway.ask('POST', '/rollouts/move/start', { reason: 'test' })
  await gateway.ask('POST', '/rollouts/move/set-weight', { reason: 'test', percent: 10 })
  const both = small('percent: 60').concat(`rollouts:\n${move}`)
  expect(await reload(both)).toEqual(['paused', 10, 'conversation', 'small'])
  await gateway.restart()
  expect(await stand()).toEqual(['paused', 10, 'conversation', 'small'])
  await gateway.ask('POST', '/rollouts/move/abort', { reason: 'test' })
  // It was told that it has to be read again, not that it has to be changed.
  expect(await reload(both)).toEqual(['stepping', 60, 'conversation', 'small'])
}, 120_000)

it('what could not be stored is done when the same file is read again', async () => {
  await start('{ target: small, percent: 100 }')
  const database = new (loadDriver())(join(gateway!.folder, 'data', 'turnout.db'))
  database.exec("CREATE TRIGGER refuse BEFORE INSERT ON rollout_event BEGIN SELECT RAISE(ABORT, 'no room'); END")
  expect(await reload(small('percent: 5'))).toEqual(['stepping', 100, 'conversation', 'small'])
  database.exec('DROP TRIGGER refuse')
  database.close()
  expect((await gateway!.ask('POST', '/models/reload', {}, 'operator')).body.swapped).toBe(false)
  expect(await stand()).toEqual(['stepping', 5, 'conversation', 'small'])
}, 120_000)

it('what the file does not name any more ends, also where what it names cannot begin', async () => {
  await start('{ target: small, percent: 100 }')
  // The route's own first target: there is nothing to move.
  await reload(withCanary('{ target: other/sim-text, percent: 100 }'))
  expect(gateway!.running.turnout.rollouts!.find('canary:single')!.state.phase).toBe('stopped')
  expect((await gateway!.chat('single')).headers['x-turnout-target']).toBe('other/sim-text')
  // Nothing has come in its place: put back it is said anew, and so is another unit of it.
  expect(await reload(small('percent: 30'))).toEqual(['stepping', 30, 'conversation', 'small'])
  await reload(withCanary('{ target: other/sim-text, percent: 100 }'))
  expect(await reload(small('percent: 20, unit: key'))).toEqual(['stepping', 20, 'key', 'small'])
}, 120_000)

it('leaves what an operator has begun again alone where what it names is what the route asks since it was completed', async () => {
  await start('{ target: small, percent: 50 }')
  const act = (verb: string, body: object = {}) =>
    gateway!.ask('POST', `/rollouts/canary:single/${verb}`, { reason: 'test', ...body }, 'operator')
  expect((await act('promote', { full: true })).status).toBe(200)
  expect(await reload(withCanary('{ target: sim/sim-fast, percent: 5 }'))).toEqual([
    'stepping',
    5,
    'conversation',
    'sim/sim-fast',
  ])
  // The file's own ends with it.
  expect((await reload(small('percent: 50')))[0]).toBe('stopped')
  expect((await act('start')).body.phase).toBe('stepping')
  expect(await reload(`${small('percent: 50')}# read again\n`)).toEqual(['stepping', 5, 'conversation', 'sim/sim-fast'])
  await gateway!.restart()
  expect((await stand())[0]).toBe('stepping')
  // What can begin does: it is another canary.
  expect((await reload(withCanary('{ target: sim/sim-text, percent: 7 }')))[3]).toBe('sim/sim-text')
}, 120_000)

it('begins again where the database takes the end of what was, and not what comes in its place', async () => {
  await start('{ target: small, percent: 100 }')
  const database = new (loadDriver())(join(gateway!.folder, 'data', 'turnout.db'))
  database.exec("CREATE TRIGGER refuse BEFORE INSERT ON rollout BEGIN SELECT RAISE(ABORT, 'no room'); END")
  expect((await reload(small('percent: 20, unit: key')))[0]).toBe('stopped')
  database.exec('DROP TRIGGER refuse')
  database.close()
  await gateway!.restart()
  expect(await stand()).toEqual(['stepping', 20, 'key', 'small'])
}, 120_000)

it('a percentage of the environment that is too small to be kept is refused: it would be none', async () => {
  const begun = start('{ target: small }', { TURNOUT_CANARY_PERCENT: '0.00001' })
  await expect(begun).rejects.toThrow('the smallest percentage above 0 is 0.0001')
}, 120_000)

it('tells of a completed rollout that does not count any more because the route has other targets', async () => {
  const told: string[] = []
  await start('{ target: small, percent: 5 }')
  await gateway!.ask('POST', '/rollouts/single/promote', { reason: 'test' })
  const { rollouts } = gateway!.running.turnout
  const read = async (text: string): Promise<string[]> => {
    await reload(text)
    told.length = 0
    const { snapshot } = gateway!.running.turnout
    await rollouts!.inTurn(() => followFile(rollouts!, snapshot, (line) => void told.push(line)))
    return told
  }
  const asked = async () => (await gateway!.chat('single')).headers['x-turnout-target']
  const more = (targets: string): string => small('percent: 5').replace('[other/sim-text]', targets)
  expect(await read(small('percent: 5'))).toEqual([])
  expect(await read(more('[other/sim-text, sim/sim-text]'))).toEqual([
    "the route single: its own targets have changed, so that it asks these, and 'canary:single', which sent it to small, counts no more",
  ])
  expect(await asked()).toBe('other/sim-text')
  // Taken over into the file, as it should be.
  expect(await read(more('[small, other/sim-text]'))).toEqual([])
  // Put back, it counts again; but not once another has followed it.
  expect(await read(small('percent: 5'))).toEqual([])
  expect(await asked()).toBe('small')
  const both = '[other/sim-text, sim/sim-text]'
  await read(more(both))
  await gateway!.ask('PUT', '/routes/single/canary', { target: 'route:chat', percent: 5, reason: 'test' })
  await gateway!.ask('POST', '/rollouts/single/promote', { reason: 'test' })
  expect(await asked()).toBe('sim/sim-text')
  expect((await read(small('percent: 5'))).join()).toContain('which sent it to route:chat, counts no more')
  expect(await asked()).toBe('other/sim-text')
  // The first of another route's targets, as it should be.
  expect(await read(more('[sim/sim-text, other/sim-text]'))).toEqual([])
  await read(more(both))
  expect(await asked()).toBe('sim/sim-text')
}, 120_000)

it('tells once of a rollout that runs, and of which the file says something else, and leaves it as it is', async () => {
  const move = (share: number): string =>
    document(
      `rollouts:\n  move: { route: single, canary: small, steps: [ { setWeight: ${share} }, { pause: { duration: 1h } } ] }\n`,
    )
  gateway = await startControl({ text: move(50) })
  await gateway.ask('POST', '/rollouts/move/start', { reason: 'test' })
  await reload(move(20))
  const told: string[] = []
  const { rollouts, snapshot } = gateway.running.turnout
  await rollouts!.inTurn(() => followFile(rollouts!, snapshot, (line) => void told.push(line)))
  expect(told).toEqual([
    'the rollout move runs as it was begun: what the file says now counts when it is over and the file is read again',
  ])
  expect(rollouts!.find('move')!.state).toMatchObject({ phase: 'stepping', weightPpm: 500_000 })
})
