// Calls that go out through a proxy: which do, by what the environment and the configuration say, and what comes of a proxy that fails.
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { readEgress } from '../src/config/egress.ts'
import { parseConfig } from '../src/config/load.ts'
import { createRedactor } from '../src/config/redaction.ts'
import { ask, CHAT, chunk, finishChunk, reply } from './support/chatBodies.ts'
import { post } from './support/exchange.ts'
import { type FakeUpstream, sendJson, sendSse, sseText, startFakeUpstream } from './support/fakeUpstream.ts'
import { type ForwardProxy, startForwardProxy } from './support/forwardProxy.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'
import { makeIssuerKey, sign } from './support/issuer.ts'
import { endTurnout, runTurnout, said, startTurnout } from './support/turnoutProcess.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

describe('which proxy an address is reached through', () => {
  const proxyOf = (env: Record<string, string>) =>
    readEgress(env, (path, message) => {
      throw new Error(`${path}: ${message}`)
    })

  it('goes by the scheme, the names in lower letters first', () => {
    const of = proxyOf({ HTTPS_PROXY: 'http://a:1', HTTP_PROXY: 'http://b:2/' })
    expect(of('https://api.openai.com')).toBe('http://a:1/')
    expect(of('http://vllm.lan:8000')).toBe('http://b:2/')
    expect(proxyOf({ HTTPS_PROXY: 'http://a:1', https_proxy: 'proxy.lan:3128' })('https://x.com')).toBe(
      'http://proxy.lan:3128/',
    )
    expect(proxyOf({ HTTP_PROXY: 'http://b:2' })('https://x.com')).toBeUndefined()
    expect(proxyOf({ HTTPS_PROXY: ' ' })('https://x.com')).toBeUndefined()
  })

  it.each([
    ['example.com', 'https://example.com', true],
    ['example.com', 'https://api.example.com', true],
    ['example.com', 'https://notexample.com', false],
    ['.example.com', 'https://api.example.com', true],
    ['*.example.com', 'https://api.example.com', true],
    ['EXAMPLE.com', 'https://API.example.COM', true],
    ['example.com:8443', 'https://example.com', false],
    ['example.com:8443', 'https://example.com:8443', true],
    ['example.com:443', 'https://example.com', true],
    ['a.com, b.com', 'https://b.com', true],
    ['a.com b.com', 'https://b.com', true],
    ['10.0.0.0/8', 'https://10.200.3.4', true],
    ['10.0.0.0/8', 'https://11.0.0.1', false],
    ['10.1.2.3', 'https://10.1.2.3:9000', true],
    ['fd00::/8', 'https://[fd12::1]:8000', true],
    ['[fd12::1]', 'https://[fd12::1]', true],
    ['10.0.0.0/99', 'https://10.0.0.1', false],
    ['*', 'https://api.openai.com', true],
    ['', 'https://localhost:4000', true],
    ['', 'https://127.0.0.9', true],
    ['', 'https://[::1]:4000', true],
    ['', 'https://10.0.0.1', false],
  ])('NO_PROXY=%s: %s goes straight: %s', (exceptions, url, straight) => {
    const proxy = proxyOf({ HTTPS_PROXY: 'http://proxy:1', NO_PROXY: exceptions })(url)
    expect(proxy).toBe(straight ? undefined : 'http://proxy:1/')
  })

  it('refuses what is no proxy, and repeats nothing of it', () => {
    const document = JSON.stringify({ providers: { ollama: null } })
    const problem = (env: Record<string, string>): string => {
      try {
        parseConfig(document, { env, version: 1 })
        return ''
      } catch (error) {
        return (error as Error).message
      }
    }
    expect(problem({ HTTPS_PROXY: 'socks5://u:secret@p:1' })).toBe(
      'HTTPS_PROXY proxies of the kind socks5 are not spoken to: one of http:// or https:// is',
    )
    expect(problem({ http_proxy: 'http://u:secret@' })).toMatch(/^HTTP_PROXY not the URL of a proxy: [^@]*$/)
    expect(problem({ HTTPS_PROXY: 'http://p:1/path' })).toBe('HTTPS_PROXY a proxy has no path and no query')
    expect(problem({ HTTPS_PROXY: 'socks5://p:1', NO_PROXY: '*' })).toBe('')
  })

  it('is shown without its password', () => {
    const document = 'providers:\n  far:\n    kind: openai\n    proxy: http://user:pass-word@proxy.lan:3128\n'
    expect(createRedactor('pepper').redact(document)).not.toContain('pass-word')
    expect(createRedactor('pepper').redact(document.replace('http://', ''))).not.toContain('pass-word')
    expect(createRedactor('pepper').redact('providers:\n  far:\n    proxy: http://proxy.lan:3128\n')).toContain(
      'proxy.lan',
    )
  })
})

describe('calls to a vendor', () => {
  let vendor: FakeUpstream
  let proxy: ForwardProxy
  beforeEach(async () => {
    vendor = await startFakeUpstream((_, res, body) =>
      JSON.parse(String(body)).stream
        ? sendSse(res, sseText([chunk({ content: 'over' }), finishChunk()]))
        : sendJson(res, 200, reply('over')),
    )
    proxy = await startForwardProxy(Number(new URL(vendor.url).port))
    closers.push(vendor.close, proxy.close)
  })

  const far = (more: Record<string, unknown> = {}) => upstreamAt('http://api.vendor.test:8080', more)
  async function gateway(providers: Record<string, unknown>, env: Record<string, string> = {}): Promise<TestGateway> {
    const targets = Object.keys(providers).map((name) => `${name}/m`)
    const started = await startGateway(
      { providers, routes: { m: { targets, timeouts: { connect: '500ms' } } } },
      { env },
    )
    closers.push(started.close)
    return started
  }

  it('go through it, whole and as streams, on one tunnel, with the name and password that its URL has', async () => {
    const { url } = await gateway({ far: far() }, { HTTP_PROXY: proxy.url.replace('//', '//user:word@') })
    expect((await post(url + CHAT, ask())).status).toBe(200)
    expect((await post(url + CHAT, ask('m', { stream: true }))).text).toContain('over')
    expect(proxy.asked).toEqual(['api.vendor.test:8080'])
    expect(proxy.headers[0]!['proxy-authorization']).toBe(`Basic ${Buffer.from('user:word').toString('base64')}`)
    expect(vendor.requests.map(({ headers }) => [headers.host, headers['proxy-authorization']])).toEqual([
      ['api.vendor.test:8080', undefined],
      ['api.vendor.test:8080', undefined],
    ])
  })

  it.each([
    ['us%40er:p%3Aw@', 'us@er:p:w'],
    ['user:100%@', 'user:100%'],
    ['a%zz:%41%@', 'a%zz:A%'],
    ['user@', 'user:'],
  ])('name themselves to it as its URL does: %s', async (written, account) => {
    const { url } = await gateway({ far: far({ proxy: proxy.url.replace('//', `//${written}`) }) })
    expect((await post(url + CHAT, ask())).status).toBe(200)
    const encoded = Buffer.from(account).toString('base64')
    expect(proxy.headers[0]!['proxy-authorization']).toBe(`Basic ${encoded}`)
  })

  it('go straight where it says so, and where the address is on this machine', async () => {
    const env = { HTTP_PROXY: 'http://127.0.0.1:9' }
    const near = await gateway({ near: upstreamAt(vendor.url), far: far({ proxy: proxy.url }) }, env)
    expect((await post(near.url + CHAT, ask())).headers['x-turnout-target']).toBe('near/m')
    const own = await gateway({ far: far({ proxy: proxy.url }) }, env)
    expect((await post(own.url + CHAT, ask())).status).toBe(200)
    const none = await gateway({ far: far({ proxy: 'none' }) }, { HTTP_PROXY: proxy.url })
    expect(JSON.parse((await post(none.url + CHAT, ask())).text).error.code).toBe('dial_failed')
    expect(proxy.asked).toEqual(['api.vendor.test:8080'])
  })

  it('go through another one after a swap', async () => {
    const other = await startForwardProxy(Number(new URL(vendor.url).port))
    closers.push(other.close)
    const { url, turnout } = await gateway({ far: far({ proxy: proxy.url }) })
    expect((await post(url + CHAT, ask())).status).toBe(200)
    const document = { providers: { far: far({ proxy: other.url }) }, routes: { m: 'far/m' } }
    turnout.swap(parseConfig(JSON.stringify(document), { env: {}, version: 2 }).snapshot)
    expect((await post(url + CHAT, ask())).status).toBe(200)
    expect([proxy.asked.length, other.asked.length]).toEqual([1, 1])
  })

  it.each([
    [407, 'dial_failed', 'The proxy answered 407 to CONNECT.'],
    [502, 'dial_failed', 'The proxy answered 502 to CONNECT.'],
    ['hang up', 'dial_failed', 'The proxy cannot be reached (ECONNRESET).'],
    ['say more', 'dial_failed', 'The proxy answered 200 to CONNECT, and more behind it.'],
    ['silent', 'connect_timeout', 'The connection to the upstream timed out.'],
  ] as const)(
    'fail as calls do that were never made where it says %s, and the next target is asked',
    async (mood, code, message) => {
      proxy.mood = mood
      const secret = proxy.url.replace('//', '//user:pass-word@')
      const alone = await gateway({ far: far({ proxy: secret }) })
      const failed = await post(alone.url + CHAT, ask())
      expect(JSON.parse(failed.text).error).toMatchObject({ code, message: expect.stringContaining(message) })
      expect(JSON.stringify([failed, alone.lines, alone.notes])).not.toContain('pass-word')
      const two = await gateway({ far: far({ proxy: secret }), near: upstreamAt(vendor.url) })
      const served = await post(two.url + CHAT, ask())
      expect([served.status, served.headers['x-turnout-target']]).toEqual([200, 'near/m'])
    },
  )

  it('fail where nobody listens at its address', async () => {
    await proxy.close()
    closers.pop()
    const { url } = await gateway({ far: far({ proxy: proxy.url }) })
    const { error } = JSON.parse((await post(url + CHAT, ask())).text)
    expect(error).toMatchObject({
      code: 'dial_failed',
      message: expect.stringContaining('The proxy cannot be reached (ECONNREFUSED).'),
    })
  })
})

describe('a gateway that reaches nothing but through a proxy', () => {
  const tlsFile = (name: string) => fileURLToPath(new URL(`support/tls/${name}`, import.meta.url))
  const tls = { key: readFileSync(tlsFile('key.pem')), cert: readFileSync(tlsFile('certificate.pem')) }
  let folder: string
  let proxy: ForwardProxy
  let token: string
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'turnout-egress-'))
    const issuer = await makeIssuerKey('one', 'ES256')
    token = await sign(issuer)
    const internet = createServer(tls, (req, res) => {
      const host = req.headers.host!
      const answer = host.startsWith('keys.') ? { keys: [issuer.jwk] } : host.startsWith('api.') ? reply('over') : {}
      req.resume().on('end', () => sendJson(res, 200, answer))
    })
    internet.listen(0, '127.0.0.1')
    await once(internet, 'listening')
    // TLS to the proxy, and TLS to the address within.
    proxy = await startForwardProxy((internet.address() as AddressInfo).port, tls)
    writeFileSync(
      join(folder, 'turnout.yaml'),
      JSON.stringify({
        server: { port: 0, connectionsPerOrigin: 1 },
        providers: {
          far: { kind: 'openai', baseUrl: 'https://api.vendor.test/v1', apiKey: 'sk-test-far-0123456789' },
          misnamed: upstreamAt(`https://localhost:${(internet.address() as AddressInfo).port}`),
        },
        routes: { m: 'far/m', misnamed: { targets: ['misnamed/m'], timeouts: { total: '5s' } } },
        keys: [{ name: 'ops', key: 'sk-test-ops-0123456789', role: 'admin' }],
        auth: { jwt: { jwks: 'https://keys.vendor.test/jwks', standAlone: { name: 'people' } } },
        webhooks: {
          hook: { url: 'https://hooks.vendor.test/x', secret: `whsec_${Buffer.alloc(32, 7).toString('base64')}` },
        },
        trace: { sample: 1, otlp: { url: 'https://spans.vendor.test/v1/traces' } },
      }),
    )
    internet.unref()
  })
  afterAll(async () => {
    await proxy.close()
    rmSync(folder, { recursive: true })
  })

  const place = () => ({
    cwd: folder,
    env: { HTTPS_PROXY: proxy.url, NODE_EXTRA_CA_CERTS: tlsFile('certificate.pem') },
  })

  it('asks vendors, issuers, receivers and collectors through it', async () => {
    const child = startTurnout(['serve'], place())
    closers.push(() => endTurnout(child))
    const [, url] = /listens on (\S+) /.exec(await said(child, 'stderr', /listens on \S+ /))!
    const answer = await post(url + CHAT, ask(), { authorization: `Bearer ${token}` })
    expect([answer.status, answer.headers['x-turnout-target']]).toEqual([200, 'far/m'])
    // A certificate for another name takes no place in the pool: a second call is told, too, and the stop waits for neither.
    for (let call = 0; call < 2; call++) {
      const misnamed = await post(url + CHAT, ask('misnamed'), { authorization: `Bearer ${token}` })
      expect(misnamed.text).toContain('The TLS handshake with the upstream failed (ERR_TLS_CERT_ALTNAME_INVALID).')
    }
    const tested = await post(
      `${url}/admin/alerts`,
      { action: 'test' },
      { authorization: 'Bearer sk-test-ops-0123456789' },
    )
    expect(JSON.parse(tested.text).deliveries).toMatchObject([{ webhook: 'hook', state: 'delivered' }])
    await endTurnout(child)
    expect(new Set(proxy.asked)).toEqual(
      new Set(['keys', 'api', 'hooks', 'spans'].map((name) => `${name}.vendor.test:443`)),
    )
    // Its certificate is judged by its own address, not by that of whom it leads to.
    expect([...proxy.named]).toEqual([false])
  })

  it('says so to who looks with doctor, and fetches prices', async () => {
    const { out } = await runTurnout(['doctor'], place())
    expect(out).toMatch(/upstream far: reachable through the proxy 127\.0\.0\.1:\d+ \(HTTP 200/)
    const { err } = await runTurnout(['prices', 'refresh', 'https://prices.vendor.test/list.json'], place())
    expect(err).toContain('not a usable price list')
    expect(proxy.asked).toContain('prices.vendor.test:443')
  })
})
