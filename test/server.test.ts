// The server's manners: connections, methods, pages, compressed and chunked bodies, proxies, and a stop that drops nothing.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Agent, createServer, request } from 'node:http'
import { type AddressInfo, connect, createServer as createMute } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { clientAddress, trustRanges } from '../src/http/clientAddress.ts'
import { ask, CHAT, chunk, DONE, event, finishChunk, reply } from './support/chatBodies.ts'
import { dataOf, type Exchange, get, post, send } from './support/exchange.ts'
import { type FakeUpstream, openSse, sendJson, stall, startFakeUpstream } from './support/fakeUpstream.ts'
import { single } from './support/freshTargets.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'
import { findQuietPort } from './support/quietPort.ts'
import { openRaw, parseReply, rawExchange, rawPost } from './support/rawSocket.ts'

const KEY = 'sk-test-0123456789abcdef'
const auth = { authorization: `Bearer ${KEY}` }

let upstream: FakeUpstream
let gateway: TestGateway
let locked: TestGateway
let script: (res: ServerResponse, body: Buffer) => void | Promise<void>
const answer = (res: ServerResponse): void => sendJson(res, 200, reply())

const config = () => ({
  ...single,
  providers: {
    p: upstreamAt(upstream.url),
    azure: { kind: 'azure', baseUrl: upstream.url, apiKey: 'sk-test-azure-012345' },
  },
  routes: { m: 'p/m', 'team/model': 'p/m', 'gpt-*': 'p/*' },
})

beforeAll(async () => {
  script = answer
  upstream = await startFakeUpstream((_req, res, body) => script(res, body))
  gateway = await startGateway({ ...config(), directModels: true })
  locked = await startGateway({
    ...config(),
    server: { corsOrigins: ['https://app.example.com'] },
    keys: [{ name: 'a', key: KEY }],
  })
})
afterAll(async () => {
  await Promise.all([gateway?.close(), locked?.close()])
  await upstream?.close()
})

beforeEach(() => {
  script = answer
})

const json = (exchange: Exchange) => JSON.parse(exchange.text)

describe('connections', () => {
  it('stay open for 75 s, and say so', async () => {
    const raw = await openRaw(gateway.port)
    raw.write('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n')
    const text = await raw.until((all) => all.includes('"ok"'))
    expect(parseReply(text).headers).toMatchObject({ connection: 'keep-alive', 'keep-alive': 'timeout=75' })
    raw.close()
  })

  it('serve one request after another', async () => {
    const raw = await openRaw(gateway.port)
    for (let count = 1; count <= 5; count++) {
      raw.write(rawPost(CHAT, JSON.stringify(ask(count % 2 === 0 ? 'm' : 'unheard-of'))))
      await raw.until((all) => all.split('HTTP/1.1 ').length - 1 === count && all.endsWith('}'))
    }
    expect(raw.text.match(/HTTP\/1\.1 \d+/g)).toEqual([404, 200, 404, 200, 404].map((status) => `HTTP/1.1 ${status}`))
    raw.close()
  })

  it('serve pipelined requests in their order, one at a time, and not without end', async () => {
    const held: (() => void)[] = []
    script = async (res, body) => {
      await new Promise<void>((resolve) => held.push(resolve))
      sendJson(res, 200, reply(JSON.parse(body.toString()).user))
    }
    const count = upstream.requests.length
    const raw = await openRaw(gateway.port)
    const sent = Array.from({ length: 3 }, (_, n) => rawPost(CHAT, JSON.stringify(ask('m', { user: `user-${n}` }))))
    // The last one in two pieces.
    raw.write(sent.join('').slice(0, -10))
    for (let n = 0; n < 3; n++) {
      await vi.waitFor(() => expect(held).toHaveLength(n + 1))
      expect(upstream.requests.length).toBe(count + n + 1)
      held[n]!()
      await raw.until((all) => all.includes(`"user-${n}"`))
      if (n === 1) raw.write(sent.join('').slice(-10))
    }
    const answered = raw.text.match(/"user-\d"/g)
    expect(answered).toEqual(['"user-0"', '"user-1"', '"user-2"'])

    raw.close()
    const flood = connect(gateway.port, '127.0.0.1')
    flood.on('error', () => {})
    flood.write(sent[0]!.repeat(2_000))
    await new Promise((resolve) => flood.once('close', resolve))
    expect(upstream.requests.length).toBeLessThanOrEqual(count + 4)
  })

  it('end when the client says so, also in HTTP/1.0', async () => {
    const closing = await rawExchange(gateway.port, rawPost(CHAT, JSON.stringify(ask()), ['connection: close']))
    expect([closing.status, closing.headers.connection]).toEqual([200, 'close'])
    const old = await rawExchange(gateway.port, rawPost(CHAT, JSON.stringify(ask())).replace('HTTP/1.1', 'HTTP/1.0'))
    expect(old.status).toBe(200)
    expect(JSON.parse(old.body)).toEqual(reply())
  })

  it('end after a request that is no HTTP, with an answer in the error shape', async () => {
    for (const [bytes, status] of [
      ['\x16\x03\x01\x02\x00\x01\x00\x01', 400],
      ['GET\r\n\r\n', 400],
      ['GET / HTTP/9.9\r\nhost: x\r\n\r\n', 400],
      [
        'POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
        400,
      ],
      ['POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n', 400],
      [
        'POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello',
        400,
      ],
      ['GET /health HTTP/1.1\r\n\r\n', 400],
    ] as const) {
      const { status: told, headers, body } = await rawExchange(gateway.port, bytes)
      expect(told, bytes).toBe(status)
      expect(headers['content-type'], bytes).toBe('application/json')
      expect(headers['x-turnout-error'], bytes).toBe('bad_http')
      expect(JSON.parse(body).error).toMatchObject({ code: 'bad_http', type: 'invalid_request_error', param: null })
    }
  })

  it('are told that this is no proxy', async () => {
    const { status, body } = await rawExchange(
      gateway.port,
      'CONNECT example.org:443 HTTP/1.1\r\nhost: example.org:443\r\n\r\n',
    )
    expect([status, JSON.parse(body).error.code]).toEqual([405, 'method_not_allowed'])
  })

  it('may leave the Host out in HTTP/1.0, which did not know it', async () => {
    expect((await rawExchange(gateway.port, 'GET /health HTTP/1.0\r\n\r\n')).status).toBe(200)
  })

  it('may not name two Hosts, which two servers could read differently', async () => {
    // Node leaves out what comes after 2,000 headers unless it is told not to.
    for (const between of ['', 'a:b\r\n'.repeat(2_100)]) {
      const hosts = `Host: localhost\r\n${between}hOsT: elsewhere.example\r\n`
      const { status, headers, body } = await rawExchange(gateway.port, `GET /health HTTP/1.1\r\n${hosts}\r\n`)
      expect([status, headers.connection, JSON.parse(body).error.code]).toEqual([400, 'close', 'bad_http'])
    }
  })

  it('are told of a broken chunk in the middle of a body, and it is on record as what it is', async () => {
    const count = gateway.lines.length
    const text = await rawExchange(
      gateway.port,
      'POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"mod\r\nzz\r\n',
    )
    expect([text.status, JSON.parse(text.body).error.code]).toEqual([400, 'bad_http'])
    expect(gateway.lines.slice(count)).toMatchObject([{ outcome: 'refused', refusal: 'bad_http', status: 400 }])
  })
})

describe('methods and paths', () => {
  it("404 for paths that are nobody's, with the path but not its query", async () => {
    const exchange = await get(`${gateway.url}/v1/secrets?key=sk-test-planted-in-a-query`)
    expect(exchange.status).toBe(404)
    expect(json(exchange).error).toMatchObject({ code: 'invalid_url', type: 'invalid_request_error' })
    expect(exchange.text).toContain('/v1/secrets')
    expect(exchange.text).not.toContain('planted')
  })

  it('404 for the Responses API, with the way out: some clients ask it by default', async () => {
    const { status, text } = await post(`${gateway.url}/v1/responses`, { model: 'gpt-4.1', input: 'hi' })
    expect([status, JSON.parse(text).error.code]).toEqual([404, 'invalid_url'])
    expect(JSON.parse(text).error.message).toMatch(
      /^Unknown request URL: POST \/v1\/responses\. .*openai\.chat.*setOpenAIAPI\('chat_completions'\).*useResponsesApi/,
    )
    expect((await get(`${gateway.url}/v1/responsesque`)).text).not.toContain('openai.chat')
  })

  it('405 with what is allowed', async () => {
    for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      const exchange = await send(method, gateway.url + CHAT).done
      expect([exchange.status, exchange.headers.allow], method).toEqual([405, 'POST'])
      expect(json(exchange).error.code).toBe('method_not_allowed')
    }
    const exchange = await send('POST', `${gateway.url}/v1/models`, {}).done
    expect([exchange.status, exchange.headers.allow]).toEqual([405, 'GET, HEAD'])
  })

  it('HEAD as GET without a body', async () => {
    for (const path of [
      '/v1/models',
      '/v1/models/m',
      '/health',
      '/health/ready',
      '/status',
      '/metrics',
      '/v1/nowhere',
      CHAT,
    ]) {
      const whole = await get(gateway.url + path)
      const head = await send('HEAD', gateway.url + path).done
      expect(head.status, path).toBe(path === CHAT ? 405 : whole.status)
      expect(head.text).toBe('')
      expect(head.complete).toBe(true)
    }
  })

  it('the base URL works with and without /v1, with a query, not with a different case', async () => {
    for (const path of [CHAT, '/chat/completions', `${CHAT}?api-version=x`])
      expect((await post(gateway.url + path, ask())).status).toBe(200)
    for (const path of [
      '/V1/chat/completions',
      '/v1/chat/completions/',
      '/v1//chat/completions',
      '/v1/chat/completions%00',
    ]) {
      expect((await post(gateway.url + path, ask())).status, path).toBe(404)
    }
  })

  it('replies say where they came from', async () => {
    const { headers } = await post(gateway.url + CHAT, ask('gpt-x'))
    expect(headers).toMatchObject({
      'x-turnout-target': 'p/*',
      'x-turnout-provider': 'p',
      'x-turnout-model': 'gpt-x',
      'x-turnout-lane': 'identity',
      'x-turnout-attempts': '1',
      'x-turnout-config': '1',
    })
    expect(headers['x-request-id']).toMatch(/^req_\w+$/)
    expect(Number(headers['x-turnout-overhead-ms'])).toBeGreaterThanOrEqual(0)
    const ids = await Promise.all(
      Array.from({ length: 50 }, async () => (await post(gateway.url + CHAT, ask())).headers['x-request-id']),
    )
    expect(new Set(ids).size).toBe(50)
  })

  it.each([
    ['once', 'x-hop'],
    ['twice', ['close', 'x-hop']],
  ])(
    "hop-by-hop headers (`Connection` %s), cookies and the vendor's edge stay where they are",
    async (_, connection) => {
      script = (res) =>
        sendJson(res, 200, reply(), {
          'set-cookie': 'a=b',
          connection,
          'x-hop': '1',
          server: 'vendor',
          via: '1.1 vendor',
          'alt-svc': 'h3=":443"',
          'strict-transport-security': 'max-age=1',
          'x-turnout-target': 'forged',
          'x-ratelimit-remaining-requests': '9',
          'openai-processing-ms': '12',
          'x-request-id': 'vendor-id',
        })
      const { headers } = await post(gateway.url + CHAT, ask())
      script = answer
      for (const name of ['set-cookie', 'x-hop', 'server', 'via', 'alt-svc', 'strict-transport-security'])
        expect(headers[name], name).toBeUndefined()
      expect(headers).toMatchObject({
        'x-turnout-target': 'p/m',
        'x-ratelimit-remaining-requests': '9',
        'openai-processing-ms': '12',
        'x-upstream-request-id': 'vendor-id',
      })
    },
  )

  it.each([
    ['whose account the gateway has', ['openai-organization', 'openai-project', 'anthropic-organization-id']],
    ['what a proxy in front would obey', ['x-accel-redirect', 'x-accel-expires', 'x-sendfile', 'x-reproxy-url']],
    ['what a browser would obey', ['www-authenticate', 'clear-site-data', 'refresh']],
  ])('no client learns of a vendor %s', async (_, names) => {
    const said = Object.fromEntries(names.map((name) => [name, 'said-by-the-vendor']))
    for (const status of [200, 400]) {
      script = (res) => sendJson(res, status, reply(), said)
      const { headers } = await post(gateway.url + CHAT, ask())
      expect(JSON.stringify(headers)).not.toContain('said-by-the-vendor')
    }
    script = answer
  })
})

describe('CORS', () => {
  it('answers the preflight of a page that is configured, and of no other', async () => {
    const preflight = (origin: string) =>
      send('OPTIONS', locked.url + CHAT, undefined, {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization, content-type, x-stainless-lang',
      }).done
    const allowed = await preflight('https://app.example.com')
    expect(allowed.status).toBe(204)
    expect(allowed.headers).toMatchObject({
      'access-control-allow-origin': 'https://app.example.com',
      'access-control-allow-methods': expect.stringContaining('POST'),
      'access-control-allow-headers': expect.stringContaining('x-stainless-lang'),
      vary: 'origin',
    })
    expect(allowed.headers['access-control-allow-credentials']).toBeUndefined()
    for (const origin of [
      'https://evil.example.com',
      'https://app.example.com.evil.example.com',
      'http://app.example.com',
      'null',
    ]) {
      const other = await preflight(origin)
      expect(other.status).toBe(405)
      expect(other.headers['access-control-allow-origin']).toBeUndefined()
    }
  })

  it('marks every answer to such a page: replies, streams, errors', async () => {
    const headers = { origin: 'https://app.example.com', ...auth }
    script = (res, body) => {
      if (!JSON.parse(body.toString()).stream) return answer(res)
      openSse(res)
      res.end(event(chunk({ content: 'a' })) + event(finishChunk()) + DONE)
    }
    for (const exchange of [
      await post(locked.url + CHAT, ask(), headers),
      await post(locked.url + CHAT, ask('m', { stream: true }), headers),
      await post(locked.url + CHAT, '{', headers),
      await post(locked.url + CHAT, ask(), { origin: headers.origin }),
      await get(`${locked.url}/v1/models`, headers),
      await get(`${locked.url}/v1/nowhere`, headers),
    ]) {
      expect(exchange.headers['access-control-allow-origin'], exchange.text).toBe('https://app.example.com')
      expect(exchange.headers['access-control-expose-headers']).toContain('x-request-id')
    }
  })
})

describe('pages', () => {
  it('the list of models: routes that are no patterns, and what providers are known for', async () => {
    const { data, object } = json(await get(`${gateway.url}/v1/models`))
    expect(object).toBe('list')
    const ids = data.map(({ id }: { id: string }) => id)
    expect(ids).toEqual(expect.arrayContaining(['m', 'team/model']))
    expect(ids).not.toContain('gpt-*')
    expect(new Set(ids).size).toBe(ids.length)
    expect(json(await get(`${locked.url}/v1/models`, auth)).data.map(({ id }: { id: string }) => id)).toEqual([
      'm',
      'team/model',
    ])
  })

  it('one model, by its name plain or encoded', async () => {
    for (const id of ['m', 'team/model', 'team%2Fmodel', 'gpt-x', 'p/anything']) {
      const exchange = await get(`${gateway.url}/v1/models/${id}`)
      expect([exchange.status, json(exchange).id], id).toEqual([200, decodeURIComponent(id)])
    }
    const missing = await get(`${gateway.url}/v1/models/team%2Fmodal`)
    expect(missing.status).toBe(404)
    expect(json(missing).error).toMatchObject({ code: 'model_not_found' })
    expect(json(missing).error.message).toContain("'team/model'")
  })

  it('health, readiness and status', async () => {
    expect(json(await get(`${gateway.url}/health/live`))).toEqual({ status: 'ok' })
    expect(json(await get(`${gateway.url}/health/ready`))).toEqual({ status: 'ready' })
    const before = upstream.requests.length
    script = stall
    const sent = send('POST', gateway.url + CHAT, ask())
    await upstream.waitFor(() => upstream.requests.length > before)
    const status = json(await get(`${gateway.url}/status`))
    expect(status).toMatchObject({ name: 'turnout', status: 'ready', in_flight: 1, config: { version: 1 } })
    // The clock was set back meanwhile.
    const clock = vi.spyOn(Date, 'now').mockReturnValue(0)
    const { uptime_seconds } = json(await get(`${gateway.url}/status`))
    clock.mockRestore()
    expect(uptime_seconds).toBeGreaterThanOrEqual(0)
    expect(JSON.stringify(status)).not.toContain('sk-test')
    sent.request.destroy()
    await upstream.waitFor((seen) => seen.closedEarly)
  })

  it('metrics in the exposition format', async () => {
    const { status, headers, text } = await get(`${gateway.url}/metrics`)
    expect(status).toBe(200)
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/)
    expect(text).toMatch(/^# HELP turnout_/m)
    for (const line of text.split('\n'))
      expect(line).toMatch(/^$|^#|^[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{.*\})? -?(?:[0-9.e+-]+|NaN|\+Inf)(?: \d+)?$/)
  })

  it('unknown models are told the nearest names', async () => {
    const exchange = await post(gateway.url + CHAT, ask('team/modell'))
    expect(exchange.status).toBe(404)
    expect(json(exchange).error).toMatchObject({
      type: 'invalid_request_error',
      code: 'model_not_found',
      param: 'model',
    })
    expect(json(exchange).error.message).toContain("'team/model'")
    expect(exchange.headers['x-should-retry']).toBe('false')
  })
})

describe('bodies', () => {
  const text = JSON.stringify(ask('m', { user: 'ünï 🚂' }))

  it('are inflated, and reach the upstream plain', async () => {
    for (const [encoding, bytes] of [
      ['gzip', gzipSync(text)],
      ['x-gzip', gzipSync(text)],
      ['GZIP', gzipSync(text)],
      ['deflate', deflateSync(text)],
      ['br', brotliCompressSync(text)],
      ['identity', Buffer.from(text)],
    ] as const) {
      expect((await post(gateway.url + CHAT, bytes, { 'content-encoding': encoding })).status, encoding).toBe(200)
      const seen = upstream.requests.at(-1)!
      expect(seen.body.toString()).toBe(text)
      expect(seen.headers['content-encoding']).toBeUndefined()
      expect(seen.headers['content-length']).toBe(String(Buffer.byteLength(text)))
    }
  })

  it('415 for encodings that are not known, 400 for those that are broken', async () => {
    const before = upstream.requests.length
    for (const encoding of ['zstd', 'compress', 'gzip, br', 'gzip,gzip', 'x', '__proto__', 'constructor']) {
      expect((await post(gateway.url + CHAT, text, { 'content-encoding': encoding })).status, encoding).toBe(415)
    }
    for (const [encoding, bytes] of [
      ['gzip', Buffer.from(text)],
      ['gzip', gzipSync(text).subarray(0, 20)],
      ['br', Buffer.from(text)],
      ['deflate', Buffer.alloc(0)],
    ] as const) {
      const exchange = await post(gateway.url + CHAT, bytes, { 'content-encoding': encoding })
      expect([exchange.status, json(exchange).error.code], encoding).toEqual([400, 'invalid_encoding'])
    }
    expect(upstream.requests.length).toBe(before)
  })

  it('come in chunks, however they are cut', async () => {
    const head = `POST ${CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n`
    for (const size of [1, 7, 1000]) {
      const bytes = Buffer.from(text)
      const raw = await openRaw(gateway.port)
      raw.write(head)
      for (let at = 0; at < bytes.length; at += size) {
        const piece = bytes.subarray(at, at + size)
        raw.write(`${piece.length.toString(16)}\r\n`)
        raw.write(piece)
        raw.write('\r\n')
      }
      raw.write('0\r\nx-trailer: 1\r\n\r\n')
      expect(parseReply(await raw.closed).status).toBe(200)
      expect(upstream.requests.at(-1)!.body.toString()).toBe(text)
    }
  })

  it('empty ones are a 400', async () => {
    for (const body of ['', ' ', '\n']) {
      const exchange = await post(gateway.url + CHAT, body)
      expect([exchange.status, json(exchange).error.code]).toEqual([400, 'invalid_json'])
    }
  })

  it('Expect: 100-continue is answered before the body is sent', async () => {
    const raw = await openRaw(gateway.port)
    const [head, body] = rawPost(CHAT, text, ['expect: 100-continue', 'connection: close']).split('\r\n\r\n')
    raw.write(`${head}\r\n\r\n`)
    await raw.until((all) => all.startsWith('HTTP/1.1 100 Continue\r\n\r\n'))
    raw.write(Buffer.from(text))
    expect(body).toBeDefined()
    expect(await raw.closed).toContain('HTTP/1.1 200 OK')
  })

  it('any other Expect is passed over', async () => {
    const bytes = Buffer.from(rawPost(CHAT, text, ['expect: miracles', 'connection: close']))
    expect((await rawExchange(gateway.port, bytes)).status).toBe(200)
  })

  it('too large ones are refused while they come, and the client gets to read why', async () => {
    const small = await startGateway({ ...config(), server: { maxBody: '64KB' } })
    try {
      for (const headers of [{}, { 'transfer-encoding': 'chunked' }] as Record<string, string>[]) {
        const exchange = await post(small.url + CHAT, Buffer.alloc(8 * 1024 * 1024, 0x20), headers)
        expect([exchange.status, json(exchange).error.code]).toEqual([413, 'request_too_large'])
      }
    } finally {
      await small.close()
    }
  })
})

describe('trusted proxies', () => {
  const from = (remoteAddress: string, forwarded?: string): IncomingMessage =>
    ({
      socket: { remoteAddress },
      headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    }) as unknown as IncomingMessage
  const trusted = trustRanges(['10.0.0.0/8', '192.168.1.7', 'fd00::/8'])

  it('are believed as far as they reach, and nobody else is', () => {
    const cases: [string, string | undefined, string][] = [
      ['203.0.113.5', undefined, '203.0.113.5'],
      ['203.0.113.5', '1.2.3.4', '203.0.113.5'],
      ['10.0.0.1', '1.2.3.4', '1.2.3.4'],
      ['10.0.0.1', undefined, '10.0.0.1'],
      ['10.0.0.1', '6.6.6.6, 1.2.3.4', '1.2.3.4'],
      ['10.0.0.1', '6.6.6.6, 1.2.3.4, 10.2.2.2', '1.2.3.4'],
      ['10.0.0.1', '10.3.3.3, 10.2.2.2', '10.3.3.3'],
      ['::ffff:10.0.0.1', '1.2.3.4', '1.2.3.4'],
      ['fd00::1', '2001:db8::1', '2001:db8::1'],
      ['192.168.1.7', '::ffff:1.2.3.4', '1.2.3.4'],
      ['192.168.1.8', '1.2.3.4', '192.168.1.8'],
      ['10.0.0.1', '1.2.3.4:4711', '1.2.3.4'],
      ['10.0.0.1', '6.6.6.6, 1.2.3.4:4711, 10.2.2.2:80', '1.2.3.4'],
      ['fd00::1', '[2001:db8::1]:4711', '2001:db8::1'],
      ['fd00::1', '[2001:db8::1]', '2001:db8::1'],
      ['10.0.0.1', '1.2.3.4:', '10.0.0.1'],
      ['10.0.0.1', '[1.2.3.4', '10.0.0.1'],
      ['10.0.0.1', 'unknown', '10.0.0.1'],
      ['10.0.0.1', "1.2.3.4, ' OR 1=1", '10.0.0.1'],
      ['10.0.0.1', '', '10.0.0.1'],
      ['10.0.0.1', ' 1.2.3.4 ', '1.2.3.4'],
    ]
    for (const [remote, forwarded, client] of cases) {
      expect(clientAddress(from(remote, forwarded), trusted), `${remote} ${forwarded}`).toBe(client)
    }
    expect(clientAddress(from('10.0.0.1', '1.2.3.4'), trustRanges([]))).toBe('10.0.0.1')
  })

  it('show in the log where the operator wants addresses, and only there', async () => {
    const proxied = await startGateway({ ...config(), server: { trustedProxies: ['127.0.0.1'] } })
    try {
      await post(proxied.url + CHAT, ask(), { 'x-forwarded-for': '9.9.9.9, 203.0.113.5' })
      expect(proxied.lines.at(-1)!.address).toBeUndefined()
      const { snapshot } = proxied.turnout
      proxied.turnout.swap({ ...snapshot, log: { ...snapshot.log, clientAddress: true } })
      await post(proxied.url + CHAT, ask(), { 'x-forwarded-for': '9.9.9.9, 203.0.113.5' })
      expect(proxied.lines.at(-1)!.address).toBe('203.0.113.5')
    } finally {
      await proxied.close()
    }
  })
})

describe('stopping', () => {
  it('lets what runs finish, refuses what is new, and is done as soon as the last is', async () => {
    const stopping = await startGateway({ ...config(), server: { port: await findQuietPort() } })
    let release = (): void => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    script = async (res, body) => {
      if (JSON.parse(body.toString()).stream) {
        openSse(res)
        res.write(event(chunk({ content: 'a' })))
        await held
        res.end(event(finishChunk()) + DONE)
      } else {
        await held
        sendJson(res, 200, reply())
      }
    }
    const count = upstream.requests.length
    const agent = new Agent({ keepAlive: true })
    const kept = (body: unknown): Promise<{ status: number; text: string; connection: string | undefined }> =>
      new Promise((resolve, reject) => {
        const sent = request(
          stopping.url + CHAT,
          { method: 'POST', agent, headers: { 'content-type': 'application/json' } },
          (res) => {
            let text = ''
            res.on('data', (bytes: Buffer) => {
              text += bytes.toString()
            })
            res.on('end', () => resolve({ status: res.statusCode!, text, connection: res.headers.connection }))
          },
        )
        sent.on('error', reject)
        sent.end(JSON.stringify(body))
      })
    const idle = await openRaw(stopping.port)
    idle.write('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await idle.until((text) => text.includes('"ok"'))
    const whole = kept(ask())
    const stream = kept(ask('m', { stream: true }))
    await upstream.waitFor(() => upstream.requests.length === count + 2)

    const begun = performance.now()
    const closed = stopping.close()
    await idle.closed
    const late = connect(stopping.port, '127.0.0.1')
    const [refusal] = await once(late, 'error')
    expect(refusal).toMatchObject({ code: 'ECONNREFUSED' })
    expect(stopping.lines).toEqual([])
    release()
    expect(await whole).toMatchObject({ status: 200, text: JSON.stringify(reply()) })
    expect((await stream).text).toBe(event(chunk({ content: 'a' })) + event(finishChunk()) + DONE)
    await closed
    // Nobody waits for clients that keep their connections open for nothing.
    expect(performance.now() - begun).toBeLessThan(60_000)
    expect(stopping.lines.map(({ outcome }) => outcome)).toEqual(['ok', 'ok'])
    agent.destroy()
  })

  it('is told on the readiness page, not on the liveness page', async () => {
    const stopping = await startGateway(config())
    // Mounted elsewhere, too: its own door is closed at once.
    const server = createServer(stopping.turnout.listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    expect(await get(`${url}/health/ready`)).toMatchObject({ status: 200 })
    script = stall
    const count = upstream.requests.length
    const sent = send('POST', stopping.url + CHAT, ask())
    await upstream.waitFor(() => upstream.requests.length > count)
    const closed = stopping.close()
    const ready = await get(`${url}/health/ready`)
    expect([ready.status, json(ready), ready.headers.connection]).toEqual([503, { status: 'draining' }, 'close'])
    expect(await get(`${url}/health/live`)).toMatchObject({ status: 200 })
    expect(json(await get(`${url}/status`))).toMatchObject({ status: 'draining' })
    sent.request.destroy()
    await closed
    server.closeAllConnections()
    server.close()
  })

  it('cuts off what does not end in time, counts it, and tells it and the books that the gateway did it', async () => {
    const stopping = await startGateway({ ...config(), server: { drainTimeout: '300ms' } })
    script = (res, body) => {
      if (JSON.parse(body.toString()).stream) {
        openSse(res)
        res.write(event(chunk({ content: 'a' })))
      }
      return stall(res)
    }
    const count = upstream.requests.length
    const whole = send('POST', stopping.url + CHAT, ask())
    const stream = send('POST', stopping.url + CHAT, ask('m', { stream: true }))
    const uploading = await openRaw(stopping.port)
    uploading.write(rawPost(CHAT, JSON.stringify(ask())).slice(0, -5))
    await upstream.waitFor(() => upstream.requests.length === count + 2)
    await stream.response
    expect(await stopping.turnout.close()).toBe(3)

    const told = [await whole.done, parseReply(await uploading.closed)]
    for (const { status, headers } of told)
      expect([status, headers['x-turnout-error'], headers['retry-after']]).toEqual([503, 'shutting_down', '1'])
    expect(json(await whole.done).error).toMatchObject({ code: 'shutting_down', type: 'gateway_error' })
    const { status, text, error } = await stream.done
    expect([status, error]).toEqual([200, undefined])
    expect(text).toContain(event(chunk({ content: 'a' })))
    expect(JSON.parse(dataOf(text).at(-1)!).error).toMatchObject({ code: 'shutting_down' })

    const refused = { outcome: 'refused', status: 503, refusal: 'shutting_down' }
    const lines = stopping.lines.toSorted((a, b) => a.outcome.localeCompare(b.outcome) || a.attempts! - b.attempts!)
    expect(lines).toMatchObject([
      { outcome: 'partial', status: 200, refusal: 'shutting_down', attempts: 1 },
      { ...refused, attempts: 0 },
      { ...refused, attempts: 1 },
    ])
    const { body: page } = await stopping.metrics.expose()
    expect(page).toContain('turnout_request_errors_total{blame="gateway",cause="shutting_down",route="m"} 2')
    expect(page).toMatch(/^turnout_upstream_attempts_total\{outcome="cancelled",target="p\/m"\} 2$/m)
    expect(page).not.toMatch(/^turnout_client_disconnects_total.* [1-9]/m)
    for (const seen of upstream.requests.slice(count)) await upstream.waitFor((one) => one === seen && one.closedEarly)
    stopping.metrics.close()
  })

  it('begins nothing on a connection whose reply was cut off: neither what waits there nor who asks again', async () => {
    const stopping = await startGateway({ ...config(), server: { drainTimeout: '300ms' } })
    script = (res) => {
      openSse(res)
      res.write(event(chunk({ content: 'a' })))
      return stall(res)
    }
    const count = upstream.requests.length
    const asked = rawPost(CHAT, JSON.stringify(ask('m', { stream: true })))
    const kept = await Promise.all([openRaw(stopping.port), openRaw(stopping.port)])
    for (const raw of kept) {
      raw.write(asked)
      await raw.until((text) => text.includes('"content":"a"'))
    }
    const [waits, again] = kept
    waits.write(asked)
    const closed = stopping.turnout.close()
    await again.until((text) => text.includes('shutting_down'))
    again.write(asked)
    expect(await closed).toBe(2)
    for (const raw of kept) {
      const [head, body] = (await raw.closed).split('HTTP/1.1 ').at(-1)!.split('\r\n\r\n')
      expect(head).toMatch(/^503 .*\r\nretry-after: 1\r\n/is)
      expect(JSON.parse(body!).error.code).toBe('shutting_down')
    }
    expect(upstream.requests.length).toBe(count + 2)
    expect(stopping.lines.map(({ outcome }) => outcome)).toEqual(['partial', 'partial'])
    stopping.metrics.close()
  })

  it('does not wait for a connection that is still being dialled for somebody who has gone', async () => {
    const mute = createMute().listen(0, '127.0.0.1')
    await once(mute, 'listening')
    const stopping = await startGateway({
      ...single,
      providers: { tls: upstreamAt(`https://127.0.0.1:${(mute.address() as AddressInfo).port}`) },
      routes: { m: { targets: ['tls/m'], timeouts: { connect: '120s', firstToken: '100ms', total: '120s' } } },
    })
    expect(await post(stopping.url + CHAT, ask('m', { stream: true }))).toMatchObject({ status: 504 })
    const begun = performance.now()
    await stopping.close()
    expect(performance.now() - begun).toBeLessThan(60_000)
    mute.close()
  })

  it("can be mounted in a server of one's own", async () => {
    const server = createServer(gateway.turnout.listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    expect((await post(`http://127.0.0.1:${port}${CHAT}`, ask())).status).toBe(200)
    server.closeAllConnections()
    server.close()
  })

  it('starts with any mix of limits', async () => {
    for (const server of [
      { headersTimeout: '60s', bodyTimeout: '30s' },
      { headersTimeout: '30s', bodyTimeout: '60s' },
      { keepAliveTimeout: '1s' },
    ]) {
      const one = await startGateway({ ...config(), server })
      expect((await post(one.url + CHAT, ask())).status).toBe(200)
      await one.close()
    }
  })
})
