// What it may cost to try a canary: used up, it is taken back, whatever the guards say, and it may start again.
import { afterEach, describe, expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { makeKeeper } from '../src/store/keeper.ts'
import { firstIdOf } from '../src/store/ledgerId.ts'
import { LoadClient } from './soak/load.ts'
import { document, keys } from './support/control.ts'
import { armOf, calm, type RolloutGateway, startRollout } from './support/rolloutLoad.ts'

let gateway: RolloutGateway
afterEach(async () => {
  const last = gateway as RolloutGateway | undefined
  gateway = undefined as never
  await last?.close()
})

const steps = (unit: string, budget: string): string =>
  `    assign: { unit: ${unit} }\n    budget: ${budget}\n${calm}    steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]\n`
/** Each answer has five tokens; a token costs a cent. */
const prices = 'prices: { "*": { input: 0, output: 10000 } }\n'
const live = () => gateway.running.turnout.rollouts!.find('move')!
const isOver = (): boolean => live().state.phase === 'rolled_back'

describe('a budget', () => {
  it('of money ends the attempt with the request that uses it up; each attempt has its own', async () => {
    gateway = await startRollout(steps('request', '{ canaryUsd: 0.5 }'), prices)
    await gateway.verb('start')
    // One after the other, so that none is on its way when it ends.
    const replies = await gateway.drive(isOver, { clients: 1 })
    expect(replies.filter((reply) => armOf(reply) === 'canary')).toHaveLength(10)
    const ended = await gateway.get('/rollouts/move')
    expect(ended).toMatchObject({
      phase: 'rolled_back',
      percent: 0,
      cause: 'budget',
      reason: 'budget: requests of the canary have cost $0.5, of $0.5',
      budget: { spent_usd: '0.5', canary_usd: '0.5', exposed_units: null },
    })
    const after = await gateway.drive((all) => all.length > 5, { clients: 1 })
    expect(after.every(({ headers }) => headers['x-turnout-target'] === 'sim/stable')).toBe(true)
    // It says nothing against these arms: another rollout of them starts without force.
    const again = await gateway.verb('retry')
    expect([again.phase, again.attempt, again.budget.spent_usd]).toEqual(['stepping', 2, '0'])
    await gateway.drive((all) => all.filter((reply) => armOf(reply) === 'canary').length >= 4, { clients: 1 })
    expect((await gateway.get('/rollouts/move')).budget.spent_usd).toBe('0.2')
    // What was spent is known again after a restart.
    await gateway.restart()
    expect((await gateway.get('/rollouts/move')).budget.spent_usd).toBe('0.2')
    const rest = await gateway.drive(isOver, { clients: 1 })
    expect(rest.filter((reply) => armOf(reply) === 'canary')).toHaveLength(6)
    expect((await gateway.get('/rollouts/move/report')).attempts.map(({ decision }: never) => decision)).toEqual([
      expect.stringContaining('budget: '),
      expect.stringContaining('budget: '),
    ])
  }, 300_000)

  it('of money is that of the whole attempt, also of requests that retention has deleted', async () => {
    gateway = await startRollout(steps('request', '{ canaryUsd: 0.5, exposedUnits: 1000 }'), prices)
    await gateway.verb('start')
    await gateway.drive((all) => all.filter((reply) => armOf(reply) === 'canary').length >= 4, { clients: 1 })
    const keeper = makeKeeper(`${gateway.folder}/data/turnout.db`)
    try {
      // A few at a time, as old ones go; those of the other side count nothing.
      expect(await keeper.retain(firstIdOf(Date.now() + 1), { batch: 3 })).toBeGreaterThanOrEqual(4)
    } finally {
      await keeper.close()
    }
    await gateway.restart()
    expect((await gateway.get('/rollouts/move')).budget.spent_usd).toBe('0.2')
    const rest = await gateway.drive(isOver, { clients: 1 })
    expect(rest.filter((reply) => armOf(reply) === 'canary')).toHaveLength(6)
    // The next attempt has its own.
    const { budget } = await gateway.verb('retry')
    expect(budget).toMatchObject({ spent_usd: '0', canary_usd: '0.5', exposed: 0, exposed_units: 1000 })
  }, 300_000)

  it('of money takes nothing from a call of the attempt before that ends in this one', async () => {
    gateway = await startRollout(`    inFlight: finish\n${steps('request', '{ canaryUsd: 0.5 }')}`, prices)
    gateway.script('canary', { tokens: 20, headersDelayMs: 1_500 })
    await gateway.verb('start')
    const [first, second] = [new LoadClient(gateway.url), new LoadClient(gateway.url)]
    const body = { model: 'moved', messages: [{ role: 'user', content: 'How do you do?' }] }
    const headers = { authorization: `Bearer ${keys.operator}`, 'x-turnout-arm': 'canary' }
    const late = first.ask(body, { headers })
    await gateway.simulator.waitFor(({ model, outcome }) => model === 'canary' && outcome === 'running')
    await gateway.verb('abort')
    await gateway.verb('retry')
    gateway.script('canary', { tokens: 5 })
    expect(armOf(await second.ask(body, { headers }))).toBe('canary')
    expect(armOf(await late)).toBe('canary')
    for (const client of [first, second]) client.close()
    await expect.poll(async () => (await gateway.get('/rollouts/move/requests?arm=canary')).data.length).toBe(2)
    expect((await gateway.get('/rollouts/move')).budget).toMatchObject({ spent_usd: '0.05' })
  }, 300_000)

  it('of units counts each once, however often it comes', async () => {
    gateway = await startRollout(steps('user', '{ exposedUnits: 3 }'), prices)
    await gateway.verb('start')
    // Each user comes four times in a row.
    const headers = (n: number): Record<string, string> => ({ 'x-turnout-unit': `user-${Math.floor(n / 4)}` })
    const replies = await gateway.drive(isOver, { clients: 1, headers })
    const canaries = replies.filter((reply) => armOf(reply) === 'canary').length
    // Two with all of their requests, and the third with the first one.
    expect(canaries).toBe(9)
    expect(await gateway.get('/rollouts/move')).toMatchObject({
      cause: 'budget',
      reason: 'budget: 3 units were assigned to the canary, of 3',
      budget: { exposed: 3, exposed_units: 3, canary_usd: null },
    })
  }, 300_000)
})

describe('a budget of those who ask', () => {
  it('that has no room for a dearer canary says nothing against it', async () => {
    const unit = '    assign: { unit: request }\n    steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]\n'
    const dear = `prices:
  stable: { input: 0, output: 1, maxOutput: 100 }
  canary: { input: 0, output: 100000, maxOutput: 100 }
budgets: { each: { per: key, usd: 1 } }
`
    gateway = await startRollout(unit, dear)
    await gateway.verb('start')
    const replies = await gateway.drive((all) => all.filter((one) => armOf(one) === 'canary').length >= 40)
    for (const { status, headers } of replies)
      expect([status, headers['x-turnout-target']]).toEqual([200, 'sim/stable'])
    const { phase, evidence } = await gateway.get('/rollouts/move')
    expect([phase, evidence.decided.canary]).toEqual(['stepping', 0])
    expect(evidence.decided.stable).toBeGreaterThan(30)
    const { data } = await gateway.get('/rollouts/move/requests?arm=canary&limit=1')
    expect([data[0].rollout.first_attempt_class, data[0].bad_events]).toEqual(['budget_exceeded', []])
    // It is the same to whoever reads it out of the rows.
    await gateway.restart()
    expect((await gateway.get('/rollouts/move')).evidence.decided).toEqual(evidence.decided)
  }, 300_000)
})

describe('a budget that caps answers so that they fit', () => {
  it('cuts those of a dearer canary short, which says nothing against it', async () => {
    const unit = '    assign: { unit: request }\n    steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]\n'
    const dear = `prices:
  stable: { input: 0, output: 1, maxOutput: 100 }
  canary: { input: 0, output: 10000, maxOutput: 100 }
budgets: { each: { per: user, usd: 0.4, fit: true } }
`
    gateway = await startRollout(unit, dear)
    for (const model of ['stable', 'canary']) gateway.script(model, { tokens: 60 })
    await gateway.verb('start')
    const client = new LoadClient(gateway.url)
    const seen = new Set<string>()
    for (let n = 0; n < 60; n++) {
      const body = { model: 'moved', user: `u${n}`, messages: [{ role: 'user', content: 'Tell me all of it.' }] }
      const reply = await client.ask(body, { headers: { authorization: `Bearer ${keys.app}` } })
      const { finish_reason } = JSON.parse(reply.text).choices[0]
      seen.add(`${armOf(reply)} ${finish_reason} ${reply.headers['x-turnout-max-tokens']}`)
    }
    client.close()
    expect([...seen].sort()).toEqual(['canary length 40', 'stable stop undefined'])
    const { phase, evidence } = await gateway.get('/rollouts/move')
    const truncated = evidence.guards.find(({ id }: { id: string }) => id === 'truncated')
    expect([phase, truncated.bad.canary, evidence.decided.canary > 20]).toEqual(['stepping', 0, true])
  }, 300_000)
})

describe('a route whose budget names a cheaper one', () => {
  const watched = `    assign: { unit: request }
    guards: { abort: [ { metric: first_attempt_error } ], dryRun: [ first_attempt_error ], hard: [] }
    steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]
`
  /** The canary alone can be paid for: whoever falls back is sent on to another route. */
  const spent = `prices:
  canary: { input: 0, output: 0, maxOutput: 100 }
  "*": { input: 0, output: 1, maxOutput: 100 }
budgets: { stable: { only: { target: sim/stable }, usd: 0.00000001, onExhausted: "route:single" } }
`
  it.each(['overloaded', 'unavailable'])(
    'keeps what was learnt of a canary before (%s): the next run knows it, and rows say it',
    async (found) => {
      gateway = await startRollout(watched, spent)
      if (found === 'overloaded') gateway.script('canary', { fault: { kind: 'status', status: 503 } })
      else await gateway.ask('POST', '/targets/other/canary/disable', { reason: 'test' }, 'admin')
      await gateway.verb('start')
      const replies = await gateway.drive((all) => all.length >= 40)
      for (const { status, headers } of replies)
        expect([status, headers['x-turnout-degraded-from']]).toEqual([200, 'moved'])
      const { evidence } = await gateway.get('/rollouts/move')
      const [{ seen, bad }] = evidence.guards
      expect([bad.stable, bad.canary >= 15, bad.canary]).toEqual([0, true, seen.canary])
      const { data } = await gateway.get('/rollouts/move/requests?arm=canary&limit=1000')
      const rows = data.filter((row: { bad_events: string[] }) => row.bad_events.includes('first_attempt_error'))
      expect(rows).toHaveLength(bad.canary)
      expect(rows.at(-1).rollout.first_attempt_class).toBe(found)
      await gateway.restart()
      const again = (await gateway.get('/rollouts/move')).evidence
      expect([again.guards[0].bad, again.decided]).toEqual([bad, evidence.decided])
    },
    300_000,
  )

  it('takes no answer of that one away, though it is by the target that the canary was', async () => {
    gateway = await startRollout(
      watched.replace('setWeight: 50', 'setWeight: 99'),
      spent.replace('  canary:', '  sim-text:'),
      { canary: 'other/sim-text' },
    )
    gateway.script('sim-text', { fault: { kind: 'status', status: 503 }, headersDelayMs: 300 })
    await gateway.verb('start')
    const client = new LoadClient(gateway.url)
    const messages = [{ role: 'user', content: 'How do you do?' }]
    const asked = client.ask({ model: 'moved', messages }, { headers: { authorization: `Bearer ${keys.app}` } })
    await gateway.simulator.waitFor(({ model }) => model === 'sim-text')
    gateway.script('sim-text', { tokens: 5, headersDelayMs: 1_000 })
    await gateway.simulator.waitFor(
      ({ model, outcome }) => model === 'sim-text' && outcome === 'running' && gateway.simulator.calls.length === 2,
    )
    expect((await gateway.verb('abort')).phase).toBe('rolled_back')
    const reply = await asked
    client.close()
    const { status, headers } = reply
    expect([status, headers['x-turnout-degraded-from'], headers['x-turnout-target']]).toEqual([
      200,
      'moved',
      'other/sim-text',
    ])
    expect(armOf(reply)).toBe('canary')
  }, 300_000)

  it('has on that one, too, a first attempt that is evidence, behind calls that failed before', async () => {
    const dear = `prices:
  dear: { input: 0, output: 1, maxOutput: 100 }
  "*": { input: 0, output: 0, maxOutput: 100 }
budgets: { stable: { only: { target: sim/dear }, usd: 0.00000001, onExhausted: "route:moved" } }
`
    gateway = await startRollout(watched, dear, { route: ' }\n  best: { targets: [sim/ill, sim/dear]' })
    gateway.script('ill', { fault: { kind: 'status', status: 503 } })
    gateway.script('canary', { fault: { kind: 'status', status: 500 } })
    await gateway.verb('start')
    const client = new LoadClient(gateway.url)
    const body = { model: 'best', messages: [{ role: 'user', content: 'How do you do?' }] }
    // The draws go to both; after a few of them the breaker of the one that is down is open.
    for (let n = 0; n < 4; n++) {
      const { status, headers } = await client.ask(body, { headers: { authorization: `Bearer ${keys.app}` } })
      expect([status, headers['x-turnout-degraded-from']]).toEqual([200, 'best'])
    }
    client.close()
    const { evidence } = await gateway.get('/rollouts/move')
    const { assigned, decided, guards } = evidence
    expect(decided).toEqual({ stable: assigned.stable, canary: assigned.canary })
    expect([guards[0].bad.stable, guards[0].bad.canary, assigned.canary > 0]).toEqual([0, assigned.canary, true])
    const { data } = await gateway.get('/rollouts/move/requests?limit=1000')
    const said = data.map(({ rollout }: { rollout: { arm: string; first_attempt_class: string } }) => rollout)
    for (const { arm, first_attempt_class } of said)
      expect(first_attempt_class).toBe(arm === 'canary' ? 'server_error' : 'ok')
  }, 300_000)

  it('or names none: a row says of a canary that was shut that it was, and not that nobody was asked', async () => {
    gateway = await startRollout(watched, spent.replace(', onExhausted: "route:single"', ''))
    await gateway.ask('POST', '/targets/other/canary/disable', { reason: 'test' }, 'admin')
    await gateway.verb('start')
    const replies = await gateway.drive((all) => all.length >= 20)
    expect(replies.every(({ status }) => status === 402)).toBe(true)
    const { data } = await gateway.get('/rollouts/move/requests?arm=canary&limit=1000')
    const classes = data.map((row: { rollout: object }) => Object(row.rollout).first_attempt_class)
    expect([classes.length > 5, new Set(classes)]).toEqual([true, new Set(['unavailable'])])
  }, 300_000)
})

describe('one without', () => {
  it('spends what it spends, and shows none', async () => {
    gateway = await startRollout(steps('request', '{ exposedUnits: 1000 }').replace(/ {4}budget: .*\n/, ''), prices)
    await gateway.verb('start')
    await gateway.drive((all) => all.length > 30)
    const { budget, phase } = await gateway.get('/rollouts/move')
    expect([budget, phase]).toEqual([undefined, 'stepping'])
  }, 300_000)

  it.each([
    ['{ canaryUsd: 0 }', 'rollouts.move.budget.canaryUsd'],
    ['{ exposedUnits: 1.5 }', 'rollouts.move.budget.exposedUnits'],
    ['{ usd: 5 }', 'rollouts.move.budget'],
  ])('what is no budget is refused with its place in the file: %s', (budget, place) => {
    const text = document(`rollouts:\n  move:\n    route: single\n    canary: small\n${steps('request', budget)}`)
    const load = () => parseConfig(text, { env: { SIMULATOR_URL: 'http://127.0.0.1:9' }, version: 1 })
    expect(load).toThrow(place)
  })
})
