// An abort: only of what was seen where that is asked for, in force although it cannot be stored, and told after a restart as it was found.
import { afterEach, expect, it } from 'vitest'
import { loadDriver } from '../src/store/driver.ts'
import { keys } from './support/control.ts'
import { armOf, calm, type RolloutGateway, startRollout } from './support/rolloutLoad.ts'
import { runTurnout } from './support/turnoutProcess.ts'

let gateway: RolloutGateway
afterEach(() => gateway?.close())

const half = `    assign: { unit: request }\n${calm}    steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]\n`
const rollouts = () => gateway.running.turnout.rollouts!
const live = () => rollouts().find('move')!
const abort = (headers: Record<string, string> = {}) =>
  gateway.ask('POST', '/rollouts/move/abort', { reason: 'test' }, 'responder', headers)

it('names the revision that it is meant for, or acts in any case', async () => {
  gateway = await startRollout(half)
  await gateway.verb('start')
  const stale = await abort({ 'if-match': '"1"' })
  expect([stale.status, stale.body.error.code]).toEqual([412, 'precondition_failed'])
  expect([live().halted, live().state.phase, live().weightPpm]).toEqual([false, 'stepping', 500_000])
  expect((await abort({ 'if-match': '"2"' })).body).toMatchObject({ phase: 'rolled_back', revision: 3 })
  await gateway.verb('retry')
  const cli = (...args: string[]) =>
    runTurnout(['rollout', 'abort', 'move', ...args], {
      cwd: gateway.folder,
      env: { TURNOUT_URL: gateway.url, TURNOUT_MASTER_KEY: keys.responder },
    })
  const late = await cli('--if-revision', '3')
  expect([late.code, late.err]).toEqual([1, "'move' is at revision 4 now: look at it and repeat.\n"])
  expect(live().weightPpm).toBe(500_000)
  expect((await cli('--if-revision', '4')).out).toBe('move: rolled_back at 0 %\n')
  await gateway.verb('retry')
  expect((await abort()).body).toMatchObject({ phase: 'rolled_back', percent: 0 })
}, 300_000)

it('by the name of a route ends what moves that, and not its percentage of before', async () => {
  gateway = await startRollout(half)
  await gateway.ask('PUT', '/routes/moved/canary', { target: 'small', percent: 5 })
  await gateway.verb('start')
  const ended = await gateway.ask('POST', '/rollouts/moved/abort', { reason: 'test' }, 'responder')
  expect([ended.status, ended.body]).toEqual([200, expect.objectContaining({ name: 'move', phase: 'rolled_back' })])
  expect(await gateway.get('/rollouts/moved')).toMatchObject({ name: 'canary:moved', phase: 'stopped' })
}, 300_000)

it('is judged by the revision of its moment: what another has under way does not leave it in force and refused', async () => {
  gateway = await startRollout(half)
  await gateway.verb('start')
  const by = { actor: 'ann', cause: 'operator', reason: 'test' } as const
  const other = rollouts().command('move', { ...by, verb: 'set-weight', ppm: 100_000 })
  const aborted = rollouts().command('move', { ...by, verb: 'abort', seen: { revision: 2 } })
  const [first, second] = await Promise.allSettled([other, aborted])
  expect(first).toMatchObject({ status: 'rejected', reason: { message: "'move' is being aborted." } })
  expect(second.status).toBe('fulfilled')
  expect(live().state).toMatchObject({ phase: 'rolled_back', revision: 3 })
}, 300_000)

it('is in force where the database takes nothing, says so, and is stored as soon as it can be', async () => {
  gateway = await startRollout(half)
  await gateway.verb('start')
  const holder = new (loadDriver())(`${gateway.folder}/data/turnout.db`)
  holder.exec('BEGIN EXCLUSIVE')
  try {
    const refused = await abort()
    expect([refused.status, refused.body.error.code]).toEqual([503, 'ledger_unavailable'])
    expect(refused.body.error.message).toBe("'move' moves nothing any more; to store that is tried on.")
    expect([live().halted, live().weightPpm]).toEqual([true, 0])
  } finally {
    holder.exec('ROLLBACK')
    holder.close()
  }
  await rollouts().settled()
  expect(live().state).toMatchObject({ phase: 'rolled_back', cause: 'operator', reason: 'test', revision: 3 })
  expect((await gateway.get('/rollouts/move/events')).data.at(-1)).toMatchObject({ verb: 'abort', actor: 'responder' })
  await gateway.restart()
  expect(live().state.phase).toBe('rolled_back')
}, 300_000)

it('counts although an end that another has under way is stored before it', async () => {
  gateway = await startRollout(half)
  await gateway.verb('start')
  const holder = new (loadDriver())(`${gateway.folder}/data/turnout.db`)
  holder.exec('BEGIN EXCLUSIVE')
  let promoted: Promise<unknown>
  let aborted: Promise<unknown>
  try {
    const by = { actor: 'ann', cause: 'operator', reason: 'test' } as const
    promoted = rollouts().command('move', { ...by, verb: 'promote', full: true })
    // It is being stored now: waits for the database.
    await new Promise((resolve) => setImmediate(resolve))
    aborted = rollouts().command('move', { ...by, verb: 'abort' })
    expect(live().weightPpm).toBe(0)
  } finally {
    holder.exec('ROLLBACK')
    holder.close()
  }
  expect(await Promise.allSettled([promoted, aborted])).toMatchObject([
    { status: 'fulfilled' },
    { status: 'fulfilled' },
  ])
  expect(live().state).toMatchObject({ phase: 'rolled_back', weightPpm: 0, base: undefined })
  const { data, chain } = await gateway.get('/rollouts/move/events')
  expect([data.slice(-2).map(({ verb }: { verb: string }) => verb), chain]).toEqual([['promote', 'abort'], 'unbroken'])
  expect(armOf((await gateway.drive((all) => all.length > 0, { clients: 1 }))[0]!)).toBeUndefined()
  // Nothing is left in force of it: the next attempt moves what it says.
  expect(await gateway.verb('retry')).toMatchObject({ phase: 'stepping', percent: 50 })
  expect(live().weightPpm).toBe(500_000)
}, 300_000)

it('of a guard and the hard rule at once, not stored before the end: the next start tells the reason that a replay tells', async () => {
  const dry = 'guards: { dryRun: [ slow_start, ttft, latency ] }'
  gateway = await startRollout(
    `    assign: { unit: request }\n    ${dry}\n    steps: [ { setWeight: 5 }, { pause: { duration: 1h } } ]\n`,
  )
  gateway.script('canary', { fault: { kind: 'status', status: 401 } })
  await gateway.verb('start')
  rollouts().change = () => Promise.reject(new Error('the database takes nothing'))
  const before = live()
  // At 5 % the guard acts with the third failure, and so does the rule.
  await gateway.drive((all) => before.halted && all.filter((one) => armOf(one) === 'canary').length > 2, { clients: 1 })
  expect(before.trial!.evidence.harm).toMatchObject({ cause: 'guard' })
  await gateway.restart()
  await rollouts().settled()
  const reason = expect.stringMatching(/^first_attempt_error: 3 of 3 bad events on the canary at 5 % weight, /)
  expect(live().state).toMatchObject({ phase: 'rolled_back', cause: 'guard', reason })
  const args = ['rollout', 'replay', 'move', '--db', `${gateway.folder}/data/turnout.db`]
  const { code, out, err } = await runTurnout(args, { cwd: gateway.folder })
  expect(code, out + err).toBe(0)
  const [, found, told] = /the rows find harm with req_\w+: (.*)\nthe gateway aborted: (.*)\nboth agree\n$/.exec(out)!
  expect(told).toBe(found)
}, 300_000)
