// What `turnout models` says of a route that is moved: what runs is not hidden by what was completed before.
import { afterEach, expect, it } from 'vitest'
import { keys } from './support/control.ts'
import { calm, type RolloutGateway, startRollout } from './support/rolloutLoad.ts'
import { runTurnout } from './support/turnoutProcess.ts'

let gateway: RolloutGateway
afterEach(() => gateway?.close())

const moved = async () => {
  const { routes } = await gateway.get('/models/config')
  const { rollout, rollouts } = routes.find(({ route }: { route: string }) => route === 'moved')
  expect(rollout).toEqual(rollouts[0] ?? null)
  return rollouts
}

it('names what runs first, then what was completed, which gets the rest', async () => {
  gateway = await startRollout(
    `    assign: { unit: request }\n${calm}    steps: [ { setWeight: 10 }, { pause: { duration: 1h } } ]\n`,
  )
  expect(await moved()).toEqual([])
  await gateway.verb('start')
  expect(await moved()).toEqual([{ name: 'move', canary: 'other/canary', percent: 10 }])
  await gateway.verb('promote', { full: true })
  const completed = { name: 'move', canary: 'other/canary', percent: 100 }
  expect(await moved()).toEqual([completed])
  const set = (percent: number) =>
    gateway.ask('PUT', '/routes/moved/canary', { percent, target: 'sim/sim-fast' }, 'operator')
  expect((await set(20)).status).toBe(200)
  expect(await moved()).toEqual([{ name: 'canary:moved', canary: 'sim/sim-fast', percent: 20 }, completed])
  const { out } = await runTurnout(['models'], {
    cwd: gateway.folder,
    env: { TURNOUT_URL: gateway.url, TURNOUT_MASTER_KEY: keys.viewer },
  })
  expect(out).toContain(
    'moved: 20 % go to sim/sim-fast first (rollout canary:moved)\nmoved: the others go to other/canary first (rollout move)\n',
  )
  expect((await gateway.ask('POST', '/bypass', { on: true, reason: 'test' })).status).toBe(200)
  expect(await moved()).toEqual([])
  await gateway.ask('POST', '/bypass', { on: false, reason: 'test' })
  await set(0)
  await gateway.verb('undo')
  expect(await moved()).toEqual([])
}, 300_000)

it('one that names its stable side leaves nothing to what was completed', async () => {
  gateway = await startRollout(
    `    assign: { unit: request }\n${calm}    steps: [ { setWeight: 10 }, { pause: { duration: 1h } } ]\n`,
    '  next:\n    route: moved\n    canary: sim/sim-fast\n    stable: sim/stable\n    steps: [ { setWeight: 30 }, { pause: { duration: 1h } } ]\n',
  )
  await gateway.verb('start')
  await gateway.verb('promote', { full: true })
  expect((await gateway.ask('POST', '/rollouts/next/start', { reason: 'test' })).status).toBe(200)
  expect(await moved()).toEqual([{ name: 'next', canary: 'sim/sim-fast', percent: 30 }])
}, 300_000)
