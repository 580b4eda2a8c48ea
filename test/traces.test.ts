// Traces: ids from and to others, what is kept, spans at a real collector, the timeline, and no secret or prompt in any of it.
import { spawnSync } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderWaterfall } from '../src/cli/trace.ts'
import { createTurn } from '../src/state/turn.ts'
import { beginTrace, readTraceparent, requestIn, spanOf, writeTraceparent } from '../src/telemetry/trace/context.ts'
import { createSpanExporter, type SpanFacts } from '../src/telemetry/trace/exporter.ts'
import { post } from './support/exchange.ts'
import { startGateway, upstreamAt } from './support/gateway.ts'
import { type OtlpReceiver, startOtlpReceiver } from './support/otlpReceiver.ts'
import { adminKey, type Scene, startScene } from './support/scene.ts'
import { runTurnout } from './support/turnoutProcess.ts'

const clientTrace = '4bf92f3577b34da6a3ce929d0e0e4736'
const clientSpan = '00f067aa0ba902b7'
const traceparent = `00-${clientTrace}-${clientSpan}-01`

describe('W3C trace context', () => {
  it('reads what the specification allows, and nothing else', () => {
    expect(readTraceparent(traceparent)).toEqual({ traceId: clientTrace, parent: clientSpan, sampled: true })
    expect(readTraceparent(traceparent.replace(/01$/, '00'))?.sampled).toBe(false)
    // A later version with more parts.
    expect(readTraceparent(`cc${traceparent.slice(2)}-what-the-future-brings`)?.traceId).toBe(clientTrace)
    for (const bad of [
      '',
      traceparent.toUpperCase(),
      `ff${traceparent.slice(2)}`,
      `${traceparent}-more`,
      traceparent.slice(1),
      `00-${'0'.repeat(32)}-${clientSpan}-01`,
      `00-${clientTrace}-${'0'.repeat(16)}-01`,
      `${traceparent}\r\nx: y`,
    ])
      expect(readTraceparent(bad), bad).toBeUndefined()
  })

  it('makes ids of the right form, all different, that hold the request', () => {
    const ids = Array.from({ length: 2000 }, () => beginTrace(1_234_567_890_112, {}, 1).traceId)
    expect(new Set(ids).size).toBe(2000)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/)
    for (const request of [64, 2 ** 31, 2 ** 32 - 64, 2 ** 32, 1_234_567_890_112, 2 ** 48 + 64, 2 ** 53 - 64]) {
      const { traceId } = beginTrace(request, {}, 1)
      expect(traceId.slice(0, 16)).toBe(request.toString(16).padStart(16, '0'))
      expect(requestIn(traceId)).toBe(request)
      expect(spanOf(request)).toMatch(/^[0-9a-f]{16}$/)
    }
    expect(readTraceparent(writeTraceparent(beginTrace(64, {}, 1), spanOf(65)))).toMatchObject({ sampled: true })
    expect(spanOf(64)).not.toBe(spanOf(65))
  })

  it('keeps what the client has sampled, and else the share that is asked for', () => {
    expect(beginTrace(64, { traceparent }, 0)).toMatchObject({
      traceId: clientTrace,
      parent: clientSpan,
      sampled: true,
    })
    expect(beginTrace(64, {}, 0).sampled).toBe(false)
    expect(beginTrace(64, {}, 1).sampled).toBe(true)
    const kept = Array.from({ length: 4000 }, () => beginTrace(64, {}, 0.25)).filter(({ sampled }) => sampled).length
    expect(kept).toBeGreaterThan(800)
    expect(kept).toBeLessThan(1200)
  })
})

const prompt = 'the planted prompt about purple elephants'

describe('traces that wait for their collector', () => {
  it('hold nothing of the requests but names and numbers', async () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    // What a call holds, its body among it, hangs on its request, which Node shows here.
    const requests: WeakRef<object>[] = []
    const seen = (message: unknown): void => {
      const { request } = message as { request: IncomingMessage }
      if (request.headers['x-seen']) requests.push(new WeakRef(request))
    }
    const gone = (): number => {
      collectGarbage()
      return requests.filter((request) => request.deref() === undefined).length
    }
    const choices = [{ index: 0, message: { role: 'assistant', content: 'Hi.' }, finish_reason: 'stop' }]
    const usage = { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 }
    const answer = { id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: 'gpt-4o', choices, usage }
    const vendor = createServer((req, res) => {
      req
        .resume()
        .on('end', () => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer)))
    }).listen(0, '127.0.0.1')
    await once(vendor, 'listening')
    const waiting: (() => readonly SpanFacts[])[] = []
    const announced: number[] = []
    const gateway = await startGateway(
      {
        providers: { vendor: upstreamAt(`http://127.0.0.1:${(vendor.address() as AddressInfo).port}`) },
        routes: { chat: 'vendor/gpt-4o' },
        trace: { sample: 1 },
      },
      {
        exporter: {
          push(spans, count) {
            waiting.push(spans)
            announced.push(count)
          },
          close: async () => {},
        },
      },
    )
    subscribe('http.server.request.start', seen)
    try {
      const messages = [{ role: 'user', content: prompt }]
      for (let n = 0; n < 40; n++) {
        const body = { model: 'chat', messages, user: 'alice' }
        expect((await post(`${gateway.url}/v1/chat/completions`, body, { 'x-seen': '1' })).status).toBe(200)
      }
      expect([requests.length, waiting.length]).toEqual([40, 40])
      // Connections keep their last one.
      await expect.poll(gone).toBeGreaterThanOrEqual(30)
      const [request, attempt, ...more] = waiting.at(-1)!()
      expect(more).toEqual([])
      expect(announced.at(-1)).toBe(2)
      expect(request).toMatchObject({ name: 'chat chat', attributes: { 'turnout.outcome': 'ok' } })
      expect(attempt).toMatchObject({ name: 'chat gpt-4o', attributes: { 'gen_ai.response.id': 'chatcmpl-1' } })
    } finally {
      unsubscribe('http.server.request.start', seen)
      await gateway.close()
      vendor.close()
      await once(vendor, 'close')
    }
  })
})

it('spans say when a call was made, also where many requests had to be judged before it was told', async () => {
  const askedAt: number[] = []
  const vendor = createServer((req, res) => {
    askedAt.push(Date.now())
    req.resume().on('end', () => res.writeHead(503).end())
  }).listen(0, '127.0.0.1')
  await once(vendor, 'listening')
  const told: SpanFacts[] = []
  const turn = createTurn()
  const gateway = await startGateway(
    {
      providers: { vendor: upstreamAt(`http://127.0.0.1:${(vendor.address() as AddressInfo).port}`) },
      routes: { chat: 'vendor/gpt-4o' },
    },
    {
      exporter: { push: (spans) => told.push(...spans()), close: async () => {} },
      turn: {
        ...turn,
        at: (step, run) => (step === 'settling' ? setTimeout(() => turn.at(step, run), 200) : turn.at(step, run)),
      },
    },
  )
  try {
    await post(`${gateway.url}/v1/chat/completions`, { model: 'chat', messages: [{ role: 'user', content: 'Hi.' }] })
    const [request, attempt] = told
    // The clock of the day shows whole milliseconds.
    expect(attempt!.start).toBeLessThanOrEqual(askedAt[0]! + 1)
    expect(request!.start).toBeLessThanOrEqual(attempt!.start)
  } finally {
    await gateway.close()
    vendor.close()
    await once(vendor, 'close')
  }
})

describe('a gateway with a collector', () => {
  let scene: Scene
  let collector: OtlpReceiver
  beforeAll(async () => {
    collector = await startOtlpReceiver()
    scene = await startScene((document) => {
      document.trace = { otlp: { url: collector.url, headers: { 'x-collector-key': 'sk-test-collector-0123456789' } } }
      document.log = { level: 'silent', user: 'rotating' }
    })
  })
  afterAll(async () => {
    await scene.close()
    await collector.close()
  })

  it('C50 sends request and attempts as parent and children, with the names of the conventions, and without secret or prompt', async () => {
    const reply = await scene.chat('fallback', {
      messages: [{ role: 'user', content: prompt }],
      user: 'somebody@example.com',
    })
    expect(reply.status).toBe(200)
    const spans = await collector.received(3)
    const root = spans.find(({ kind }) => kind === 2)!
    const calls = spans.filter(({ kind }) => kind === 3)
    expect(root.name).toBe('chat fallback')
    expect(root.parentSpanId || undefined).toBeUndefined()
    expect(root.traceId).toBe(reply.headers['x-turnout-trace'])
    expect(root.attributes).toMatchObject({
      'gen_ai.operation.name': 'chat',
      'turnout.request.id': reply.headers['x-request-id'],
      'turnout.outcome': 'ok',
      'http.response.status_code': 200,
      'enduser.pseudo.id': expect.stringMatching(/^r_/),
    })
    expect(calls.map(({ parentSpanId }) => parentSpanId)).toEqual([root.spanId, root.spanId])
    expect(calls.map(({ traceId }) => traceId)).toEqual([root.traceId, root.traceId])
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(3)
    const [failed, good] = calls.sort((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano)))
    expect(failed).toMatchObject({ name: 'chat sim-error-503', status: { code: 2 } })
    expect(failed!.attributes).toMatchObject({ 'error.type': 'overloaded', 'http.response.status_code': 503 })
    expect(good!.attributes).toMatchObject({
      'gen_ai.provider.name': 'vllm',
      'gen_ai.request.model': 'sim-fast',
      'gen_ai.usage.input_tokens': expect.any(Number),
      'gen_ai.usage.output_tokens': expect.any(Number),
      'gen_ai.response.finish_reasons': ['stop'],
      'turnout.attempt.reason': 'fallback',
    })
    for (const span of calls) {
      expect(BigInt(span.startTimeUnixNano) >= BigInt(root.startTimeUnixNano)).toBe(true)
      expect(BigInt(span.endTimeUnixNano) <= BigInt(root.endTimeUnixNano)).toBe(true)
    }
    // Now, and not since the start of the machine.
    expect(Math.abs(Number(BigInt(root.startTimeUnixNano) / 1_000_000n) - Date.now())).toBeLessThan(600_000)
    const told = JSON.stringify(spans)
    for (const secret of ['elephants', 'somebody@example.com', 'sk-test']) expect(told).not.toContain(secret)
    expect(collector.headers[0]!['x-collector-key']).toBe('sk-test-collector-0123456789')
  })

  it('goes on in the trace of the client, and takes the upstream along', async () => {
    const before = collector.spans.length
    const { headers } = await scene.chat('healthy', {}, undefined, { traceparent, tracestate: 'vendor=1' })
    expect(headers['x-turnout-trace']).toBe(clientTrace)
    await collector.received(before + 2)
    const [root, call] = collector.spans.slice(before).sort((a, b) => a.kind - b.kind)
    expect(root).toMatchObject({ traceId: clientTrace, parentSpanId: clientSpan })
    const upstream = scene.simulator.calls.at(-1)!
    expect(upstream.headers.traceparent).toBe(`00-${clientTrace}-${call!.spanId}-01`)
    expect(upstream.headers.tracestate).toBe('vendor=1')
  })

  it('serves on when the collector refuses, and counts it', async () => {
    collector.status = 400
    expect((await scene.chat('healthy')).status).toBe(200)
    let failed = 0
    while (failed < 2) {
      failed = (await scene.scrape()).get('turnout_trace_spans_total{outcome="failed"}')!
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    collector.status = 200
    expect(failed).toBe(2)
    expect((await scene.scrape()).get('turnout_trace_spans_total{outcome="exported"}')).toBeGreaterThanOrEqual(5)
  })

  it('counts the spans that it has no room for, not their requests', async () => {
    const dropped: number[] = []
    const exporter = createSpanExporter({
      url: collector.url,
      headers: {},
      version: '0',
      counted: (outcome, spans) => outcome === 'dropped' && dropped.push(spans),
      trouble: () => {},
    })
    for (let n = 0; n < 2_000; n++) exporter.push(() => [], 1)
    expect(dropped).toEqual([])
    exporter.push(() => [], 3)
    expect(dropped).toEqual([3])
    await exporter.close()
  })
})

describe('traces in the database', () => {
  let scene: Scene
  beforeAll(async () => {
    scene = await startScene((document) => {
      document.trace = { sample: 0, slow: '10s' }
    })
  })
  afterAll(() => scene.close())
  const list = async (query = ''): Promise<{ id: string; trace_id: string; outcome: string; sampled: boolean }[]> =>
    JSON.parse((await scene.admin('GET', `/traces${query}`)).text).data

  it('keeps errors and slow requests in any case, and of the others the share that is asked for', async () => {
    scene.simulator.script('sim-paced', { firstTokenMs: 10_100, tokens: 2 })
    const good = await scene.chat('healthy')
    const broken = await scene.chat('streams', { stream: true })
    const slow = await scene.chat('slow', { stream: true })
    expect((await scene.chat('nowhere')).status).toBe(404)
    const asked = await scene.chat('healthy', {}, undefined, { traceparent })
    const kept = await list()
    const ids = kept.map(({ id }) => id)
    expect(ids).not.toContain(good.headers['x-request-id'])
    expect(ids).toEqual([asked, slow, broken].map(({ headers }) => headers['x-request-id']))
    expect(kept.map(({ sampled }) => sampled)).toEqual([true, false, false])
    expect((await list('?status=error')).map(({ outcome }) => outcome)).toEqual(['partial'])
    expect((await list('?route=slow')).map(({ id }) => id)).toEqual([slow.headers['x-request-id']])
    expect(await list('?status=500')).toEqual([])
    expect((await scene.admin('GET', '/traces?status=odd')).status).toBe(400)
  })

  it('shows one by the id of its trace, of its request, and of the client, the same in reply, log and ledger', async () => {
    const { headers } = await scene.chat('fallback', {}, undefined, {
      traceparent: traceparent.replace(/^00-./, '00-a'),
    })
    const request = String(headers['x-request-id'])
    const trace = String(headers['x-turnout-trace'])
    const show = async (id: string) => JSON.parse((await scene.admin('GET', `/traces/${id}`)).text)
    const byTrace = await show(trace)
    expect(await show(request)).toEqual(byTrace)
    expect(byTrace).toMatchObject({ object: 'trace', trace_id: trace })
    const [found] = byTrace.requests
    expect(found).toMatchObject({ id: request, parent_span_id: clientSpan, outcome: 'ok', attempt_count: 2 })
    const ledger = JSON.parse((await scene.admin('GET', `/requests/${request}`)).text)
    expect(found.attempts).toEqual(ledger.attempts)
    expect(found.steps.map(({ name }: { name: string }) => name)).toEqual(
      expect.arrayContaining([
        'receive',
        'admit and plan',
        'call 1: alpha/sim-error-503 (first)',
        'call 2: beta/sim-fast (fallback)',
        'settle',
      ]),
    )
    for (const [index, step] of found.steps.entries()) {
      expect(step.end_ms).toBeGreaterThanOrEqual(step.start_ms)
      if (index > 0) expect(step.start_ms).toBeGreaterThanOrEqual(found.steps[index - 1].start_ms)
    }
    expect((await scene.admin('GET', `/traces/${'f'.repeat(32)}`)).status).toBe(404)
    expect((await scene.admin('GET', '/traces/odd')).status).toBe(400)
  })

  it('turnout trace draws it, and lists the last ones', async () => {
    const { headers } = await scene.chat('streams', { stream: true })
    const place = { cwd: scene.folder, env: { TURNOUT_URL: scene.url, TURNOUT_MASTER_KEY: adminKey } }
    const drawn = await runTurnout(['trace', String(headers['x-request-id'])], place)
    expect(drawn).toMatchObject({ code: 0, err: '' })
    expect(drawn.out).toContain(`trace ${headers['x-turnout-trace']}`)
    expect(drawn.out).toMatch(/call 1: alpha\/sim-torn \(first\) +█+ +\d+\.\d +\+\d+\.\d ms/)
    const listed = await runTurnout(['trace', '--status', 'error'], place)
    expect(listed.out).toMatch(
      new RegExp(`^20\\d\\d-\\S+Z +${headers['x-turnout-trace']} +${headers['x-request-id']} `, 'm'),
    )
    expect(listed.out).not.toContain('and older ones')
    await scene.chat('streams', { stream: true })
    const [, newest, more] = (await runTurnout(['trace', '-n', '1'], place)).out.split('\n')
    expect([newest, more]).toEqual([expect.stringMatching(/^20/), expect.stringMatching(/^and older ones: .*--limit/)])
    expect((await runTurnout(['trace', 'f'.repeat(32)], place)).code).toBe(1)
  })

  it('forgets them after a while, and the requests not', async () => {
    const { openLedger } = await import('../src/store/ledger.ts')
    const { openStore } = await import('../src/store/open.ts')
    const { openReader } = await import('../src/store/reader.ts')
    const file = `${scene.folder}/forget.db`
    const store = openStore({ file })
    const ledger = openLedger(store)
    const trace = { trace: clientTrace, parent: undefined, sampled: true, bodyMs: 1, planMs: 2 }
    const row = { dialect: 'openai-chat', stream: false, status: 200, outcome: 'ok' as const, latencyMs: 3, trace }
    const ids = [ledger.nextRequestId(), ledger.nextRequestId(), ledger.nextRequestId()]
    for (const id of ids) await ledger.settle({ ...row, id }, [])
    const reader = openReader(file)
    expect((await reader.traces({ limit: 10 })).rows).toHaveLength(3)
    expect(await ledger.keeper.retainTraces(ids[2]!)).toBe(2)
    expect((await reader.traces({ limit: 10 })).rows.map(({ request }) => request.id)).toEqual([ids[2]])
    expect((await reader.requests({ limit: 10 })).rows).toHaveLength(3)
    expect(await ledger.keeper.retain(ids[2]! + 64)).toBe(3)
    expect((await reader.traces({ limit: 10 })).rows).toEqual([])
    await reader.close()
    await ledger.close()
    store.close()
  })
})

it('switched off there are no ids, no headers and no rows', async () => {
  const scene = await startScene((document) => {
    document.trace = { enabled: false }
  })
  try {
    const { headers } = await scene.chat('errors', {}, undefined, { traceparent })
    expect(headers['x-turnout-trace']).toBeUndefined()
    expect(scene.simulator.calls.at(-1)!.headers.traceparent).toBeUndefined()
    expect(JSON.parse((await scene.admin('GET', '/traces')).text).data).toEqual([])
  } finally {
    await scene.close()
  }
})

it("OpenTelemetry's code is loaded by those alone who have a collector", () => {
  const script = `await import('./src/app.ts'); await import('./src/telemetry/trace/exporter.ts')
    const { createRequire } = await import('node:module')
    const loaded = () => Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes('@opentelemetry'))
    const before = loaded()
    await import('@opentelemetry/exporter-trace-otlp-http')
    console.log(before, loaded())`
  const { stdout } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    encoding: 'utf8',
  })
  expect(stdout.trim()).toBe('false true')
})

it('a waterfall shows where the time went', () => {
  const text = renderWaterfall({
    trace_id: clientTrace,
    id: 'req_0123456789a',
    created_at: '',
    route: 'chat',
    status: 200,
    outcome: 'ok',
    error: null,
    latency_ms: 100,
    steps: [
      { name: 'receive', start_ms: 0, end_ms: 1 },
      { name: 'call 1: a (first)', start_ms: 50, end_ms: 100 },
    ],
  })
  const [, , receive, call] = text.split('\n')
  expect(receive).toMatch(/receive +█ +0\.0 +\+1\.0 ms$/)
  expect(call!.indexOf('█') - receive!.indexOf('█')).toBe(25)
  expect(call!.match(/█/g)).toHaveLength(25)
})
