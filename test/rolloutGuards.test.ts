// Rollouts from end to end, with simulated vendors: a healthy one completes, and each kind of bad one is out, with the reason in words.
import { afterEach, describe, expect, it } from 'vitest'
import { LoadClient } from './soak/load.ts'
import { keys } from './support/control.ts'
import { armOf, type RolloutGateway, startRollout } from './support/rolloutLoad.ts'

let gateway: RolloutGateway
afterEach(() => gateway?.close())

const phase = (): string => gateway.running.turnout.rollouts!.find('move')!.state.phase
const isOver = (): boolean => phase() === 'rolled_back'
/** Nothing but chance would abort here: by default it may, in one run of a hundred. */
const healthy = '{ alpha: 0.000000001 }'
/** Times are those of a busy machine: chance may find harm in them before it is found where it is. */
const untimed = '{ dryRun: [ttft, latency] }'
const steady = (percent: number, guards = untimed): string =>
  `    assign: { unit: request }\n    guards: ${guards}\n    steps: [ { setWeight: ${percent} }, { pause: { duration: 1h } } ]\n`
const show = () => gateway.get('/rollouts/move')

describe('a healthy canary', () => {
  it('goes 1 → 5 → 25 → 50 → 100 % by itself and is completed; then the route asks it', async () => {
    const pause = '{ pause: { duration: 50ms, minRequests: 4 } }'
    const steps = [1, 5, 25, 50, 100].map((percent) => `      - { setWeight: ${percent} }\n      - ${pause}\n`).join('')
    gateway = await startRollout(`    assign: { unit: request }\n    guards: ${healthy}\n    steps:\n${steps}`)
    await gateway.verb('start')
    const replies = await gateway.drive(() => phase() !== 'stepping', { patience: 150_000 })
    expect(await show()).toMatchObject({ phase: 'completed', percent: 100, cause: 'step', idle: null })
    expect(replies.every(({ status }) => status === 200)).toBe(true)
    const { data, chain } = await gateway.get('/rollouts/move/events')
    expect(chain).toBe('unbroken')
    expect(data.map(({ percent }: { percent: number }) => percent)).toEqual([0, 1, 5, 25, 50, 100, 100])
    expect(data.at(-1)).toMatchObject({ verb: 'advance', to: 'completed', actor: 'turnout' })
    expect(data.at(-1).reason).toMatch(/^no guard has found harm in \d+ requests of this step$/)
    const after = await gateway.chat('moved')
    expect([after.headers['x-turnout-target'], after.headers['x-turnout-rollout']]).toEqual(['other/canary', undefined])
    await gateway.restart()
    expect((await gateway.chat('moved')).headers['x-turnout-target']).toBe('other/canary')
    await gateway.verb('undo')
    expect((await gateway.chat('moved')).headers['x-turnout-target']).toBe('sim/stable')
  }, 300_000)

  it('that is better than stable stays', async () => {
    gateway = await startRollout(steady(50, healthy))
    gateway.script('stable', { tokens: 5, fault: { kind: 'status', status: 500, rate: 0.3 } })
    await gateway.verb('start')
    await gateway.drive((replies) => replies.length > 500)
    expect(phase()).toBe('stepping')
  }, 300_000)
})

describe('a bad canary is out, and says why', () => {
  it('one of five requests fails: no client sees an error', async () => {
    gateway = await startRollout(steady(25))
    gateway.script('canary', { tokens: 5, fault: { kind: 'status', status: 500, rate: 0.2 } })
    await gateway.verb('start')
    const replies = await gateway.drive(isOver, { patience: 150_000 })
    expect(replies.every(({ status }) => status === 200)).toBe(true)
    const after = await show()
    expect(after).toMatchObject({ phase: 'rolled_back', cause: 'guard', percent: 0 })
    expect(after.reason).toMatch(
      /^first_attempt_error: \d+ of \d+ bad events on the canary at 25 % weight, observed ratio .*; evidence .* : 1, limit 250 : 1 \(alpha 1 %, share 0\.4\)$/,
    )
    // Not again by itself, and not by mistake.
    const again = await gateway.ask('POST', '/rollouts/move/retry', { reason: 'again' }, 'operator')
    expect(again.body).toMatchObject({ phase: 'stepping', attempt: 2 })
    await gateway.verb('abort')
    const draft = await gateway.ask('PUT', '/routes/moved/canary', { target: 'other/canary', percent: 5 }, 'operator')
    expect(draft.status, draft.text).toBe(200)
  }, 300_000)

  it('dead at 5 %: after three failures, also when its breaker opens first', async () => {
    for (const isShut of [false, true]) {
      gateway = await startRollout(steady(5))
      gateway.script('canary', { fault: { kind: 'status', status: 500 } })
      await gateway.verb('start')
      if (isShut) gateway.running.turnout.health.disable('other/canary', 'before anything was asked of it')
      const replies = await gateway.drive(isOver, { patience: 150_000 })
      expect(replies.every(({ status }) => status === 200)).toBe(true)
      const { data } = await gateway.get('/rollouts/move/events')
      const { guards } = data.at(-1).evidence
      const errors = guards.find(({ id }: { id: string }) => id === 'first_attempt_error')
      expect(errors.bad).toEqual({ stable: 0, canary: errors.bad.canary })
      expect(errors.bad.canary).toBeGreaterThanOrEqual(3)
      expect(errors.bad.canary).toBeLessThanOrEqual(4)
      await gateway.close()
    }
    gateway = undefined as never
  }, 300_000)

  it('also where the first target of the stable side is switched off: who stands in for it is who it is compared with', async () => {
    gateway = await startRollout(`    stable: [ sim/stable, sim/second ]\n${steady(50)}`)
    gateway.script('canary', { fault: { kind: 'status', status: 500 } })
    gateway.running.turnout.health.disable('sim/stable', 'maintenance')
    await gateway.verb('start')
    await gateway.drive((replies) => isOver() || replies.length > 200)
    expect((await show()).reason).toMatch(/^first_attempt_error: .* for stable had none/)
  }, 300_000)

  it('without a valid key: by the hard rule', async () => {
    gateway = await startRollout(steady(50))
    gateway.script('canary', { fault: { kind: 'status', status: 401 } })
    await gateway.verb('start')
    await gateway.drive(isOver)
    expect(await show()).toMatchObject({ phase: 'rolled_back' })
    expect((await show()).reason).toMatch(/auth_failed|first_attempt_error/)
  }, 300_000)

  it('cannot be told what clients ask for who want all of it or nothing: by the hard rule', async () => {
    gateway = await startRollout(steady(50, '{ abort: [ { metric: late_error } ] }'), '', {
      providers: `  claude: { kind: anthropic, baseUrl: "\${SIMULATOR_URL}", apiKey: sk-test-claude }\n`,
      canary: 'claude/claude-opus-5',
    })
    await gateway.verb('start')
    const client = new LoadClient(gateway.url)
    const headers = { authorization: `Bearer ${keys.app}`, 'x-turnout-strict': 'true' }
    const body = { model: 'moved', frequency_penalty: 1, messages: [{ role: 'user', content: 'How do you do?' }] }
    for (let n = 0; n < 40 && !isOver(); n++)
      expect((await client.ask(body, { headers })).headers['x-turnout-target']).toBe('sim/stable')
    client.close()
    expect((await show()).reason).toMatch(/^3 first attempts on the canary in a row failed with unsupported_parameter/)
    const { data } = await gateway.get('/rollouts/move/requests?arm=canary&limit=1')
    expect([data[0].rollout.first_attempt_class, data[0].rollout.served_arm]).toEqual([
      'unsupported_parameter',
      'stable',
    ])
  }, 300_000)

  it('hangs: out on slow starts; what waits for it is sent to stable', async () => {
    gateway = await startRollout(steady(30, '{ slowStart: 300ms, dryRun: [ttft, latency] }'))
    gateway.script('canary', { fault: { kind: 'stall' } })
    await gateway.verb('start')
    const replies = await gateway.drive(isOver, { stream: true, clients: 24 })
    expect((await show()).reason).toMatch(/^slow_start: /)
    // Nobody waited until a timeout: the abort took them back.
    expect(replies.every(({ status, error }) => status === 200 && error === undefined)).toBe(true)
  }, 300_000)

  it('three times as slow to its first token', async () => {
    gateway = await startRollout(steady(50, '{ alpha: 0.01 }'))
    gateway.script('stable', { tokens: 3, firstTokenMs: 100 })
    gateway.script('canary', { tokens: 3, firstTokenMs: 300 })
    await gateway.verb('start')
    await gateway.drive(isOver, { stream: true, clients: 16, patience: 150_000 })
    expect((await show()).reason).toMatch(/^(ttft|latency)_p(50|95): /)
  }, 300_000)

  it('breaks its answers off at the limit of tokens', async () => {
    gateway = await startRollout(steady(50))
    gateway.script('canary', { tokens: 5, finishReason: 'length' })
    await gateway.verb('start')
    await gateway.drive(isOver)
    expect((await show()).reason).toMatch(/^truncated: /)
  }, 300_000)

  it.each([false, true])(
    'finishes with nothing said, stream: %s',
    async (stream) => {
      gateway = await startRollout(steady(50, '{ abort: [ { metric: empty } ] }'))
      gateway.script('canary', { tokens: 0 })
      await gateway.verb('start')
      const replies = await gateway.drive(isOver, { stream })
      expect(replies.every(({ status }) => status === 200)).toBe(true)
      expect((await show()).reason).toMatch(/^empty: \d+ of \d+ bad events on the canary at 50 % weight/)
    },
    300_000,
  )

  it.each([false, true])(
    'writes prose where JSON is wanted, stream: %s',
    async (stream) => {
      gateway = await startRollout(steady(50, '{ abort: [ { metric: invalid_json } ] }'), '', {
        targets: '  talker: { provider: other, model: canary, params: { response_format: { type: json_object } } }\n',
        canary: 'talker',
      })
      gateway.script('canary', { text: 'Here is your JSON: {}' })
      await gateway.verb('start')
      const replies = await gateway.drive(isOver, { stream })
      expect(replies.every(({ status }) => status === 200)).toBe(true)
      expect((await show()).reason).toMatch(/^invalid_json: \d+ of \d+ bad events on the canary at 50 % weight/)
    },
    300_000,
  )

  it.each([
    ['what is too long for it', 'context_length_exceeded', 'context_window'],
    ['a format that it does not know', 'invalid_request_error', 'bad_request'],
  ])(
    'turns away %s, and stable answers',
    async (_, code, kind) => {
      gateway = await startRollout(steady(25))
      const fault = { kind: 'status', status: 400, code, rate: 0.5 }
      gateway.script('canary', { tokens: 5, fault })
      await gateway.verb('start')
      const replies = await gateway.drive(isOver, { patience: 150_000 })
      expect(replies.every(({ status }) => status === 200)).toBe(true)
      expect((await show()).reason).toMatch(/^refused: \d+ of \d+ bad events on the canary at 25 % weight/)
      const { data } = await gateway.get('/rollouts/move/requests?arm=canary&limit=1000')
      const away = data.filter(({ bad_events: bad }: { bad_events: string[] }) => bad.includes('refused'))
      expect(away.length).toBeGreaterThan(2)
      expect(away[0].rollout).toMatchObject({ first_attempt_class: kind, served_arm: 'stable' })
    },
    300_000,
  )
})

describe('a canary that has everything', () => {
  it('is held to the bound of its own rate, also where it stands still', async () => {
    gateway = await startRollout(steady(50, '{ abort: [ { metric: late_error } ], slo: { errorRate: 0.05 } }'))
    await gateway.verb('start')
    expect(await gateway.verb('set-weight', { percent: 100 })).toMatchObject({ phase: 'paused', percent: 100 })
    gateway.script('canary', { fault: { kind: 'status', status: 503 } })
    const replies = await gateway.drive(isOver)
    for (const { status } of replies) expect(status).toBe(200)
    expect(await show()).toMatchObject({ cause: 'slo', percent: 0 })
    expect((await show()).reason).toMatch(
      /^\d+ of \d+ first attempts on the canary failed: more than the 5 % allowed\. /,
    )
  }, 300_000)
})

describe('an outage of both', () => {
  it.each([
    ['both vendors turn the same away', 'content_policy_violation'],
    ['clients make mistakes', 'invalid_request_error'],
  ])(
    'rolls nothing back where %s',
    async (_, code) => {
      gateway = await startRollout(steady(25, '{ alpha: 0.0001, dryRun: [ttft, latency] }'))
      const fault = { kind: 'status', status: 400, code, rate: 0.3 }
      for (const model of ['stable', 'canary']) gateway.script(model, { tokens: 5, fault })
      await gateway.verb('start')
      await gateway.drive((replies) => replies.length > 800)
      const { phase: now, evidence } = await show()
      const { bad } = evidence.guards.find(({ id }: { id: string }) => id === 'refused')
      expect([now, bad.stable > 50, bad.canary > 20]).toEqual(['stepping', true, true])
    },
    300_000,
  )

  it('rolls nothing back', async () => {
    gateway = await startRollout(steady(25, healthy))
    await gateway.verb('start')
    await gateway.drive((replies) => replies.length > 200)
    for (const model of ['stable', 'canary']) gateway.script(model, { fault: { kind: 'status', status: 503 } })
    const seen = await gateway.drive((replies) => replies.length > 400)
    expect(seen.some(({ status }) => status !== 200)).toBe(true)
    for (const model of ['stable', 'canary']) gateway.script(model, { tokens: 5 })
    await gateway.drive((replies) => replies.filter(({ status }) => status === 200).length > 400)
    expect(phase()).toBe('stepping')
    expect(armOf((await gateway.drive((replies) => replies.length > 0)).at(-1)!)).toBeDefined()
  }, 300_000)
})
