// What a page's script may read of a reply: every header of ours, also those that are added later.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { HOPS_HEADER } from '../src/gateway/hops.ts'
import { exposedHeaders } from '../src/http/cors.ts'
import { ask, CHAT, reply } from './support/chatBodies.ts'
import { post } from './support/exchange.ts'
import { sendJson, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, upstreamAt } from './support/gateway.ts'

const src = fileURLToPath(new URL('../src/', import.meta.url))

/** Headers of requests: what a client may wish, and what an upstream is told. Whoever adds one says here that no reply carries it. */
const ofRequests = new Set([
  'x-turnout-arm',
  'x-turnout-cache-ttl',
  'x-turnout-echo',
  'x-turnout-fallback',
  'x-turnout-hops',
  'x-turnout-strict',
  'x-turnout-unit',
  'x-turnout-usage',
])

it('every header of ours that stands in the sources is of requests alone, or shown to pages', () => {
  const named = new Set<string>()
  for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || file.startsWith('simulator') || file.endsWith('cors.ts')) continue
    const text = readFileSync(src + file, 'utf8')
    // As a name by itself, or where it begins a line of a head.
    for (const [, name] of text.matchAll(
      /(?:[^\w-]|\\n)(x-(?:turnout|ratelimit|upstream)-[a-z-]*(?:[a-z]|\$\{kind\}))(?:['"`]|: )/g,
    ))
      for (const kind of ['requests', 'tokens']) named.add(name!.replace(/\$.*/, kind))
  }
  expect(named.size).toBeGreaterThan(30)
  const exposed = new Set<string>(exposedHeaders)
  expect([...named].filter((name) => !exposed.has(name) && !ofRequests.has(name))).toEqual([])
  // And nothing is told that nobody sends.
  const gone = [...exposed, ...ofRequests].filter((name) => name.startsWith('x-turnout-') && !named.has(name))
  expect(gone).toEqual([])
  expect(ofRequests).toContain(HOPS_HEADER)
})

it('all that a reply carries can be read by the page that asked, on answers and on refusals', async () => {
  const upstream = await startFakeUpstream((_req, res) =>
    sendJson(res, 200, reply(), {
      'x-request-id': 'theirs',
      ...Object.fromEntries(
        ['requests', 'tokens'].flatMap((what) =>
          ['limit', 'remaining', 'reset'].map((which) => [`x-ratelimit-${which}-${what}`, '7']),
        ),
      ),
    }),
  )
  onTestFinished(() => upstream.close())
  const origin = 'https://app.example.com'
  const gateway = await startGateway({
    server: { corsOrigins: [origin] },
    providers: { p: upstreamAt(upstream.url) },
    routes: { m: { targets: ['p/m'], cache: true } },
    prices: { '*': { input: 1, output: 5 } },
    budgets: { soft: { usd: '0.000001', hard: false } },
    limits: { each: { per: 'key', requests: 3, tokens: 100_000 } },
    keys: [{ name: 'web', key: 'sk-test-web-0123456789' }],
  })
  onTestFinished(() => gateway.close())
  const ask1 = () =>
    post(gateway.url + CHAT, ask('m', { temperature: 0, max_tokens: 5 }), {
      origin,
      authorization: 'Bearer sk-test-web-0123456789',
    })
  const seen = new Set<string>()
  for (const status of [200, 200, 200, 429]) {
    const { headers, status: got } = await ask1()
    expect(got).toBe(status)
    const exposed = String(headers['access-control-expose-headers']).split(', ')
    const ours = Object.keys(headers).filter((name) => /^x-(turnout|ratelimit|upstream|request)/.test(name))
    expect(ours.filter((name) => !exposed.includes(name))).toEqual([])
    for (const name of ours) seen.add(name)
  }
  expect([...seen]).toEqual(
    expect.arrayContaining([
      'x-request-id',
      'x-upstream-request-id',
      'x-turnout-budget-exceeded',
      'x-turnout-cache-key',
      'x-turnout-error',
      'x-ratelimit-remaining-requests',
      'x-upstream-ratelimit-remaining-tokens',
    ]),
  )
})

it('a gateway that lets in end users alone answers their pages, too', async () => {
  const origin = 'https://app.example.com'
  const open = {
    server: { corsOrigins: [origin] },
    providers: { p: upstreamAt('http://127.0.0.1:9') },
    routes: { m: 'p/m' },
  }
  const jwt = { secret: 'a-secret-of-32-letters-and-more-', standAlone: { name: 'people', routes: ['m'] } }
  for (const [config, allowed] of [
    [{ ...open, auth: { jwt } }, origin],
    [open, undefined],
  ] as const) {
    const gateway = await startGateway(config)
    onTestFinished(() => gateway.close())
    const { headers } = await post(gateway.url + CHAT, ask('m'), { origin, authorization: 'Bearer a.b.c' })
    expect(headers['access-control-allow-origin']).toBe(allowed)
  }
})
