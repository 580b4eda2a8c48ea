// The identity lane on recorded traffic: both sides get the other's bytes but for the listed edits, however the bytes are cut.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Client } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renewTargets, single } from './support/freshTargets.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import {
  asksForUsage,
  expectedReply,
  kindOf,
  loadReplay,
  type RecordedRow,
  sameButSpace,
  withModel,
} from './support/recordedChat.ts'
import { hasShared, needsShared, sharedPath } from './support/shared.ts'

const ASKED = ',"stream_options":{"include_usage":true}'

interface Arrived {
  path: string
  body: string
  headers: IncomingMessage['headers']
}

describe.skipIf(!hasShared)(`the identity lane on recorded traffic${needsShared}`, () => {
  let rows: RecordedRow[] = []
  let unreadable: RecordedRow[] = []
  let upstream: Server
  let gateway: TestGateway
  let client: Client
  let config: Record<string, unknown>
  /** What the upstream is to answer next, in pieces of how many bytes; and what it was asked. */
  let next: { row: RecordedRow; cut: number } | undefined
  let arrived: Arrived[] = []

  const answer = async (res: ServerResponse): Promise<void> => {
    const { row, cut } = next!
    const bytes = Buffer.from(row.response.body, row.response.base64 ? 'base64' : 'utf8')
    res.writeHead(row.response.status, {
      ...row.response.headers,
      'content-type': row.response.headers['content-type'] ?? 'application/json',
    })
    if (cut === 0) return void res.end(bytes)
    // Chunked encoding keeps each piece a piece, also where TCP joins them.
    for (let at = 0; at < bytes.length && !res.destroyed; at += cut) {
      if (!res.write(bytes.subarray(at, at + cut))) await once(res, 'drain')
    }
    res.end()
  }

  beforeAll(async () => {
    const { load } = await loadReplay()
    const all = load([sharedPath('recordings', 'openai-chat.ndjson')])
    // Five requests were not recorded: there is nothing to send.
    rows = all.filter((row) => row.request.body !== '')
    unreadable = all.filter((row) => row.request.body === '')
    upstream = createServer((req, res) => {
      const parts: Buffer[] = []
      req.on('data', (part: Buffer) => parts.push(part))
      req.on('end', () => {
        arrived.push({ path: req.url ?? '', body: Buffer.concat(parts).toString(), headers: req.headers })
        void answer(res)
      })
    }).listen(0, '127.0.0.1')
    await once(upstream, 'listening')
    config = configFor(rows, `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`)
    gateway = await startGateway(config)
    client = new Client(gateway.url)
  })

  afterAll(async () => {
    await client?.close()
    await gateway?.close()
    upstream?.close()
  })

  it('has recordings of all kinds to go by', () => {
    expect(rows.length).toBeGreaterThanOrEqual(300)
    expect(rows.filter(asksForUsage).length).toBeGreaterThan(20)
    expect(rows.filter((row) => row.response.status >= 400).length).toBeGreaterThan(10)
    expect(new Set(rows.map(kindOf)).size).toBeGreaterThanOrEqual(7)
    expect(rows.filter(({ response }) => /^data: .*"error":\{/m.test(response.body)).length).toBeGreaterThanOrEqual(3)
    expect(unreadable.length).toBeLessThan(10)
  })

  for (const cut of [0, 1, 7, 64]) {
    const how = cut === 0 ? 'whole' : `in pieces of ${cut} bytes`
    it(`passes every request and reply but for the listed edits, replies ${how}`, { timeout: 300_000 }, async () => {
      const wrong: string[] = []
      renewTargets(gateway, config)
      for (const [index, row] of rows.entries()) {
        next = { row, cut }
        arrived = []
        const reply = await client.request({
          method: 'POST',
          path: '/v1/chat/completions',
          headers: { 'content-type': 'application/json' },
          body: withModel(row.request.body, routeOf(index)),
        })
        const text = await reply.body.text()
        const expected = expectedReply(row)
        const tell = (what: string): void => void wrong.push(`${row.source}: ${what}`)

        if (arrived.length !== 1) tell(`${arrived.length} upstream calls`)
        const { path, body } = arrived[0] ?? { path: '', body: '' }
        if (path !== new URL(row.request.url).pathname) tell(`path ${path}`)
        if (!sameButSpace(asksForUsage(row) ? body.replace(ASKED, '') : body, row.request.body)) tell('request bytes')
        if (asksForUsage(row) && body.split(ASKED).length !== 2) tell('usage was not asked for once')

        if (reply.statusCode !== expected.status) tell(`status ${reply.statusCode}`)
        if (text !== expected.body) tell(`reply bytes, first difference at ${firstDifference(text, expected.body)}`)
        for (const [name, value] of Object.entries(row.response.headers)) {
          if (name === 'content-type' && expected.status >= 400) continue
          const passed = reply.headers[name === 'x-request-id' ? 'x-upstream-request-id' : name]
          if (passed !== value) tell(`header ${name}: ${passed}`)
        }
      }
      expect(wrong).toEqual([])
    })
  }

  it('gives the replay tool a body that it recognises, for each recording', { timeout: 300_000 }, async () => {
    const { serve } = await loadReplay()
    const spliced = rows.map((row) => ({
      ...row,
      request: { ...row.request, body: asksForUsage(row) ? withUsageAsked(row.request.body) : row.request.body },
    }))
    const { server, url, misses } = await serve(spliced, { chunk: 64 })
    const other = await startGateway(configFor(rows, url))
    const sender = new Client(other.url)
    try {
      for (const [index, row] of rows.entries()) {
        const reply = await sender.request({
          method: 'POST',
          path: '/v1/chat/completions',
          headers: { 'content-type': 'application/json' },
          body: withModel(row.request.body, routeOf(index)),
        })
        await reply.body.dump()
      }
      expect(misses).toEqual([])
    } finally {
      await sender.close()
      await other.close()
      server.close()
    }
  })

  it('sends no client credentials, and the provider its own', async () => {
    next = { row: rows[0]!, cut: 0 }
    arrived = []
    const reply = await client.request({
      method: 'POST',
      path: '/v1/chat/completions',
      headers: {
        'content-type': 'application/json',
        authorization: 'Bearer sk-test-of-the-client',
        cookie: 'session=1',
        'x-api-key': 'sk-test-of-the-client',
        'openai-organization': 'org-of-the-client',
        'x-anything': 'else',
      },
      body: withModel(rows[0]!.request.body, routeOf(0)),
    })
    await reply.body.dump()
    const { headers } = arrived[0]!
    expect(JSON.stringify(headers)).not.toContain('of-the-client')
    expect(headers.cookie).toBeUndefined()
    expect(headers['x-anything']).toBeUndefined()
    expect(headers.authorization).toBe('Bearer sk-test-upstream-0123456789')
    expect(headers['accept-encoding']).toBe('identity')
  })
})

const routeOf = (index: number): string => `row-${index}`

/** One route per recording, to a provider of the kind that recorded it, at its own path. */
function configFor(rows: readonly RecordedRow[], url: string): Record<string, unknown> {
  const providers: Record<string, unknown> = {}
  const targets: Record<string, unknown> = {}
  const routes: Record<string, unknown> = {}
  for (const [index, row] of rows.entries()) {
    const base = new URL(row.request.url).pathname.replace(/\/chat\/completions$/, '')
    const name = `${kindOf(row)}${base.replace(/\W/g, '-')}`
    // An address with no path gets the vendor's usual one: a root needs saying.
    providers[name] = { kind: kindOf(row), baseUrl: `${url}${base || '/'}`, apiKey: 'sk-test-upstream-0123456789' }
    targets[`t${index}`] = { provider: name, model: (JSON.parse(row.request.body) as { model: string }).model }
    routes[routeOf(index)] = `t${index}`
  }
  return { ...single, providers, targets, routes }
}

const withUsageAsked = (text: string): string =>
  JSON.stringify({ ...(JSON.parse(text) as object), stream_options: { include_usage: true } })

function firstDifference(left: string, right: string): string {
  let at = 0
  while (at < left.length && left[at] === right[at]) at++
  return `${at}: got ${JSON.stringify(left.slice(at, at + 80))}, not ${JSON.stringify(right.slice(at, at + 80))}`
}
