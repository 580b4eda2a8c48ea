// Rollouts on the path of requests: how fast an abort is, what stays on its arm, what is no evidence, and the steps that wait.
import { readFileSync, writeFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import OpenAI from 'openai'
import { afterEach, describe, expect, it } from 'vitest'
import { requestOf, timeOf } from '../src/store/ledgerId.ts'
import { openStore } from '../src/store/open.ts'
import { LoadClient } from './soak/load.ts'
import { keys } from './support/control.ts'
import { send } from './support/exchange.ts'
import { openRaw, rawPost } from './support/rawSocket.ts'
import { armOf, type RolloutGateway, type RolloutScene, startRollout } from './support/rolloutLoad.ts'

let gateway: RolloutGateway
afterEach(() => gateway?.close())

const live = () => gateway.running.turnout.rollouts!.find('move')!
/** Times are those of a busy machine: they decide nothing here. */
const untimed = '    guards: { dryRun: [ttft, latency] }\n'
const half = `    assign: { unit: request }\n${untimed}    steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]\n`

describe('an abort', () => {
  it('is in force for the next request: no canary is asked 10 ms after the deciding event', async () => {
    gateway = await startRollout(half)
    gateway.script('canary', { tokens: 5, fault: { kind: 'status', status: 500 } })
    await gateway.verb('start')
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    await gateway.drive(() => live().state.phase === 'rolled_back', { clients: 16 })
    delay.disable()
    await gateway.drive((replies) => replies.length > 100, { clients: 16 })
    const aborted = live().state.updatedAt
    const store = openStore({ file: `${gateway.folder}/data/turnout.db`, readonly: true })
    const asked = store.db
      .prepare(
        `SELECT id, started_us / 1000.0 AS started FROM attempt WHERE target = (SELECT id FROM name WHERE text = 'other/canary')`,
      )
      .all() as { id: number; started: number }[]
    store.close()
    expect(asked.length).toBeGreaterThan(2)
    // Who came after it was sent to stable, to the millisecond; who was on its way then is asked at once or not at all: the rest is how
    // long a busy machine let this process stand.
    expect(Math.max(...asked.map(({ id }) => timeOf(requestOf(id))))).toBeLessThanOrEqual(aborted)
    const last = Math.max(...asked.map(({ id, started }) => timeOf(requestOf(id)) + started))
    expect(last - aborted).toBeLessThanOrEqual(10 + (3 * delay.max) / 1e6)
  }, 300_000)

  it('by hand takes back who waits for the first byte, at once, from any state', async () => {
    gateway = await startRollout(half.replace('50', '100'))
    gateway.script('canary', { fault: { kind: 'stall' } })
    await gateway.verb('start')
    await gateway.verb('pause')
    const client = new LoadClient(gateway.url)
    const body = { model: 'moved', stream: true, messages: [{ role: 'user', content: 'x' }] }
    const waiting = client.ask(body, { headers: { authorization: `Bearer ${keys.app}` } })
    await expect.poll(() => live().trial!.pending.size, { timeout: 60_000 }).toBe(1)
    const begin = performance.now()
    expect(await gateway.verb('abort')).toMatchObject({ phase: 'rolled_back', cause: 'operator', percent: 0 })
    const reply = await waiting
    expect(performance.now() - begin).toBeLessThan(20_000)
    expect([reply.status, reply.headers['x-turnout-target'], reply.error]).toEqual([200, 'sim/stable', undefined])
    client.close()
    // A second one finds it done.
    expect(await gateway.verb('abort')).toMatchObject({ phase: 'rolled_back' })
    const { text } = await send('GET', `${gateway.url}/metrics`, undefined, { authorization: `Bearer ${keys.viewer}` })
      .done
    expect(text).toContain('\nturnout_rollout_abort_propagation_seconds_count 1\n')
    expect(text).toMatch(/\nturnout_rollout_abort_propagation_seconds_sum 0?\.?\d/)
  }, 300_000)

  it.each<[string, RolloutScene, Record<string, string>]>([
    ['on a route without fallbacks', { route: ', fallback: false' }, {}],
    ['of clients that want this model or none', {}, { 'x-turnout-fallback': 'off' }],
    ['where the canary has the stable model behind it', { canary: '[other/canary, sim/stable]' }, {}],
  ])(
    'sends to the stable side who waits for the first byte %s',
    async (_, scene, wish) => {
      gateway = await startRollout(half.replace('50', '100'), '', scene)
      gateway.script('canary', { fault: { kind: 'stall' } })
      await gateway.verb('start')
      const client = new LoadClient(gateway.url)
      const body = { model: 'moved', messages: [{ role: 'user', content: 'x' }] }
      const waiting = client.ask(body, { headers: { authorization: `Bearer ${keys.app}`, ...wish } })
      await expect.poll(() => live().trial!.pending.size, { timeout: 60_000 }).toBe(1)
      await gateway.verb('abort')
      const reply = await waiting
      expect([reply.status, reply.headers['x-turnout-target']]).toEqual([200, 'sim/stable'])
      client.close()
      const { data } = await gateway.get('/rollouts/move/requests')
      expect(data[0].rollout).toMatchObject({ arm: 'canary', served_arm: 'stable', first_attempt_class: 'withdrawn' })
    },
    300_000,
  )

  it('sends to the stable side who waits for another try, at once', async () => {
    gateway = await startRollout(half.replace('50', '100'), '', { route: ', fallback: false', attempts: 2 })
    gateway.script('canary', { fault: { kind: 'status', status: 503, retryAfter: 25 } })
    await gateway.verb('start')
    const client = new LoadClient(gateway.url)
    const body = { model: 'moved', messages: [{ role: 'user', content: 'x' }] }
    const waiting = client.ask(body, { headers: { authorization: `Bearer ${keys.app}` } })
    await expect.poll(() => gateway.simulator.calls[0]?.outcome, { timeout: 60_000 }).toBe('faulted')
    const begin = performance.now()
    await gateway.verb('abort')
    const reply = await waiting
    expect(performance.now() - begin).toBeLessThan(20_000)
    expect([reply.status, reply.headers['x-turnout-target'], reply.headers['x-turnout-attempts']]).toEqual([
      200,
      'sim/stable',
      '2',
    ])
    client.close()
  }, 300_000)

  it.each([
    ['waits for it', true],
    ['has yet to ask it', false],
  ])(
    'takes no way out of the route away that is the same model: not from who %s',
    async (_, waits) => {
      gateway = await startRollout(half.replace('50', '100'), '', { route: ', onContextWindow: [other/canary]' })
      gateway.script('canary', { fault: { kind: 'status', status: 500 } })
      gateway.script('stable', {
        headersDelayMs: 1_000,
        fault: { kind: 'status', status: 400, code: 'context_length_exceeded' },
      })
      await gateway.verb('start')
      const client = new LoadClient(gateway.url)
      const body = { model: 'moved', messages: [{ role: 'user', content: 'x' }] }
      const waiting = client.ask(body, { headers: { authorization: `Bearer ${keys.app}` } })
      await gateway.simulator.waitFor(({ model }) => model === 'stable')
      gateway.script('canary', { tokens: 5, headersDelayMs: waits ? 1_000 : 0 })
      if (waits) await expect.poll(() => gateway.simulator.calls.length, { timeout: 60_000 }).toBe(3)
      await gateway.verb('abort')
      const reply = await waiting
      expect([reply.status, reply.headers['x-turnout-target']]).toEqual([200, 'other/canary'])
      client.close()
      const { data } = await gateway.get('/rollouts/move/requests')
      expect(data[0].rollout).toMatchObject({
        arm: 'canary',
        served_arm: 'stable',
        first_attempt_class: 'server_error',
      })
    },
    300_000,
  )

  it.each([
    ['before the canary is called', false],
    ['while the call to the canary is written down', true],
  ])(
    '%s: it is not made, and costs nothing',
    async (_, isWritten) => {
      let draws = Number.NEGATIVE_INFINITY
      const random = () => {
        // The first draw of a request is for its targets, the second for its arm.
        if (++draws === 2) void abortInTurn()
        return 0.25
      }
      /** When the request has gone as far as it can, and before the turn ends with the commit of its intent. */
      const abortInTurn = async () => {
        for (let i = 0; isWritten && i < 100; i++) await undefined
        await gateway.running.turnout.rollouts!.command('move', aborting)
      }
      const aborting = { verb: 'abort', actor: 'ann', cause: 'operator', reason: 'test' } as const
      gateway = await startRollout(half, '', { random })
      await gateway.verb('start')
      const client = new LoadClient(gateway.url)
      draws = 0
      const body = { model: 'moved', messages: [{ role: 'user', content: 'x' }] }
      const reply = await client.ask(body, { headers: { authorization: `Bearer ${keys.app}` } })
      client.close()
      expect([reply.status, armOf(reply), reply.headers['x-turnout-target']]).toEqual([200, 'canary', 'sim/stable'])
      expect(live().state.phase).toBe('rolled_back')
      expect(gateway.simulator.calls.map(({ model }) => model)).toEqual(['stable'])
      // A call that may have been made would be billed by what it may have cost.
      const store = openStore({ file: `${gateway.folder}/data/turnout.db`, readonly: true })
      const asked = store.db.prepare('SELECT target, fault, input, output FROM attempts ORDER BY id').all()
      const [request] = store.db.prepare('SELECT arm, served_arm, first_attempt_class FROM requests').all()
      store.close()
      expect(asked).toEqual([
        ...(isWritten ? [{ target: 'other/canary', fault: 'withdrawn', input: 0, output: 0 }] : []),
        { target: 'sim/stable', fault: '', input: expect.any(Number), output: 5 },
      ])
      expect(request).toEqual({ arm: 'canary', served_arm: 'stable', first_attempt_class: 'withdrawn' })
    },
    300_000,
  )
})

describe('a conversation', () => {
  it('stays on its arm through 20 turns with an unmodified SDK', async () => {
    gateway = await startRollout(`${untimed}    steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]\n`)
    await gateway.verb('start')
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: keys.app, maxRetries: 0 })
    const arms = new Set<string>()
    // Twelve at least, and on until both arms were seen: the salt is drawn anew for each attempt.
    for (let conversation = 0; conversation < 12 || (arms.size < 2 && conversation < 60); conversation++) {
      const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: `Conversation ${conversation}` }]
      const seen = new Set<string>()
      for (let turn = 0; turn < 20; turn++) {
        const { data, response } = await client.chat.completions.create({ model: 'moved', messages }).withResponse()
        seen.add(armOf({ headers: Object.fromEntries(response.headers) } as never)!)
        messages.push(data.choices[0]!.message, { role: 'user', content: `Turn ${turn}` })
      }
      expect(seen.size, `conversation ${conversation}`).toBe(1)
      for (const arm of seen) arms.add(arm)
    }
    expect(arms).toEqual(new Set(['stable', 'canary']))
  }, 300_000)
})

describe('what is evidence', () => {
  it('what becomes of a reply after it had begun', async () => {
    const metrics = ['late_error', 'refused', 'client_abort']
    const guards = `{ abort: [ ${metrics.map((metric) => `{ metric: ${metric} }`).join(', ')} ], dryRun: [ ${metrics.join(', ')} ] }`
    gateway = await startRollout(half.replace('50', '100').replace(untimed, `    guards: ${guards}\n`))
    await gateway.verb('start')
    const client = new LoadClient(gateway.url)
    const met = async (script: object, leaves = false) => {
      gateway.script('canary', script)
      const body = { model: 'moved', stream: true, messages: [{ role: 'user', content: 'x' }] }
      const headers = { authorization: `Bearer ${keys.app}` }
      const before = (await requests()).length
      await client.ask(body, { headers, onPiece: (_, leave) => leaves && leave() })
      await expect.poll(async () => (await requests()).length).toBe(before + 1)
      return (await requests())[0].bad_events
    }
    const requests = async () => (await gateway.get('/rollouts/move/requests')).data
    expect(await met({ tokens: 5 })).toEqual([])
    expect(await met({ tokens: 8, fault: { kind: 'cut' } })).toEqual(['late_error'])
    expect(await met({ tokens: 5, finishReason: 'content_filter' })).toEqual(['refused'])
    expect(await met({ tokens: 500, tokensPerSecond: 20 }, true)).toEqual(['client_abort'])
    client.close()
  }, 300_000)
})

describe('what is no evidence', () => {
  it('requests by an operator’s choice, and of excluded keys', async () => {
    gateway = await startRollout(`    exclude: ["api_key:ap*"]\n${half}`)
    gateway.script('canary', { tokens: 5, fault: { kind: 'status', status: 500 } })
    await gateway.verb('start')
    const pinned = await gateway.drive((replies) => replies.length > 30)
    expect(pinned.every((reply) => armOf(reply) === 'stable')).toBe(true)
    const headers = (): Record<string, string> => ({
      authorization: `Bearer ${keys.operator}`,
      'x-turnout-arm': 'canary',
    })
    const chosen = await gateway.drive((replies) => replies.length > 30, { headers })
    expect(chosen.every((reply) => armOf(reply) === 'canary' && reply.status === 200)).toBe(true)
    const { evidence, phase } = await gateway.get('/rollouts/move')
    expect([evidence.decided, phase]).toEqual([{ stable: 0, canary: 0 }, 'stepping'])
    // Of any other key they are.
    const others = (): Record<string, string> => ({ authorization: `Bearer ${keys.viewer}` })
    const drawn = await gateway.drive((replies) => replies.length > 3, { headers: others, clients: 1 })
    expect(new Set(drawn.map(armOf))).toEqual(new Set(['stable', 'canary']))
  }, 300_000)

  it('a stream whose time runs out while its client takes nothing of it', async () => {
    const guards = '    guards: { abort: [ { metric: late_error } ] }\n'
    gateway = await startRollout(half.replace('50', '100').replace(untimed, guards), '', {
      // Most of it is waited, also where the vendor takes seconds to write so much.
      route: ', timeouts: { total: 12s }',
    })
    // A run of blanks is one piece of the stream.
    gateway.script('canary', { text: `${' '.repeat(64 * 1024)}x`.repeat(200) })
    await gateway.verb('start')
    const raw = await openRaw(Number(new URL(gateway.url).port))
    raw.socket.pause()
    const body = JSON.stringify({ model: 'moved', stream: true, messages: [{ role: 'user', content: 'x' }] })
    raw.write(rawPost('/v1/chat/completions', body, [`authorization: Bearer ${keys.app}`]))
    const requests = async () => (await gateway.get('/rollouts/move/requests')).data
    await expect.poll(requests, { timeout: 60_000 }).toHaveLength(1)
    const [request] = await requests()
    expect([request.error, request.bad_events]).toEqual(['total_timeout', []])
    raw.close()
  }, 300_000)

  it('a request that only the canary turns away is served by stable', async () => {
    gateway = await startRollout(half.replace('50', '100'))
    const error = {
      message: 'Unsupported parameter.',
      code: 'unsupported_parameter',
      param: 'top_k',
      type: 'invalid_request_error',
    }
    gateway.script('canary', { fault: { kind: 'status', status: 400, body: { error } } })
    await gateway.verb('start')
    const [reply] = await gateway.drive((replies) => replies.length > 0, { clients: 1 })
    expect([reply!.status, reply!.headers['x-turnout-target']]).toEqual([200, 'sim/stable'])
  }, 300_000)
})

describe('steps', () => {
  it('hold without data, wait for approval, and pause when they wait too long', async () => {
    gateway = await startRollout(`    assign: { unit: request }
${untimed}    steps:
      - { setWeight: 40 }
      - { pause: { minRequests: 3, approval: true } }
      - { setWeight: 60 }
      - { pause: { advance: non_inferior, maxWait: 600ms } }
`)
    await gateway.verb('start')
    const phase = () => live().state.phase
    // Nothing comes: it neither goes on nor back.
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(phase()).toBe('stepping')
    await gateway.drive(() => phase() === 'awaiting')
    expect(await gateway.get('/rollouts/move')).toMatchObject({ percent: 40, step: 1 })
    expect(await gateway.verb('approve')).toMatchObject({ percent: 60, step: 3, phase: 'stepping' })
    await gateway.drive(() => phase() === 'paused', { clients: 2 })
    const paused = await gateway.get('/rollouts/move')
    expect(paused).toMatchObject({ cause: 'inconclusive', percent: 60 })
    expect(paused.reason).toContain('which is not enough yet')
    expect(await gateway.verb('resume')).toMatchObject({ phase: 'stepping', percent: 60 })
    // By hand it stands still at what was wanted.
    expect(await gateway.verb('set-weight', { percent: 10 })).toMatchObject({ phase: 'paused', percent: 10 })
    expect(await gateway.verb('promote', { full: true })).toMatchObject({ phase: 'completed', percent: 100 })
  }, 300_000)

  it('that ask for approval alone wait for it without a request, and say so', async () => {
    gateway = await startRollout(
      '    steps: [ { setWeight: 40 }, { pause: { approval: true } }, { setWeight: 60 }, { pause: { duration: 1h } } ]\n',
    )
    await gateway.verb('start')
    gateway.running.turnout.rollouts!.tick()
    await gateway.running.turnout.rollouts!.settled()
    const reason = 'no requests are asked for at this step, only approval'
    expect(await gateway.get('/rollouts/move')).toMatchObject({ phase: 'awaiting', percent: 40, reason })
  }, 300_000)

  it('are not taken by what moves nothing, however much was seen before', async () => {
    const scene = { targets: '  fresh: { provider: other, model: canary }\n', canary: 'fresh' }
    gateway = await startRollout(
      `    assign: { unit: request }
${untimed}    steps:
      - { setWeight: 40 }
      - { pause: { minRequests: 3 } }
      - { setWeight: 60 }
      - { pause: { minRequests: 3 } }
`,
      '',
      scene,
    )
    const rollouts = gateway.running.turnout.rollouts!
    const look = async () => {
      rollouts.tick()
      await rollouts.settled()
      const { phase, percent, idle } = await gateway.get('/rollouts/move')
      return [phase, percent, idle]
    }
    const file = readFileSync(gateway.file, 'utf8')
    const read = (text: string): Promise<void> => {
      writeFileSync(gateway.file, text)
      return gateway.running.reload()
    }
    const enough = () => live().trial!.evidence.canaryInStep >= 3
    await gateway.verb('start')
    await gateway.verb('pause')
    await gateway.drive(enough)
    expect((await gateway.ask('POST', '/bypass', { on: true, reason: 'test' })).status).toBe(200)
    await gateway.verb('resume')
    expect(await look()).toEqual(['stepping', 40, 'the bypass is on'])
    expect((await gateway.ask('POST', '/bypass', { on: false, reason: 'test' })).status).toBe(200)
    expect(await look()).toEqual(['stepping', 60, null])
    await gateway.verb('pause')
    await gateway.drive(enough)
    await read(file.replace(scene.targets, '').replace('canary: fresh', 'canary: other/canary'))
    await gateway.verb('resume')
    // It would be completed, and have everything as soon as its target is there again.
    expect(await look()).toEqual(['stepping', 60, "the configuration has no target 'fresh'"])
    // Nor by hand.
    expect(await gateway.ask('POST', '/rollouts/move/promote', { reason: 'test', full: true })).toMatchObject({
      status: 409,
      body: { error: { message: "The configuration has no target 'fresh': it moves nothing." } },
    })
    // Taken back by hand, and gone on with: more than it ever had would be the last thing that was meant.
    await gateway.ask('PUT', '/canary', { percent: 0, reason: 'test' })
    await read(file)
    await gateway.verb('resume')
    expect(await look()).toEqual(['stepping', 0, 'its percentage is 0'])
    await gateway.verb('set-weight', { percent: 60 })
    await gateway.verb('resume')
    expect(await look()).toEqual(['completed', 100, null])
  }, 300_000)

  it('refuse what the state does not allow, old revisions, and roles that are too small', async () => {
    gateway = await startRollout(half)
    const ask = (verb: string, who: 'viewer' | 'responder' | 'operator', headers = {}) =>
      gateway.ask('POST', `/rollouts/move/${verb}`, { reason: 'test' }, who, headers)
    expect((await ask('pause', 'operator')).body.error).toMatchObject({ code: 'rollout_conflict' })
    expect((await ask('start', 'responder')).status).toBe(403)
    expect((await ask('start', 'operator', { 'if-match': '"7"' })).status).toBe(412)
    expect((await ask('start', 'operator', { 'if-match': '"1"' })).status).toBe(200)
    expect((await ask('pause', 'viewer')).status).toBe(403)
    expect((await ask('pause', 'responder')).status).toBe(200)
    expect((await ask('resume', 'responder')).status).toBe(403)
    expect((await ask('abort', 'responder')).status).toBe(200)
    expect((await gateway.ask('POST', '/rollouts/nobody/start', { reason: 'x' })).status).toBe(404)
    expect((await gateway.ask('POST', '/rollouts/move/start', {})).body.error).toMatchObject({ param: 'reason' })
  }, 300_000)
})
