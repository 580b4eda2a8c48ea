// A rollout on a route whose answers are kept: hits are no evidence, arms share no answers, and an abort drops the canary's.
import { afterEach, describe, expect, it } from 'vitest'
import { LoadClient, type Reply } from './soak/load.ts'
import { keys } from './support/control.ts'
import { armOf, calm, type RolloutGateway, startRollout } from './support/rolloutLoad.ts'

let gateway: RolloutGateway
let client: LoadClient
afterEach(async () => {
  client?.close()
  await gateway?.close()
})

const cached = { route: ', cache: { deterministicOnly: false }' }
const steps = (guards: string): string =>
  `    assign: { unit: request }\n${guards}    steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]\n`

async function start(guards: string): Promise<void> {
  gateway = await startRollout(steps(guards), '', cached)
  for (const model of ['stable', 'canary']) gateway.script(model, { text: `says ${model}` })
  client = new LoadClient(gateway.url)
  await gateway.verb('start')
}

const ask = (content = 'What is kept?'): Promise<Reply> =>
  client.ask(
    { model: 'moved', messages: [{ role: 'user', content }] },
    { headers: { authorization: `Bearer ${keys.app}` } },
  )
const targets = { stable: 'sim/stable', canary: 'other/canary' }
const cacheOf = ({ headers }: Reply): string => String(headers['x-turnout-cache']).split(';')[0]!
/** Asks until somebody of that arm is answered: it is a coin each time. A hit names no rollout: it is none of its requests. */
async function askArm(arm: 'stable' | 'canary', content?: string): Promise<Reply> {
  for (let n = 0; n < 200; n++) {
    const reply = await ask(content)
    expect(reply.status).toBe(200)
    if (reply.headers['x-turnout-target'] === targets[arm]) return reply
  }
  throw new Error(`nobody of 200 was on ${arm}`)
}
const removed = async (): Promise<number> => (await gateway.ask('GET', '/cache/stats')).body.removed

describe('answers that are kept', () => {
  it('are no exposure: whoever gets one is counted by no guard, and brings no step nearer', async () => {
    await start(calm)
    // Draws fill the arms in turn: whom each question comes to first makes it evidence.
    for (const content of ['one', 'two', 'three', 'four']) await ask(content)
    await askArm('stable')
    await askArm('canary')
    const { evidence } = await gateway.get('/rollouts/move')
    const { assigned, decided } = evidence
    const calls = gateway.simulator.calls.length
    expect([calls, decided.stable + decided.canary, evidence.canary_in_step]).toEqual([6, 5, decided.canary])
    expect([assigned.stable, assigned.canary]).toEqual([decided.stable, decided.canary])
    for (const arm of ['canary', 'stable', 'canary', 'stable'] as const) {
      const hit = await askArm(arm)
      expect(armOf(hit)).toBeUndefined()
      expect([cacheOf(hit), JSON.parse(hit.text).choices[0].message.content]).toEqual(['hit', `says ${arm}`])
    }
    const after = (await gateway.get('/rollouts/move')).evidence
    expect(after).toMatchObject({ assigned, decided, canary_in_step: decided.canary, guards: evidence.guards })
    expect(after.waiting).toEqual({ start: 0, end: 0 })
    expect(gateway.simulator.calls.length).toBe(calls)
    // No row says otherwise: after a restart it is the same.
    expect((await gateway.get('/rollouts/move/requests?limit=1000')).data).toHaveLength(6)
    await gateway.restart()
    client.close()
    client = new LoadClient(gateway.url)
    expect((await gateway.get('/rollouts/move')).evidence).toMatchObject({ assigned, decided })
  }, 300_000)

  it('leave the comparison fair: what one side has the answer to, or fetches, says nothing of the other', async () => {
    await start(
      '    guards: { abort: [ { metric: first_attempt_error } ], dryRun: [ first_attempt_error ], hard: [] }\n',
    )
    const evidence = async () => (await gateway.get('/rollouts/move')).evidence
    const counted = async () => {
      const { decided, assigned, guards } = await evidence()
      expect([assigned.stable, assigned.canary]).toEqual([decided.stable, decided.canary])
      return [decided.stable + decided.canary, guards[0].bad.canary]
    }
    await Promise.all(Array.from({ length: 12 }, () => ask('at once')))
    expect((await counted())[0]).toBe(1)
    gateway.script('canary', { fault: { kind: 'status', status: 500 } })
    // The stable side is answered from its cache; the canary has nothing in its own, and fails each time.
    await askArm('stable')
    const [first, failed] = await counted()
    for (let n = 0; n < 20; n++) await ask()
    expect(await counted()).toEqual([first, failed])
    // What nobody was asked before is evidence: a canary that fails is found.
    for (let n = 0; n < 20; n++) await ask(`question ${n}`)
    const [all, bad] = await counted()
    expect([all, bad! > 5]).toEqual([first! + 20, true])
    const { assigned } = await evidence()
    await gateway.restart()
    expect((await evidence()).assigned).toEqual(assigned)
  }, 300_000)

  it('nor does a question that somebody is on the way to whom the other side has further behind', async () => {
    const shared = {
      route: ', cache: { deterministicOnly: false, scope: global }',
      canary: '[other/canary, other/second]',
    }
    gateway = await startRollout(steps(calm), '', shared)
    gateway.script('canary', { fault: { kind: 'status', status: 503 } })
    gateway.script('second', { tokens: 40, tokensPerSecond: 20 })
    await gateway.verb('start')
    let begun = (): void => {}
    const hasBegun = new Promise<void>((resolve) => {
      begun = resolve
    })
    const stream = (key: string, headers: object, begin = (): void => {}): Promise<Reply> => {
      const one = new LoadClient(gateway.url)
      const body = { model: 'moved', stream: true, messages: [{ role: 'user', content: 'Tell us all' }] }
      const asking = { onPiece: begin, headers: { authorization: `Bearer ${key}`, ...headers } }
      return one.ask(body, asking).finally(() => one.close())
    }
    // Chosen by an operator, and so none itself.
    const first = stream(keys.operator, { 'x-turnout-arm': 'canary' }, begun)
    await hasBegun
    const replies = await Promise.all(Array.from({ length: 12 }, () => stream(keys.app, {})))
    await first
    expect(new Set(replies.map(({ headers }) => headers['x-turnout-target']))).toEqual(
      new Set(['other/second', 'sim/stable']),
    )
    const { assigned, waiting } = (await gateway.get('/rollouts/move')).evidence
    expect([assigned.stable, assigned.canary, waiting]).toEqual([0, 0, { start: 0, end: 0 }])
  }, 300_000)

  it('take back nothing of what a side had failed at before a stale one helped out: rows have it, and so has the next run', async () => {
    const watched =
      '    guards: { abort: [ { metric: first_attempt_error } ], dryRun: [ first_attempt_error ], hard: [] }\n'
    gateway = await startRollout(steps(watched), '', {
      route: ', cache: { deterministicOnly: false, ttl: 1ms, staleIfError: 1h }',
    })
    client = new LoadClient(gateway.url)
    await gateway.verb('start')
    await askArm('stable')
    await askArm('canary')
    for (const target of Object.values(targets))
      await gateway.ask('POST', `/targets/${target}/disable`, { reason: 'test' }, 'admin')
    for (let n = 0; n < 20; n++) expect(cacheOf(await ask())).toBe('stale')
    const { guards, decided } = (await gateway.get('/rollouts/move')).evidence
    expect([guards[0].bad.stable + guards[0].bad.canary, guards[0].bad.canary > 5]).toEqual([20, true])
    await gateway.restart()
    const again = (await gateway.get('/rollouts/move')).evidence
    expect([again.guards[0].bad, again.decided]).toEqual([guards[0].bad, decided])
  }, 300_000)

  it('of the canary are dropped when it is aborted by hand: nobody gets one later', async () => {
    await start(calm)
    await askArm('stable')
    await askArm('canary')
    expect(cacheOf(await askArm('canary'))).toBe('hit')
    const before = await removed()
    await gateway.verb('abort')
    expect((await removed()) - before).toBe(1)
    // The stable side's are still there.
    const stable = await ask()
    expect([cacheOf(stable), JSON.parse(stable.text).choices[0].message.content]).toEqual(['hit', 'says stable'])
    gateway.script('canary', { text: 'says something new' })
    await gateway.verb('retry')
    const anew = await askArm('canary')
    expect([cacheOf(anew), JSON.parse(anew.text).choices[0].message.content]).toEqual(['miss', 'says something new'])
    expect(cacheOf(await askArm('stable'))).toBe('hit')
  }, 300_000)

  it('and when it is undone', async () => {
    await start(calm)
    await gateway.verb('promote', { full: true })
    expect(cacheOf(await askArm('canary'))).toBe('miss')
    expect(cacheOf(await askArm('canary'))).toBe('hit')
    const before = await removed()
    await gateway.verb('undo')
    expect((await removed()) - before).toBe(1)
  }, 300_000)

  it('and when a guard aborts it', async () => {
    await start('    guards: { dryRun: [ttft, latency] }\n')
    await askArm('canary')
    expect(cacheOf(await askArm('canary'))).toBe('hit')
    const before = await removed()
    gateway.script('canary', { fault: { kind: 'status', status: 500 } })
    // Each of these asks something else.
    await gateway.drive(() => gateway.running.turnout.rollouts!.find('move')!.state.phase === 'rolled_back')
    expect((await gateway.get('/rollouts/move')).cause).toBe('guard')
    expect((await removed()) - before).toBe(1)
  }, 300_000)
})
