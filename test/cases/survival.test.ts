// Cases C3, C7, C26, C36 and C37 through the whole gateway, against each of the three kinds of upstream, down to the rows of the ledger.
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Script, type Simulator, startSimulator } from '../../src/simulator/index.ts'
import { ask, CHAT } from '../support/chatBodies.ts'
import { dataOf, type Exchange, eventsOf, post, type Sent, send } from '../support/exchange.ts'
import { wireNames } from '../support/faultTable.ts'
import { vendorAt } from '../support/faultyVendors.ts'
import { type RecordedGateway, startRecordedGateway } from '../support/recordedGateway.ts'

const OTHER = 'Another model has said this.'
const MINUTE = 60_000
/** A stream that goes on for longer than any test: about a token every 20 ms. */
const endless: Script = { tokens: 50_000, tokensPerSecond: 50 }

const scripts: Record<string, Script> = {
  tools: { toolCalls: 'auto' },
  other: { text: OTHER },
  // Each vendor's own word for a cap that cut the call off.
  'length-openai': { toolCalls: 'auto', finishReason: 'length' },
  'length-anthropic': { toolCalls: 'auto', finishReason: 'max_tokens' },
  'length-gemini': { toolCalls: 'auto', finishReason: 'MAX_TOKENS' },
  error: { tokens: 20, fault: { kind: 'midStreamError', status: 529, afterTokens: 8 } },
  'error-split': { tokens: 20, split: 1, fault: { kind: 'midStreamError', status: 529, afterTokens: 8 } },
  cut: { tokens: 20, fault: { kind: 'cut', afterTokens: 8 } },
  truncate: { tokens: 20, fault: { kind: 'truncate', afterTokens: 8 } },
  reset: { tokens: 20, fault: { kind: 'reset', afterTokens: 8 } },
  stall: { tokens: 20, fault: { kind: 'stall', afterTokens: 8 } },
  limited: { tokens: 20, fault: { kind: 'midStreamError', status: 429, retryAfter: 0, afterTokens: 8 } },
  silent: { headersDelayMs: 10 * MINUTE },
  thinking: { firstTokenMs: 10 * MINUTE, keepAliveMs: 50 },
  endless,
  // As fast, and never more than the test waits for: what a vendor goes on with while it does not know is bounded.
  fifty: { tokens: 200, tokensPerSecond: 50, fault: { kind: 'stall', afterTokens: 60 } },
  busy: { fault: { kind: 'status', status: 429, retryAfter: 20 } },
  impatient: { fault: { kind: 'status', status: 503, retryAfter: 0 } },
  down: { fault: { kind: 'status', status: 503 } },
  picky: { fault: { kind: 'status', status: 400, code: 'invalid_request_error' } },
}

const failing = Object.keys(scripts).filter((name) => name !== 'other')

let simulator: Simulator
let gateway: RecordedGateway

beforeAll(async () => {
  simulator = await startSimulator({ scripts })
  gateway = await startRecordedGateway(configOf())
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})

/** For each wire, each script alone (`wire/script`) and with a healthy target behind it (`wire/script+other`). */
function configOf(more: Record<string, unknown> = {}): Record<string, unknown> {
  const plain = Object.fromEntries(wireNames.map((wire) => [`${wire}.other`, `${wire}/other`]))
  // Only where nothing more comes is the limit short: a pause of a busy machine is no fault of the others.
  const limitsOf = (name: string) => ({
    timeouts: { idle: name === 'stall' ? '300ms' : '10m', firstToken: '10m' },
    commitAfter: '10m',
  })
  return {
    providers: Object.fromEntries(wireNames.map((wire) => [wire, vendorAt(wire, simulator.url)])),
    breaker: { failures: 1_000, volume: 1_000_000 },
    routes: Object.assign(
      plain,
      Object.fromEntries(
        wireNames.flatMap((wire) =>
          failing.flatMap((name) => [
            [`${wire}.${name}`, { targets: [`${wire}/${name}`], ...limitsOf(name) }],
            [`${wire}.${name}+other`, { targets: [`${wire}/${name}`, `${wire}/other`], ...limitsOf(name) }],
          ]),
        ),
      ),
    ),
    ...more,
  }
}

const chat = (route: string, more: Record<string, unknown> = {}): Promise<Exchange> =>
  post(gateway.url + CHAT, ask(route, more))
const streamed = (route: string): Promise<Exchange> => chat(route, { stream: true })

/** The JSON of every event, also of those with a name, the end marker left out. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into wire objects freely
const allEvents = (text: string): any[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('data: ') && line !== 'data: [DONE]')
    .map((line) => JSON.parse(line.slice(6)))

const contentOf = (events: { choices?: { delta: { content?: string } }[] }[]): string =>
  events.map(({ choices }) => choices?.[0]?.delta.content ?? '').join('')

describe.each(wireNames)('C3 tool calls of %s', (wire) => {
  const tools = [
    {
      type: 'function',
      function: {
        name: 'weather_at',
        parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
      },
    },
    { type: 'function', function: { name: 'now', parameters: { type: 'object', properties: {} } } },
  ]
  const checkCalls = (calls: { type: string; id: string; function: { name: string; arguments: unknown } }[]): void => {
    expect(calls.map((call) => call.function.name)).toEqual(['weather_at', 'now'])
    expect(new Set(calls.map(({ id }) => id)).size).toBe(2)
    for (const call of calls) {
      expect([call.type, typeof call.function.arguments]).toEqual(['function', 'string'])
      expect(JSON.parse(call.function.arguments as string)).toEqual(
        call.function.name === 'now' ? {} : { city: expect.any(String) },
      )
    }
  }

  it('C3 arguments are always a string, and the finish says that calls were made', async () => {
    const { choices } = JSON.parse((await chat(`${wire}.tools`, { tools })).text)
    checkCalls(choices[0].message.tool_calls)
    expect(choices[0].finish_reason).toBe('tool_calls')
  })

  it('C3 a stream has one id, one time of creation and one model', async () => {
    const { text } = await chat(`${wire}.tools`, { tools, stream: true })
    const events = eventsOf(text)
    expect(events.length).toBeGreaterThan(4)
    for (const name of ['id', 'created', 'model'] as const) {
      expect(new Set(events.map((event) => event[name])).size, name).toBe(1)
      expect(events[0][name]).toBeTruthy()
    }
    // biome-ignore lint/suspicious/noExplicitAny: put together from pieces
    const calls: any[] = []
    for (const piece of events.flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? [])) {
      const call = calls[piece.index]
      if (call) call.function.arguments += piece.function.arguments ?? ''
      else calls[piece.index] = structuredClone(piece)
    }
    checkCalls(calls)
    expect(events.flatMap(({ choices }) => choices[0]?.finish_reason ?? [])).toEqual(['tool_calls'])
    expect(dataOf(text).at(-1)).toBe('[DONE]')
  })

  it.each([false, true])('C3 but "length" is kept (stream: %s)', async (stream) => {
    const { text } = await chat(`${wire}.length-${wire}`, { tools, stream })
    const choices = stream ? eventsOf(text).flatMap((event) => event.choices) : JSON.parse(text).choices
    expect(choices.flatMap((choice: { finish_reason: string | null }) => choice.finish_reason ?? [])).toEqual([
      'length',
    ])
  })
})

describe.each(wireNames)('C7 an error event in the middle of a stream of %s', (wire) => {
  it.each(['error', 'error-split'])(
    'C7 (%s) is told as one, ends the stream, and stands in the ledger',
    async (name) => {
      const reply = await streamed(`${wire}.${name}`)
      expect([reply.status, reply.complete]).toEqual([200, true])
      const events = allEvents(reply.text)
      expect(contentOf(events)).not.toBe('')
      expect(events.at(-1).error).toMatchObject({ message: expect.any(String), type: expect.any(String) })
      expect(events.slice(0, -1).some(({ error }) => error !== undefined)).toBe(false)
      expect(reply.text).not.toContain('[DONE]')
      const { request, attempts } = await gateway.rowsOf(String(reply.headers['x-request-id']))
      expect(request).toMatchObject({ outcome: 'partial', error: 'overloaded', status: 200, attempts: 1 })
      expect(attempts[0]).toMatchObject({ fault: 'overloaded', finish: '' })
      // Eight tokens were sent, and are paid for.
      expect(attempts[0]!.output).toBeGreaterThan(2)
    },
  )
})

type Phase = [what: string, script: string, stream: boolean, begun: (sent: Sent) => Promise<unknown>]

const upstreamHasIt = (): Promise<unknown> => simulator.waitFor(({ outcome }) => outcome === 'running')
const upstreamAnswered = (): Promise<unknown> =>
  simulator.waitFor(({ outcome, status }) => outcome === 'running' && status === 200)
const bytesCame = async (sent: Sent): Promise<unknown> => {
  const response = await sent.response
  return once(response, 'readable')
}

describe.each(wireNames)('C26 a client of %s that leaves', (wire) => {
  const phases: Phase[] = [
    ['before the headers of a whole reply', 'silent', false, upstreamHasIt],
    ['while a whole reply is generated', 'thinking', false, upstreamHasIt],
    ['before the headers of a stream', 'silent', true, upstreamHasIt],
    ['before the first token', 'thinking', true, upstreamAnswered],
    ['in the middle of a stream', 'endless', true, bytesCame],
  ]
  it.each(phases)('C26 %s: upstream aborted, one row, the slot free', async (_what, script, stream, begun) => {
    // One socket to the vendor: whoever does not free it keeps the next request from being sent.
    const narrow = await startRecordedGateway(configOf({ server: { connectionsPerOrigin: 1 } }))
    try {
      simulator.reset()
      const sent = send('POST', narrow.url + CHAT, ask(`${wire}.${script}+other`, { stream }))
      await begun(sent)
      sent.request.destroy()
      const call = await simulator.waitFor(({ outcome }) => outcome !== 'running')
      expect(call).toMatchObject({ model: script, outcome: 'aborted' })

      await narrow.settled(1)
      await narrow.flush()
      const { rows } = await narrow.reader.requests()
      expect(rows).toHaveLength(1)
      const { request, attempts } = await narrow.rowsOf(narrow.lines[0]!.id)
      expect(request).toMatchObject({ outcome: 'client_disconnected', status: 0, error: '', attempts: 1 })
      expect(attempts[0]).toMatchObject({ target: `${wire}/${script}`, reason: 'first', fault: '', finish: '' })
      expect(attempts[0]!.input).toBeGreaterThan(0)
      // Anthropic counts one token when a message begins; else nothing was generated before the stream of tokens.
      if (script !== 'endless') expect(attempts[0]!.output).toBeLessThanOrEqual(1)
      expect(narrow.turnout.health.report(`${wire}/${script}`)).toMatchObject({ state: 'closed', consecutive: 0 })
      expect(narrow.metrics.inFlight).toBe(0)

      const next = await post(narrow.url + CHAT, ask(`${wire}.other`))
      expect(JSON.parse(next.text).choices[0].message.content).toBe(OTHER)
      // Nothing else was tried in the name of the one that left.
      expect(simulator.calls.map(({ model }) => model)).toEqual([script, 'other'])
    } finally {
      await narrow.close()
    }
  })

  it('C26 what was generated for it is billed, not only what the vendor counted when it began', async () => {
    simulator.reset()
    const before = gateway.lines.length
    const sent = send('POST', gateway.url + CHAT, ask(`${wire}.fifty`, { stream: true }))
    const response = await sent.response
    let text = ''
    await new Promise<void>((resolve) => {
      response.on('data', (chunk) => {
        text += chunk
        if (contentOf(allEvents(text.slice(0, text.lastIndexOf('\n\n') + 1))).length >= 150) resolve()
      })
    })
    sent.request.destroy()
    const call = await simulator.waitFor(({ outcome }) => outcome === 'aborted')
    await gateway.settled(before + 1)
    await gateway.flush()
    const { request } = await gateway.rowsOf(gateway.lines[before]!.id)
    expect(request.outcome).toBe('client_disconnected')
    expect(request.estimated).toBe(1)
    // Ours is an estimate by bytes; the vendor goes on for a moment before it learns.
    expect(request.tokens_out).toBeGreaterThan(call.completionTokens / 3)
    expect(request.tokens_out).toBeLessThan(call.completionTokens * 3)
  })
})

describe('C26 a client that leaves', () => {
  it('C26 while the gateway waits to try again: nobody is asked any more', async () => {
    const patient = await startRecordedGateway(configOf({ retries: { attempts: 3, maxDelay: '60s' } }))
    try {
      simulator.reset()
      const sent = send('POST', patient.url + CHAT, ask('openai.busy'))
      await simulator.waitFor(({ status }) => status === 429)
      sent.request.destroy()
      await patient.settled(1)
      await patient.flush()
      const { request, attempts } = await patient.rowsOf(patient.lines[0]!.id)
      expect(request).toMatchObject({ outcome: 'client_disconnected', attempts: 1 })
      expect(attempts[0]).toMatchObject({ fault: 'rate_limited', cost: 0 })
      expect(simulator.calls).toHaveLength(1)
    } finally {
      await patient.close()
    }
  })

  it('C26 with the one probe of an open breaker: another may probe, and nobody is blamed', async () => {
    const breaker = { failures: 1, openFor: '100ms', volume: 1_000_000 }
    const shaky = await startRecordedGateway(configOf({ breaker, retries: { attempts: 1 } }))
    const { health } = shaky.turnout
    try {
      expect((await post(shaky.url + CHAT, ask('openai.down'))).status).toBe(503)
      await expect.poll(() => health.stateOf('openai/down'), { timeout: 60_000 }).toBe('half_open')
      simulator.script('down', { headersDelayMs: 10 * MINUTE })
      simulator.reset()
      const sent = send('POST', shaky.url + CHAT, ask('openai.down'))
      await upstreamHasIt()
      sent.request.destroy()
      await shaky.settled(2)
      expect(health.stateOf('openai/down')).toBe('half_open')
      simulator.script('down', {})
      expect((await post(shaky.url + CHAT, ask('openai.down'))).status).toBe(200)
      expect(health.stateOf('openai/down')).toBe('closed')
    } finally {
      simulator.script('down', scripts.down)
      await shaky.close()
    }
  })
})

describe.each(wireNames)('C36 after content of %s was sent', (wire) => {
  it.each(['error', 'cut', 'truncate', 'reset', 'stall'])(
    'C36 %s: an error frame and a partial row, never the text of a healthy target behind it',
    async (name) => {
      simulator.reset()
      const reply = await streamed(`${wire}.${name}+other`)
      const events = allEvents(reply.text)
      const said = contentOf(events)
      expect(said).not.toBe('')
      expect(said).not.toContain(OTHER)
      expect(events.at(-1).error.message).toEqual(expect.stringMatching(/./))
      expect(reply.text).not.toContain('[DONE]')
      expect(new Set(events.slice(0, -1).map(({ model }) => model)).size).toBe(1)
      expect(simulator.calls.map(({ model }) => model)).toEqual([name])
      const { request, attempts } = await gateway.rowsOf(String(reply.headers['x-request-id']))
      expect([request.outcome, attempts.length]).toEqual(['partial', 1])
    },
  )
})

describe('C37 every loop is bounded', () => {
  it.each(wireNames)('C37 a 429 in the middle of a stream of %s, without a fallback, ends it', async (wire) => {
    simulator.reset()
    const reply = await streamed(`${wire}.limited`)
    expect(allEvents(reply.text).at(-1).error).toBeDefined()
    expect(reply.text).not.toContain('[DONE]')
    expect(simulator.calls).toHaveLength(1)
    const { request } = await gateway.rowsOf(String(reply.headers['x-request-id']))
    expect(request).toMatchObject({ outcome: 'partial', error: 'rate_limited' })
    // Nothing turns on afterwards: what a busy loop would take is a whole core.
    let share = 1
    for (let round = 0; round < 30 && share >= 0.7; round++) {
      const cpu = process.cpuUsage()
      const begin = performance.now()
      await new Promise((resolve) => setTimeout(resolve, 300))
      const { user, system } = process.cpuUsage(cpu)
      share = (user + system) / 1000 / (performance.now() - begin)
    }
    expect(share).toBeLessThan(0.7)
  })

  it('C37 a vendor that says "now" to every retry is asked as often as the route says', async () => {
    const eager = await startRecordedGateway(configOf({ retries: { attempts: 10, baseDelay: '1ms', budget: 10 } }))
    try {
      simulator.reset()
      const reply = await post(eager.url + CHAT, ask('openai.impatient'))
      expect([reply.status, simulator.calls.length]).toEqual([503, 10])
    } finally {
      await eager.close()
    }
  })

  it('C37 a chain of more targets than a ledger has room for ends before it does, with the last fault', async () => {
    const long = Array.from({ length: 200 }, (_, n) => `openai/down-${n}`)
    const scripted = Object.fromEntries(long.map((id) => [id.slice(id.indexOf('/') + 1), scripts.down!]))
    const all = await startSimulator({ scripts: scripted })
    const routes = Object.fromEntries(
      [0, 1, 2, 3].map((part) => [`part${part}`, long.slice(part * 50, part * 50 + 50)]),
    )
    const chain = await startRecordedGateway({
      providers: { openai: vendorAt('openai', all.url) },
      routes: { ...routes, all: Object.keys(routes).map((name) => `route:${name}`) },
    })
    try {
      const reply = await post(chain.url + CHAT, ask('all'))
      expect([reply.status, reply.headers['x-turnout-error']]).toEqual([503, 'overloaded'])
      expect(all.calls).toHaveLength(32)
      const { attempts } = await chain.rowsOf(String(reply.headers['x-request-id']))
      expect(attempts.map(({ target }) => target)).toEqual(long.slice(0, 32))
      expect((await chain.reader.verify()).problems).toEqual([])
    } finally {
      await chain.close()
      await all.close()
    }
  })
})

describe('the limits of a chain', () => {
  const two = (more: Record<string, unknown>): Record<string, unknown> =>
    configOf({
      retries: { attempts: 3, baseDelay: '1ms', budget: 10 },
      routes: { chat: { targets: ['openai/down', 'openai/other'], ...more } },
    })

  it.each([
    ['the client', {}, { 'x-turnout-fallback': 'off' }],
    ['the route', { fallback: false }, {}],
  ] as const)(
    'where %s wants no fallback, the one target is asked again as the last that there is',
    async (_who, route, headers) => {
      const alone = await startRecordedGateway(two(route))
      try {
        simulator.reset()
        expect((await post(alone.url + CHAT, ask('chat'), headers)).status).toBe(503)
        expect(simulator.calls.map(({ model }) => model)).toEqual(['down', 'down', 'down'])
        // Nor does an open breaker lead to the other one.
        alone.turnout.health.disable('openai/down', 'test')
        const shut = await post(alone.url + CHAT, ask('chat'), headers)
        expect([shut.status, shut.headers['x-turnout-error']]).toEqual([503, 'no_target'])
        expect(simulator.calls).toHaveLength(3)
      } finally {
        await alone.close()
      }
    },
  )

  it('a target’s own total limit ends its call, and the next one answers; the route’s ends the request', async () => {
    const hasty = (total: string): Record<string, unknown> =>
      configOf({
        targets: { slow: { provider: 'openai', model: 'silent', timeouts: { total: '1s' } } },
        routes: { chat: { targets: ['slow', 'openai/other'], timeouts: { total } } },
      })
    for (const [total, status, models] of [
      ['60s', 200, ['silent', 'other']],
      ['800ms', 504, ['silent']],
    ] as const) {
      const limited = await startRecordedGateway(hasty(total))
      try {
        simulator.reset()
        const reply = await post(limited.url + CHAT, ask('chat'))
        expect(reply.status).toBe(status)
        expect(simulator.calls.map(({ model }) => model)).toEqual(models)
        const { attempts } = await limited.rowsOf(String(reply.headers['x-request-id']))
        expect(attempts[0]!.fault).toBe('total_timeout')
      } finally {
        await limited.close()
      }
    }
  })

  it.each([
    ['says so first: the client’s mistake', ['picky', 'other'], 400, ['picky']],
    [
      'stands behind one that failed: the next one answers',
      ['down', 'picky', 'other'],
      200,
      ['down', 'picky', 'other'],
    ],
    ['is the last: what failed is told, and the client comes again', ['down', 'picky'], 503, ['down', 'picky']],
    ['stands between one that failed and a shut one', ['down', 'picky', 'shut'], 503, ['down', 'picky']],
    ['stands behind a shut one: the next one answers', ['shut', 'picky', 'other'], 200, ['picky', 'other']],
    ['is all that is left: its word is told', ['shut', 'picky'], 400, ['picky']],
  ])('a target that does not take a request %s', async (_, chain, status, asked) => {
    const alone = await startRecordedGateway(
      two({ targets: chain.map((name) => `openai/${name}`), retries: { attempts: 1 } }),
    )
    try {
      simulator.reset()
      alone.turnout.health.disable('openai/shut', 'test')
      const reply = await post(alone.url + CHAT, ask('chat'))
      expect([reply.status, simulator.calls.map(({ model }) => model)]).toEqual([status, asked])
      const { attempts } = await alone.rowsOf(String(reply.headers['x-request-id']))
      expect(attempts).toHaveLength(asked.length)
      const metrics = await (await fetch(`${alone.url}/metrics`)).text()
      const counted = [...metrics.matchAll(/^turnout_fallbacks_total\{.*reason="(\w+)".*\} [1-9]/gm)].map(
        ([, reason]) => reason,
      )
      const before = asked.map((name) => (name === 'down' ? 'overloaded' : 'bad_request')).slice(0, -1)
      expect(counted.sort()).toEqual([...(chain[0] === 'shut' ? ['breaker_open'] : []), ...before].sort())
      // However many calls it made.
      expect(metrics).toContain(`turnout_fallback_requests_total{route="chat"} ${Math.min(counted.length, 1)}\n`)
    } finally {
      await alone.close()
    }
  })

  it('what a target says is told as its own words, also where another one after it does not take the request', async () => {
    const alone = await startRecordedGateway(
      two({ targets: ['anthropic/down', 'openai/picky'], retries: { attempts: 1 } }),
    )
    try {
      const reply = await post(alone.url + CHAT, ask('chat'))
      // Anthropic's form is none of this client's.
      expect(JSON.parse(reply.text)).toEqual({ error: expect.objectContaining({ code: 'api_error', param: null }) })
    } finally {
      await alone.close()
    }
  })

  it('a target that cannot be told a request does not hide what another one said', async () => {
    // Google takes no second answer in the place of `n` in strict mode; what failed before it is the truth of this request.
    const strict = await startRecordedGateway(two({ strict: true, targets: ['openai/down', 'gemini/other'] }))
    try {
      const reply = await post(strict.url + CHAT, ask('chat', { logit_bias: { 50256: -100 } }))
      expect([reply.status, reply.headers['x-turnout-error']]).toEqual([503, 'overloaded'])
    } finally {
      await strict.close()
    }
  })
})
