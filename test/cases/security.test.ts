// Cases C47, C48, C50, C52, C61 and C63: who may come in, what stays inside, and how much of everything there may be.
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ask, CHAT, chunk, chunks, event, reply } from '../support/chatBodies.ts'
import { type Exchange, get, post, send } from '../support/exchange.ts'
import { type FakeUpstream, sendJson, sendSse, sseText, startFakeUpstream } from '../support/fakeUpstream.ts'
import { single } from '../support/freshTargets.ts'
import { startGateway, type TestGateway, upstreamAt } from '../support/gateway.ts'
import { appKey, startLedgerGateway } from '../support/ledgerGateway.ts'
import { openRaw, parseReply, rawExchange, rawPost } from '../support/rawSocket.ts'

const CLIENT_KEY = 'sk-test-client-0123456789abcdef'
const UPSTREAM_KEY = 'sk-test-upstream-0123456789'

let upstream: FakeUpstream
let open: TestGateway
let locked: TestGateway
let hasty: TestGateway
/** A server that nobody may ever call. */
let trap: Server
let trapUrl = ''
let trapped = 0
let script: (res: ServerResponse, body: Record<string, unknown>) => void | Promise<void>
const answer = (res: ServerResponse, body: Record<string, unknown>): void | Promise<void> =>
  body.stream === true ? sendSse(res, sseText(chunks('hello'))) : sendJson(res, 200, reply())

beforeAll(async () => {
  upstream = await startFakeUpstream((_req, res, body) => script(res, JSON.parse(body.toString())))
  trap = createServer((_req, res) => {
    trapped++
    res.end('{}')
  }).listen(0, '127.0.0.1')
  await once(trap, 'listening')
  trapUrl = `http://127.0.0.1:${(trap.address() as AddressInfo).port}`
  const providers = {
    p: upstreamAt(upstream.url),
    proxied: upstreamAt(upstream.url, { headers: { 'x-proxy-key': 'planted-proxy-credential' } }),
    azure: { kind: 'azure', baseUrl: upstream.url, apiKey: UPSTREAM_KEY, apiVersion: '2024-10-21' },
  }
  const routes = {
    m: 'p/m',
    proxied: 'proxied/m',
    'any-*': 'p/*',
    'azure-*': 'azure/*',
    'ünï-*': 'p/日本\u0007\u{1f682}',
  }
  const limits = { maxBody: '16KB', maxMessages: 20, maxJsonDepth: 10 }
  open = await startGateway({ ...single, server: limits, providers, routes, directModels: true })
  hasty = await startGateway({
    ...single,
    server: { headersTimeout: '150ms', bodyTimeout: '150ms' },
    providers,
    routes,
  })
  locked = await startGateway({
    ...single,
    server: { corsOrigins: ['https://app.example.com'] },
    providers,
    routes,
    directModels: true,
    keys: [{ name: 'app', key: CLIENT_KEY }],
    // Many wrong keys come from here, and each has to get its own answer.
    access: { failuresPerMinute: 0 },
  })
})
afterAll(async () => {
  await Promise.all([open?.close(), locked?.close(), hasty?.close()])
  await upstream?.close()
  trap?.close()
})
beforeEach(() => {
  script = answer
  trapped = 0
})

const codeOf = ({ text }: { text: string }): string => JSON.parse(text).error.code

describe('C47 credentials', () => {
  const chat = (headers: Record<string, string>): Promise<Exchange> => post(locked.url + CHAT, ask(), headers)

  it('C47 a hostile bearer gives 401 in the error shape', async () => {
    const hostile = [
      "' OR '1'='1",
      "'; DROP TABLE keys; --",
      '" OR ""="',
      '%00',
      '../../etc/passwd',
      '{"$ne":null}',
      '__proto__',
      'constructor',
      'undefined',
      'null',
      CLIENT_KEY.slice(0, -1),
      `${CLIENT_KEY}x`,
      CLIENT_KEY.toUpperCase(),
      `${CLIENT_KEY},${CLIENT_KEY}`,
      'ÿþýüûú',
      'x'.repeat(8_000),
      '*',
    ]
    for (const bearer of hostile) {
      for (const headers of [{ authorization: `Bearer ${bearer}` }, { 'x-api-key': bearer }] as Record<
        string,
        string
      >[]) {
        const exchange = await chat(headers)
        expect([exchange.status, codeOf(exchange)], bearer.slice(0, 40)).toEqual([401, 'invalid_api_key'])
        if (bearer.length > 8) expect(exchange.text).not.toContain(bearer.slice(0, 12))
      }
    }
  })

  it('C47 no bearer, an empty one and other schemes give 401', async () => {
    for (const authorization of ['', 'Bearer', 'Bearer ', 'Basic dXNlcjpwYXNz', CLIENT_KEY, `Token ${CLIENT_KEY}`]) {
      expect(await chat({ authorization })).toMatchObject({ status: 401 })
    }
    expect(await chat({})).toMatchObject({ status: 401 })
    expect(await get(`${locked.url}/v1/models`)).toMatchObject({ status: 401 })
    expect(await get(`${locked.url}/v1/models/m`)).toMatchObject({ status: 401 })
  })

  it('C47 CR, LF, NUL and bytes above ASCII on the bare socket never get in and never break anything', async () => {
    const values = [
      'abc\r\n def',
      'abc\rdef',
      'abc\ndef',
      'abc\0def',
      `${CLIENT_KEY}\r\nx: y`,
      '\xff\xfe\xfd',
      `\t${CLIENT_KEY}x`,
      'a\r\n\r\nGET / HTTP/1.1',
    ]
    for (const value of values) {
      const { status, body } = await rawExchange(
        locked.port,
        rawPost(CHAT, JSON.stringify(ask()), ['connection: close', `authorization: Bearer ${value}`]),
      )
      const isKey = value.startsWith(`${CLIENT_KEY}\r\n`)
      expect(isKey ? [200] : [400, 401], JSON.stringify(value)).toContain(status)
      if (!isKey) expect(JSON.parse(body.split('HTTP/1.1')[0]!).error.type, value).toMatch(/_error$/)
    }
  })

  it('C47 a bearer of 1 MB gives 431 in the error shape', async () => {
    const { status, headers, body } = await rawExchange(
      locked.port,
      rawPost(CHAT, JSON.stringify(ask()), [`authorization: Bearer ${'a'.repeat(1_000_000)}`]),
    )
    expect([status, headers['content-type'], codeOf({ text: body })]).toEqual([
      431,
      'application/json',
      'headers_too_large',
    ])
  })

  it('C47 the right key gets in, as bearer in any case and as x-api-key', async () => {
    for (const headers of [
      { authorization: `Bearer ${CLIENT_KEY}` },
      { authorization: `bearer  ${CLIENT_KEY} ` },
      { authorization: `BEARER ${CLIENT_KEY}` },
      { 'x-api-key': CLIENT_KEY },
    ] as Record<string, string>[]) {
      expect(await chat(headers)).toMatchObject({ status: 200 })
    }
    expect(locked.lines.at(-1)).toMatchObject({ key: 'app', outcome: 'ok' })
  })

  it('C47 a refused request is not read and reaches no upstream', async () => {
    const before = upstream.requests.length
    await chat({ authorization: 'Bearer wrong' })
    expect(upstream.requests.length).toBe(before)
    expect(locked.lines.at(-1)).toMatchObject({ outcome: 'refused', refusal: 'invalid_api_key', attempts: 0 })
  })
})

describe("C48 addresses and credentials are the configuration's alone", () => {
  it('C48 no header and no field moves the call or its key', async () => {
    const headers: Record<string, string> = {
      authorization: 'Bearer sk-test-of-somebody-else',
      'x-base-url': trapUrl,
      'x-turnout-base-url': trapUrl,
      'x-turnout-target': 'proxied/m',
      'x-turnout-provider': 'proxied',
      'x-portkey-custom-host': trapUrl,
      'x-litellm-api-base': trapUrl,
      'x-forwarded-host': new URL(trapUrl).host,
      'x-original-url': `${trapUrl}/x`,
      'api-key': 'sk-test-of-somebody-else',
      'x-goog-api-key': 'sk-test-of-somebody-else',
      'openai-organization': 'org-of-somebody-else',
      'openai-project': 'proj-of-somebody-else',
      'proxy-authorization': 'Basic c29tZWJvZHk=',
      cookie: 'session=of-somebody-else',
      forwarded: `host=${trapUrl}`,
    }
    const body = ask('m', {
      api_base: trapUrl,
      base_url: trapUrl,
      api_key: 'sk-test-in-the-body',
      custom_llm_provider: 'proxied',
      model_list: [{ api_base: trapUrl }],
      provider: { base_url: trapUrl },
    })
    for (const more of [{}, { stream: true }]) {
      expect((await post(`${open.url}${CHAT}?api_base=${trapUrl}&key=x`, { ...body, ...more }, headers)).status).toBe(
        200,
      )
      const seen = upstream.requests.at(-1)!
      expect(seen.path).toBe('/v1/chat/completions')
      expect(seen.headers.authorization).toBe(`Bearer ${UPSTREAM_KEY}`)
      expect(JSON.stringify(seen.headers)).not.toContain('somebody')
      expect(JSON.stringify(seen.headers)).not.toContain(trapUrl)
    }
    expect(trapped).toBe(0)
  })

  it('C48 no model name moves the call', async () => {
    const names = [
      `${trapUrl}/x`,
      `p/${trapUrl}`,
      'p/../../../admin',
      'p/@evil',
      'any-..%2f..%2f',
      'azure-../../../x',
      'azure-x?api-version=1',
      'azure-x#y',
      'azure-x\r\nx: y',
      'proxied/../p/x',
    ]
    for (const model of names) {
      await post(open.url + CHAT, ask(model))
      const seen = upstream.requests.at(-1)
      if (seen)
        expect(seen.path, model).toMatch(
          /^\/v1\/chat\/completions$|^\/openai\/deployments\/[^/?#]+\/chat\/completions\?api-version=2024-10-21$/,
        )
    }
    expect(trapped).toBe(0)
  })

  it('C48 redirects are not followed', async () => {
    for (const status of [300, 301, 302, 303, 307, 308]) {
      for (const more of [{}, { stream: true }]) {
        script = (res) => {
          res.writeHead(status, { location: `${trapUrl}/v1/chat/completions`, 'content-type': 'application/json' })
          res.end('{"error":{"message":"moved"}}')
        }
        const exchange = await post(open.url + CHAT, ask(`p/moved-${status}-${more.stream ?? false}`, more))
        expect(exchange.status).toBe(502)
        expect(exchange.headers.location).toBeUndefined()
        expect(exchange.headers['x-turnout-error']).toBe('redirect')
      }
    }
    expect(trapped).toBe(0)
  })

  it('C48 an absolute URL on the request line is not called', async () => {
    const { status } = await rawExchange(
      open.port,
      rawPost(`${trapUrl}/v1/chat/completions`, JSON.stringify(ask()), ['connection: close']),
    )
    expect(status).toBe(404)
    const connect = await rawExchange(
      open.port,
      `CONNECT ${trapUrl.slice(7)} HTTP/1.1\r\nhost: ${trapUrl.slice(7)}\r\n\r\n`,
    )
    expect(connect.status === 0 || connect.status >= 400).toBe(true)
    expect(trapped).toBe(0)
  })
})

describe('C50 a planted secret and a planted prompt', () => {
  const PROMPT = 'planted-prompt-zebra'
  const planted = [
    UPSTREAM_KEY,
    appKey,
    'planted-proxy-credential',
    PROMPT,
    'planted-user',
    'planted-answer',
    'planted-argument',
  ]

  it('C50 are in no log line, no metric, no page, no error body and no file of the ledger', async () => {
    const books = await startLedgerGateway({
      ...single,
      providers: {
        p: upstreamAt(upstream.url),
        proxied: upstreamAt(upstream.url, { headers: { 'x-proxy-key': 'planted-proxy-credential' } }),
      },
      routes: { m: 'p/m' },
    })
    const auth = { authorization: `Bearer ${appKey}` }
    const body = (model: string, more = {}): Record<string, unknown> => ({
      ...ask(model, more),
      messages: [
        { role: 'user', content: PROMPT },
        {
          role: 'assistant',
          tool_calls: [{ id: 'c', function: { name: 'f', arguments: '{"x":"planted-argument"}' } }],
        },
      ],
      user: 'planted-user',
      metadata: { note: PROMPT },
    })
    const echo = `Incorrect API key provided: ${UPSTREAM_KEY}. Proxy: planted-proxy-credential.`
    const error = { error: { message: echo, type: 'invalid_request_error', param: null, code: 'invalid_api_key' } }
    const begun = event(chunk({ content: 'planted-answer' }))
    const ways: [string, (res: ServerResponse) => void | Promise<void>][] = [
      ['a reply', (res) => sendJson(res, 200, reply('planted-answer'))],
      ['a stream', (res) => sendSse(res, sseText(chunks('planted-answer')))],
      ['an error that echoes the key', (res) => sendJson(res, 401, error)],
      ['an error list that echoes the key', (res) => sendJson(res, 401, [error])],
      ['a text that echoes the key', (res) => sendJson(res, 401, JSON.stringify(echo))],
      [
        'a page that echoes the key',
        (res) => {
          res.writeHead(500, { 'content-type': 'text/html' })
          res.end(`<p>${echo}</p>`)
        },
      ],
      ['an error in a 200 that echoes the key', (res) => sendJson(res, 200, error)],
      ['a first event that echoes the key', (res) => sendSse(res, event(error))],
      ['a later event that echoes the key', (res) => sendSse(res, begun + event(error))],
      ['a later event that echoes the key, in other words', (res) => sendSse(res, begun + event({ error: echo }))],
      ['a header that echoes the key', (res) => sendJson(res, 400, error, { 'x-debug': echo, 'x-echo': UPSTREAM_KEY })],
      [
        'a good reply whose header echoes the key',
        (res) => sendJson(res, 200, reply('planted-answer'), { 'x-debug': echo }),
      ],
      ['something broken', (res) => sendJson(res, 200, `{"planted-answer":${PROMPT}`)],
    ]
    const told: string[] = []
    for (const [index, [what, way]] of ways.entries()) {
      script = way
      for (const more of [{}, { stream: true }]) {
        // A target for each way: one that a breaker has closed off would tell nothing.
        for (const model of [`p/${index}`, `proxied/${index}`]) {
          const exchange = await post(books.url + CHAT, body(model, more), auth)
          const text = `${JSON.stringify(exchange.headers)}\n${exchange.text}`
          for (const secret of [
            UPSTREAM_KEY,
            appKey,
            ...(model.startsWith('proxied') ? ['planted-proxy-credential'] : []),
          ]) {
            expect(text, what).not.toContain(secret)
          }
          if (exchange.status >= 400) expect(text, what).not.toContain(PROMPT)
          told.push(what)
        }
      }
    }
    // Requests that we refuse ourselves.
    for (const broken of [
      `{"model":"m","messages":"${PROMPT}"}`,
      `{"model":"m","messages":[{"content":"${PROMPT}"}]`,
      PROMPT,
    ]) {
      expect((await post(books.url + CHAT, broken, auth)).text).not.toContain(PROMPT)
    }
    expect((await post(books.url + CHAT, body('m'), { authorization: `Bearer ${PROMPT}` })).text).not.toContain(PROMPT)

    const pages = await Promise.all(
      ['/metrics', '/status', '/health', '/health/ready', '/'].map((path) => get(books.url + path)),
    )
    expect(pages.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    const seen = { lines: books.gateway.lines, notes: books.gateway.notes, pages: pages.map(({ text }) => text) }
    expect(books.gateway.lines.length).toBeGreaterThanOrEqual(told.length)
    expect(pages[0]!.text).toContain('turnout')
    for (const secret of planted) expect(JSON.stringify(seen)).not.toContain(secret)

    await books.ledger.flush()
    const rows = books.store.db.prepare('SELECT count(*) AS count FROM request').get() as { count: number }
    expect(rows.count).toBeGreaterThanOrEqual(told.length)
    const files = readdirSync(books.folder).map((name) => readFileSync(join(books.folder, name)))
    expect(files.length).toBeGreaterThan(1)
    for (const secret of planted) for (const bytes of files) expect(bytes.includes(secret)).toBe(false)
    await books.close()
  })
})

describe('C52 limits', () => {
  const refused = async (exchange: Exchange | Promise<Exchange>, status: number, code: string): Promise<void> => {
    const it = await exchange
    expect([it.status, codeOf(it)], it.text.slice(0, 200)).toEqual([status, code])
  }

  it('C52 of the body, told by its length or not, compressed or not', async () => {
    const large = JSON.stringify(ask('m', { pad: 'x'.repeat(20_000) }))
    const before = upstream.requests.length
    await refused(post(open.url + CHAT, large), 413, 'request_too_large')
    await refused(post(open.url + CHAT, large, { 'transfer-encoding': 'chunked' }), 413, 'request_too_large')
    await refused(post(open.url + CHAT, gzipSync(large), { 'content-encoding': 'gzip' }), 413, 'request_too_large')
    const bomb = Buffer.alloc(100 * 1024 * 1024, 0x20)
    await refused(
      post(open.url + CHAT, brotliCompressSync(bomb), { 'content-encoding': 'br' }),
      413,
      'request_too_large',
    )
    expect(upstream.requests.length).toBe(before)
    const largest = JSON.stringify(ask('m', { pad: '' }))
    const fits = JSON.stringify(ask('m', { pad: 'x'.repeat(16 * 1024 - largest.length) }))
    expect(fits.length).toBe(16 * 1024)
    expect((await post(open.url + CHAT, fits)).status).toBe(200)
    await refused(post(open.url + CHAT, `${fits} `), 413, 'request_too_large')
    const chunked = { 'transfer-encoding': 'chunked' }
    expect((await post(open.url + CHAT, fits, chunked)).status).toBe(200)
    await refused(post(open.url + CHAT, `${fits} `, chunked), 413, 'request_too_large')
    await refused(post(open.url + CHAT, gzipSync(`${fits} `), { 'content-encoding': 'gzip' }), 413, 'request_too_large')
    expect((await post(open.url + CHAT, gzipSync(fits), { 'content-encoding': 'gzip' })).status).toBe(200)
  })

  it('C52 of the number of messages', async () => {
    const messages = (count: number) => Array.from({ length: count }, () => ({ role: 'user', content: 'x' }))
    expect((await post(open.url + CHAT, ask('m', { messages: messages(20) }))).status).toBe(200)
    await refused(post(open.url + CHAT, ask('m', { messages: messages(21) })), 400, 'too_many_messages')
  })

  it('C52 of the depth of the JSON', async () => {
    const nested = (depth: number): string => `{"model":"m","messages":[],"x":${'['.repeat(depth)}${']'.repeat(depth)}}`
    expect((await post(open.url + CHAT, nested(9))).status).toBe(200)
    await refused(post(open.url + CHAT, nested(10)), 400, 'json_too_deep')
    await refused(post(open.url + CHAT, '['.repeat(16_000)), 400, 'json_too_deep')
    await refused(post(open.url + CHAT, '{"a":'.repeat(3_000)), 400, 'json_too_deep')
  })

  it('C52 of the headers, by size and by number', async () => {
    const many = Array.from({ length: 5_000 }, (_, index) => `x-${index}: y`)
    for (const headers of [many, [`x-large: ${'a'.repeat(20_000)}`]]) {
      const { status, body } = await rawExchange(open.port, rawPost(CHAT, '{}', headers))
      expect([status, codeOf({ text: body })]).toEqual([431, 'headers_too_large'])
    }
  })

  it('C52 of the time for headers and for the body', async () => {
    const count = hasty.lines.length
    const slow = async (begin: string, rest: string): Promise<string> => {
      const raw = await openRaw(hasty.port)
      raw.write(begin)
      // A byte now and then keeps nobody's attention.
      let at = 0
      const drip = setInterval(() => raw.write(rest[at++ % rest.length]!), 30)
      const text = await raw.closed
      clearInterval(drip)
      return text
    }
    const texts = await Promise.all([
      slow('POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n', 'x-slow: y\r\n'),
      slow(rawPost(CHAT, ' '.repeat(10_000)).slice(0, -9_990), ' '),
    ])
    for (const text of texts) {
      const { status, body } = parseReply(text)
      expect([status, codeOf({ text: body })]).toEqual([408, 'request_timeout'])
    }
    // Without its headers it is no request yet. The client of the other one waited for its answer.
    expect(hasty.lines.slice(count)).toMatchObject([{ outcome: 'refused', refusal: 'request_timeout', status: 408 }])
  })

  it('C52 of the hops: a gateway that points at itself stops at once, and says so', async () => {
    const config = (url: string) => ({
      server: { maxHops: 4 },
      providers: { p: upstreamAt(url) },
      routes: { m: 'p/m' },
    })
    const looped = await startGateway(config('http://127.0.0.1:9'))
    const self = await startGateway(config(looped.url))
    looped.turnout.swap(self.turnout.snapshot)
    try {
      for (const more of [{}, { stream: true }]) {
        const before = looped.lines.length
        const exchange = await post(looped.url + CHAT, ask('m', more))
        await refused(exchange, 508, 'loop_detected')
        const lines = (await looped.settled(before + 5)).slice(before)
        expect(lines.map(({ outcome }) => outcome)).toEqual(['refused', 'failed', 'failed', 'failed', 'failed'])
      }
    } finally {
      await looped.close()
      await self.close()
    }
  })

  it('C52 of the hops: what a client says of them cannot raise the limit', async () => {
    for (const [hops, status] of [
      ['-100', 200],
      ['x', 200],
      ['', 200],
      ['0', 200],
      ['5', 508],
      ['99999999999999999999', 508],
      ['5, 0', 508],
    ] as const) {
      expect((await post(open.url + CHAT, ask(), { 'x-turnout-hops': hops })).status, hops).toBe(status)
    }
    expect(upstream.requests.at(-1)!.headers['x-turnout-hops']).toBe('1')
  })
})

describe('C61 without a key', () => {
  const withHost = (host: string, path = CHAT, method = 'POST'): Promise<Exchange> =>
    send(method, open.url + path, method === 'POST' ? ask() : undefined, { host }).done

  it('C61 only loopback names are answered, on every page that tells something', async () => {
    const foreign = [
      'evil.example.com',
      'evil.example.com:4000',
      'localhost.evil.example.com',
      '127.0.0.1.evil.example.com',
      '10.0.0.1',
      '0.0.0.0',
      '[fe80::1]',
      '192.168.0.1:4000',
      'localhost@evil.example.com',
    ]
    for (const host of foreign) {
      expect(await withHost(host), host).toMatchObject({ status: 403 })
      for (const path of ['/v1/models', '/v1/models/m', '/status', '/metrics']) {
        expect(await withHost(host, path, 'GET'), `${host}${path}`).toMatchObject({ status: 403 })
      }
      // A balancer's probe knows no names, and learns nothing.
      expect(await withHost(host, '/health/live', 'GET')).toMatchObject({ status: 200 })
    }
    for (const host of [
      'localhost',
      'localhost:1',
      '127.0.0.1',
      '127.1.2.3:80',
      '[::1]',
      '[::1]:4000',
      'LOCALHOST',
      'app.localhost',
    ]) {
      expect(await withHost(host), host).toMatchObject({ status: 200 })
      expect(await withHost(host, '/status', 'GET'), host).toMatchObject({ status: 200 })
    }
    const none = await rawExchange(
      open.port,
      `POST ${CHAT} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}`,
    )
    expect(none.status).toBe(403)
  })

  it('C61 a POST must say that it is JSON, as no web form can', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      '',
      'text/plain; application/json',
      'text/json-not',
      'application/jsonx',
    ]) {
      expect(await post(open.url + CHAT, ask(), { 'content-type': type }), type).toMatchObject({ status: 415 })
    }
    for (const type of ['application/json', 'Application/JSON; charset=utf-8', 'application/vnd.api+json']) {
      expect(await post(open.url + CHAT, ask(), { 'content-type': type }), type).toMatchObject({ status: 200 })
    }
  })

  it('C61 no web page is allowed anything', async () => {
    for (const origin of ['https://evil.example.com', 'http://localhost:3000', 'null']) {
      const headers = {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type',
      }
      for (const exchange of [
        await send('OPTIONS', open.url + CHAT, undefined, headers).done,
        await post(open.url + CHAT, ask(), headers),
      ]) {
        expect(Object.keys(exchange.headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
      }
    }
    script = (res) =>
      sendJson(res, 200, reply(), { 'access-control-allow-origin': '*', 'access-control-allow-credentials': 'true' })
    const exchange = await post(open.url + CHAT, ask(), { origin: 'https://evil.example.com' })
    expect(Object.keys(exchange.headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
  })

  it('C61 a key or the word of the operator lifts the rule', async () => {
    const insecure = await startGateway(
      { providers: { p: upstreamAt(upstream.url) }, routes: { m: 'p/m' } },
      { insecure: true },
    )
    try {
      expect(await post(insecure.url + CHAT, ask(), { host: 'gateway.example.com' })).toMatchObject({ status: 200 })
      expect(await get(`${insecure.url}/status`, { host: 'gateway.example.com' })).toMatchObject({ status: 200 })
      const auth = { authorization: `Bearer ${CLIENT_KEY}` }
      expect(await post(locked.url + CHAT, ask(), { host: 'gateway.example.com', ...auth })).toMatchObject({
        status: 200,
      })
      expect(await post(locked.url + CHAT, ask(), { 'content-type': 'text/plain', ...auth })).toMatchObject({
        status: 200,
      })
      const cors = { origin: 'https://app.example.com', ...auth }
      expect((await post(locked.url + CHAT, ask(), cors)).headers['access-control-allow-origin']).toBe(
        'https://app.example.com',
      )
      const other = await post(locked.url + CHAT, ask(), { ...cors, origin: 'https://evil.example.com' })
      expect(other.headers['access-control-allow-origin']).toBeUndefined()
    } finally {
      await insecure.close()
    }
  })
})

describe('C63 odd characters', () => {
  const legal = /^[\x20-\x7e]*$/

  it("C63 in model names never break a reply's headers", async () => {
    const odd = [
      'é',
      '日本',
      '🚂',
      'a\nb',
      'a\r\nx-injected: 1',
      '\u0000',
      '\u007f',
      '\u0085',
      '\ufeff',
      '\u2028',
      '"',
      '\\',
      'x'.repeat(200),
      '🚂'.repeat(60),
      '%',
      '%0d%0a',
      ' ',
      '‮',
    ]
    for (const name of odd) {
      for (const more of [{}, { stream: true }]) {
        for (const prefix of ['any-', 'azure-', 'ünï-', 'p/']) {
          const exchange = await post(open.url + CHAT, ask(prefix + name, more))
          expect(exchange.headers['x-injected']).toBeUndefined()
          // No model is called so.
          const isModel = !/\p{Cc}/u.test(name)
          expect(exchange.status, `${prefix}${name} ${exchange.text}`).toBe(isModel ? 200 : 404)
          if (!isModel) continue
          for (const header of ['x-turnout-model', 'x-turnout-target', 'x-turnout-provider']) {
            expect(exchange.headers[header], `${header} of ${name}`).toMatch(legal)
            expect(String(exchange.headers[header]).length).toBeLessThanOrEqual(1024)
          }
        }
      }
    }
    expect(open.lines.some(({ model }) => model?.includes('🚂'))).toBe(true)
  })

  it('C63 half a surrogate pair is refused, not crashed at', async () => {
    for (const model of ['"any-\\ud83d"', '"azure-\\ude82x"', '"\\udead"']) {
      const exchange = await post(open.url + CHAT, `{"model":${model},"messages":[]}`)
      expect([exchange.status, codeOf(exchange)]).toEqual([400, 'invalid_value'])
    }
    expect(JSON.stringify(open.notes)).not.toContain('fault of the gateway')
  })

  it('C63 in unknown names, paths and methods never break an error', async () => {
    for (const name of ['ö', '🚂'.repeat(500), 'a\r\nb', '\u0000', '<script>']) {
      expect((await post(open.url + CHAT, ask(`nope-${name}`))).status).toBe(404)
    }
    for (const path of [
      '/%',
      '/%zz',
      '/v1/models/%',
      '/v1/models/%E0%A4%A',
      '/v1/models/%F0%9F%9A%82',
      '/v1/models/',
      '/v1/models/a%0d%0ab',
      '//',
      '/\xff',
    ]) {
      const { status, body } = await rawExchange(
        open.port,
        `GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`,
      )
      expect([400, 404], path).toContain(status)
      expect(JSON.parse(body).error.code, path).not.toBe('internal_error')
    }
  })

  it("C63 in an upstream's headers pass encoded", async () => {
    script = (res) => {
      res.socket!.write(
        Buffer.from(
          `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-odd: caf\xe9 \xff\r\nx-many: 1\r\nx-many: 2\r\nx-long: ${'y'.repeat(5_000)}\r\ncontent-length: ${JSON.stringify(reply()).length}\r\n\r\n${JSON.stringify(reply())}`,
          'latin1',
        ),
      )
    }
    const { status, headers } = await post(open.url + CHAT, ask())
    expect(status).toBe(200)
    expect(headers['x-odd']).toMatch(legal)
    expect(headers['x-odd']).toContain('caf')
    expect(headers['x-many']).toBe('1, 2')
    expect(String(headers['x-long'])).toMatch(/^y{200,}/)
  })
})
