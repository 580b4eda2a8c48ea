// C50 on every path: marks in every part of a request, through a vendor that says all of it back, are in nothing that Turnout keeps or tells.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { echoModels, startEchoVendor } from './support/echoVendor.ts'
import { type Exchange, get, post, send } from './support/exchange.ts'
import type { FakeUpstream } from './support/fakeUpstream.ts'
import { type OtlpReceiver, startOtlpReceiver } from './support/otlpReceiver.ts'
import { adminKey, keyOfRed, type Scene, startScene } from './support/scene.ts'
import { startReceiver, type WebhookReceiver } from './support/webhookReceiver.ts'

/** One for each place in which something private may stand. */
const mark = (place: string): string => `zq7${place}x9k`
const inBody = [
  'system',
  'user',
  'answer',
  'toolname',
  'toolargs',
  'toolresult',
  'tooldescription',
  'schema',
  'stop',
  'person',
  'metakey',
  'metavalue',
  'cachekey',
  'unknown',
]
const inHeaders = ['session', 'unit', 'cookie', 'custom', 'agent', 'requestid', 'tracestate', 'query', 'wrongkey']
/** Of the client, told by a proxy. */
const address = '203.0.113.77'
/** What is nowhere. Keys of this test's own file are in the stored configuration, and hidden in what is shown of it. */
const marks = [...inBody, ...inHeaders].map(mark)
const keys = [
  keyOfRed,
  adminKey,
  'sk-test-echo-0123456789',
  'sk-test-collector-0123456789',
  'test-hook-secret-0123456789',
]

const asked = (model: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  model,
  messages: [
    { role: 'system', content: mark('system') },
    { role: 'user', content: `Say ${mark('user')}` },
    {
      role: 'assistant',
      content: mark('answer'),
      tool_calls: [
        {
          id: 'call_1',
          type: 'function',
          function: { name: mark('toolname'), arguments: `{"of":"${mark('toolargs')}"}` },
        },
      ],
    },
    { role: 'tool', tool_call_id: 'call_1', content: mark('toolresult') },
    { role: 'user', content: [{ type: 'text', text: mark('user') }] },
  ],
  tools: [
    {
      type: 'function',
      function: {
        name: mark('toolname'),
        description: mark('tooldescription'),
        parameters: { type: 'object', properties: { [mark('schema')]: { type: 'string' } } },
      },
    },
  ],
  stop: [mark('stop')],
  user: mark('person'),
  metadata: { [mark('metakey')]: mark('metavalue') },
  prompt_cache_key: mark('cachekey'),
  max_tokens: 50,
  ...more,
})

const headers = {
  'x-forwarded-for': address,
  'x-session-id': mark('session'),
  'x-turnout-unit': mark('unit'),
  cookie: `a=${mark('cookie')}`,
  'x-custom': mark('custom'),
  'user-agent': mark('agent'),
  'x-request-id': mark('requestid'),
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  tracestate: `a=${mark('tracestate')}`,
}

describe('C50 on every path', () => {
  let scene: Scene
  let vendor: FakeUpstream
  let collector: OtlpReceiver
  let hook: WebhookReceiver
  let folder: string
  let logFile: string
  /** What the process itself has written. */
  let printed = ''
  const refusals: Exchange[] = []
  const unspy: (() => void)[] = []

  const chat = (model: string, more: Record<string, unknown> = {}, extra: Record<string, string> = {}) =>
    scene.chat(model, asked(model, more), keyOfRed, { ...headers, ...extra })
  const say = (path: string, body: unknown, key = keyOfRed) =>
    post(`${scene.url}${path}?of=${mark('query')}`, body, { ...headers, authorization: `Bearer ${key}` })

  beforeAll(async () => {
    for (const stream of [process.stdout, process.stderr]) {
      const write = stream.write
      stream.write = ((...args: Parameters<typeof write>) => {
        printed += String(args[0])
        return write.apply(stream, args)
      }) as typeof write
      unspy.push(() => {
        stream.write = write
      })
    }
    folder = mkdtempSync(join(tmpdir(), 'turnout-private-'))
    logFile = join(folder, 'turnout.log')
    vendor = await startEchoVendor()
    collector = await startOtlpReceiver()
    hook = await startReceiver()
    scene = await startScene((document) => {
      const echo = (models: readonly string[], provider: string) =>
        Object.fromEntries(models.map((model) => [`${provider}-${model}`, [`${provider}/${model}`]]))
      Object.assign(document, {
        log: { level: 'trace', file: logFile, user: 'rotating' },
        cache: { persist: true },
        trace: { otlp: { url: collector.url, headers: { 'x-collector-key': 'sk-test-collector-0123456789' } } },
        server: { trustedProxies: ['127.0.0.1'] },
        webhooks: { ops: { url: hook.url, secret: 'test-hook-secret-0123456789' } },
        alerts: {
          spending: { kind: 'spend', per: 'key', usd: 0.000001 },
          budgets: { kind: 'budget', at: [50] },
        },
        budgets: {
          'each-user': { per: ['key', 'user'], only: { route: 'tiny' }, usd: 0.01, window: 'day' },
          told: { per: ['key', 'user'], only: { route: 'soft' }, usd: 0.000001, window: 'day', hard: false },
        },
        limits: { ...(document.limits as object), few: { per: 'user', only: { route: 'few' }, requests: 1 } },
      })
      Object.assign(document.providers as object, {
        e: { kind: 'openai', baseUrl: `${vendor.url}/v1`, apiKey: 'sk-test-echo-0123456789' },
        a: { kind: 'anthropic', baseUrl: vendor.url, apiKey: 'sk-test-echo-0123456789' },
      })
      Object.assign(document.prices as object, { ok: { input: 1, output: 4 }, 'error-*': { input: 1, output: 4 } })
      Object.assign(document.routes, echo(echoModels, 'e'), echo(echoModels, 'a'), {
        kept: { targets: ['e/ok'], cache: true },
        'kept-silently': { targets: ['e/silent'], cache: true },
        chain: { targets: ['e/error-503', 'a/error-500', 'e/ok'] },
        sunk: ['e/ok'],
        tiny: ['e/ok'],
        few: ['e/ok'],
        soft: ['e/ok'],
      })
    })
    const { url } = scene

    for (const provider of ['e', 'a'])
      for (const model of echoModels)
        for (const stream of [false, true]) {
          await chat(`${provider}-${model}`, { stream })
          // From another dialect: what is identity for one is translated for the other.
          await say('/v1/messages', {
            model: `${provider}-${model}`,
            max_tokens: 50,
            stream,
            system: mark('system'),
            messages: [{ role: 'user', content: mark('user') }],
            metadata: { user_id: mark('person') },
          })
        }
    await chat('kept', { temperature: 0 })
    expect((await chat('kept', { temperature: 0 })).headers['x-turnout-cache']).toMatch(/^hit/)
    // The cache keeps answers, and this vendor's are all that it was asked. Those that are taken out are gone from the file.
    expect((await scene.admin('DELETE', '/cache')).status).toBe(200)
    for (let n = 0; n < 3; n++) await chat('kept-silently', { temperature: 0 })
    while ((await scene.scrape()).get('turnout_cache_disk_entries') !== 1)
      await chat('kept-silently', { temperature: 0 })
    await chat('chain')
    await chat('chain', { stream: true })
    for (let n = 0; n < 3; n++) await chat('few')
    await chat('tiny')
    await chat('soft')
    refusals.push(await chat('tiny', { max_tokens: 1_000_000 }))

    // What is refused before anybody is asked.
    const text = JSON.stringify(asked('e-ok'))
    const headed = { ...headers, authorization: `Bearer ${keyOfRed}` }
    for (const body of [
      text.slice(0, -9),
      `${mark('user')} ${text}`,
      text.replace('{', `{"a":"${mark('unknown')}","a":2,`),
      JSON.stringify({ model: 'e-ok', messages: mark('user') }),
      Buffer.from([0xff, 0xfe, ...Buffer.from(mark('user'))]),
    ])
      refusals.push(await post(`${url}/v1/chat/completions`, body, headed))
    // Some of this is passed on, some is not: whatever is said of it, it is kept nowhere.
    for (const [known, other] of [
      ['"role":"user"', `"role":"${mark('unknown')}"`],
      ['"max_tokens":50', `"max_tokens":"${mark('unknown')}"`],
      ['"stop":[', `"a_parameter":"${mark('unknown')}","stop":[`],
      ['"stop":[', `"say ${mark('unknown')}":1,"stop":[`],
    ] as const)
      for (const route of ['e-ok', 'a-ok']) {
        const body = text.replace(known, other).replace('"e-ok"', `"${route}"`)
        expect(body).toContain(mark('unknown'))
        await post(`${url}/v1/chat/completions`, body, headed)
      }
    for (const path of ['/v1/messages', '/v1/responses', '/v1beta/models/e-ok:generateContent'])
      refusals.push(await post(`${url}${path}`, text.slice(0, -9), headed))
    await post(`${url}/v1/chat/completions`, text, { ...headers, authorization: `Bearer ${mark('wrongkey')}` })
    await send('GET', `${url}/v1/${mark('query')}?of=${mark('query')}`, undefined, headed).done
    const gone = send('POST', `${url}/v1/chat/completions`, asked('e-ok', { stream: true }), headed)
    gone.request.once('socket', (socket) => socket.once('connect', () => gone.request.destroy()))
    await gone.done

    // Half of a route goes to a side that fails with what it was told.
    await scene.admin('PUT', '/routes/sunk/canary', {
      target: 'a/error-500',
      percent: 50,
      unit: 'user',
      reason: 'rehearsal',
    })
    for (let n = 0; n < 400; n++) {
      await chat('sunk', { user: `${mark('person')}${n}` }, { 'x-turnout-unit': `${mark('unit')}${n}` })
      if (JSON.parse((await scene.admin('GET', '/routes/sunk/canary')).text).phase === 'rolled_back') break
    }

    await new Promise<void>((resolve) => {
      const look = (): void => {
        const types = new Set(hook.messages.map(({ body }) => body.type))
        const rules = new Set(hook.messages.map(({ body }) => body.data.alert))
        if (types.has('rollout.aborted') && rules.has('spending') && rules.has('budgets')) resolve()
        else setTimeout(look, 20)
      }
      look()
    })
    await collector.received(100)
    await scene.running.log.flush()
  }, 120_000)
  afterAll(async () => {
    for (const undo of unspy) undo()
    await scene?.close()
    await collector?.close()
    await hook?.close()
    await vendor?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const leaksIn = (text: string | Buffer, more: readonly string[] = keys): string[] =>
    [...marks, address, ...more].filter((secret) => text.includes(secret))

  it('the vendor was sent what is looked for, or it would prove nothing', () => {
    const sent = vendor.requests.map(({ body, headers: of }) => `${body} ${JSON.stringify(of)}`).join('\n')
    for (const place of inBody) expect(sent, place).toContain(mark(place))
    expect(sent).toContain(mark('tracestate'))
    const models = new Set(vendor.requests.map(({ body }) => JSON.parse(String(body)).model))
    expect([...models].sort()).toEqual([...echoModels].sort())
  })

  it('not in the log, at its lowest level', () => {
    const text = readFileSync(logFile, 'utf8')
    expect(text.split('\n').length).toBeGreaterThan(100)
    expect(leaksIn(text)).toEqual([])
    expect(text).not.toContain('"address"')
    expect(text).toMatch(/"user":"r_[\w-]{16}"/)
  })

  it('not in what the process prints', () => {
    expect(leaksIn(printed)).toEqual([])
  })

  it('not in metrics, nor in anything that operators are shown', async () => {
    expect(leaksIn((await get(`${scene.url}/metrics`)).text)).toEqual([])
    expect(leaksIn((await get(`${scene.url}/status`)).text)).toEqual([])
    const ids = (text: string): string[] => JSON.parse(text).data.map(({ id }: { id: string }) => id)
    const traces = await scene.admin('GET', '/traces?limit=1000')
    const requests = await scene.admin('GET', '/requests?limit=1000')
    expect(ids(traces.text).length).toBeGreaterThan(50)
    const paths = [
      '/traces?limit=1000',
      '/requests?limit=1000',
      ...ids(traces.text).map((id) => `/traces/${id}`),
      ...ids(requests.text).map((id) => `/requests/${id}`),
      '/spend?by=key,route,model',
      '/models/health',
      '/budgets',
      '/alerts?limit=1000',
      '/rollouts',
      '/rollouts/canary:sunk',
      '/rollouts/canary:sunk/events',
      '/config',
      '/audit',
    ]
    for (const path of paths) {
      const { text, status } = await scene.admin('GET', path)
      expect(status, path).toBe(200)
      expect(leaksIn(text), path).toEqual([])
    }
  })

  it('not in what is exported to a collector', () => {
    expect(collector.spans.length).toBeGreaterThan(100)
    // The client's trace state goes on with the trace, as the standard wants it.
    const told = JSON.stringify(collector.spans).replaceAll(`"traceState":"a=${mark('tracestate')}"`, '')
    expect(leaksIn(told)).toEqual([])
  })

  it('not in what webhooks are told', () => {
    const types = new Set(hook.messages.map(({ body }) => body.type))
    expect([...types]).toEqual(expect.arrayContaining(['alert.firing', 'rollout.aborted']))
    for (const { text, headers: of, path } of hook.messages)
      expect(leaksIn(`${path} ${JSON.stringify(of)} ${text}`), text).toEqual([])
  })

  it('not in the bytes of the database', () => {
    const data = join(scene.folder, 'data')
    const files = readdirSync(data)
    expect(files).toEqual(expect.arrayContaining(['turnout.db', 'cache.db']))
    // The document of the configuration is stored as it was written, with the keys of this test's file.
    for (const file of files) expect(leaksIn(readFileSync(join(data, file)), []), file).toEqual([])
  })

  it('not in our own words to the client', () => {
    for (const { status, text } of refusals) {
      expect(status, text).toBeGreaterThanOrEqual(400)
      expect(leaksIn(text), text).toEqual([])
    }
  })
})

it('addresses and users are told when they are asked for, or their absence would prove nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-private-'))
  const file = join(folder, 'turnout.log')
  const scene = await startScene((document) => {
    document.log = { level: 'info', file, clientAddress: true, user: 'ledger' }
    document.server = { trustedProxies: ['127.0.0.1'] }
  })
  try {
    const reply = await scene.chat('healthy', { user: mark('person') }, keyOfRed, { 'x-forwarded-for': address })
    await scene.running.log.flush()
    const line = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((one) => JSON.parse(one))
      .find(({ id }) => id === reply.headers['x-request-id'])
    const { text } = await scene.admin('GET', `/requests/${reply.headers['x-request-id']}`)
    // One and the same hash, that only this installation makes.
    expect(line).toMatchObject({ address, user: expect.stringMatching(/^u_[\w-]{22}$/) })
    expect(JSON.parse(text).user).toBe(line.user)
    expect(text).not.toContain(address)
    const other = await startScene((document) => {
      document.log = { level: 'silent' }
    })
    const again = await other.chat('healthy', { user: mark('person') })
    const elsewhere = await other.admin('GET', `/requests/${again.headers['x-request-id']}`)
    await other.close()
    expect(JSON.parse(elsewhere.text).user).toMatch(/^u_[\w-]{22}$/)
    expect(JSON.parse(elsewhere.text).user).not.toBe(line.user)
  } finally {
    await scene.close()
    rmSync(folder, { recursive: true, force: true })
  }
})
