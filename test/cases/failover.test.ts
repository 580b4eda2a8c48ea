// Cases C35, C41 and C42: what an upstream's 200 is worth is seen before the client sees anything.
import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  ask,
  CHAT,
  chunk,
  chunks,
  DONE,
  event,
  finishChunk,
  reply,
  roleChunk,
  usage,
  usageChunk,
} from '../support/chatBodies.ts'
import { dataOf, post } from '../support/exchange.ts'
import {
  cut,
  type FakeUpstream,
  openSse,
  reset,
  sendJson,
  sendSse,
  sseText,
  stall,
  startFakeUpstream,
} from '../support/fakeUpstream.ts'
import { renewTargets, single } from '../support/freshTargets.ts'
import { startGateway, type TestGateway, upstreamAt } from '../support/gateway.ts'

let upstream: FakeUpstream
let gateway: TestGateway
let first: (res: ServerResponse) => void | Promise<void>
let models: string[] = []
const answer = sseText(chunks('from the second'))

beforeAll(async () => {
  upstream = await startFakeUpstream((_req, res, body) => {
    const { model, stream } = JSON.parse(body.toString()) as { model: string; stream?: boolean }
    models.push(model)
    if (model !== 'second') return first(res)
    return stream ? sendSse(res, answer) : sendJson(res, 200, reply('from the second'))
  })
  gateway = await startGateway(configOf())
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})
beforeEach(() => {
  models = []
  renewTargets(gateway, configOf())
})

/** Where nothing may come the limit is short; whoever answers has time enough, however busy the machine. */
const hasty = { firstToken: '200ms', idle: '200ms', total: '120s' }
const beforeFirst = { firstToken: '200ms', idle: '60s' }
const between = { firstToken: '60s', idle: '200ms' }

const configOf = (): Record<string, unknown> => ({
  ...single,
  providers: { p: upstreamAt(upstream.url) },
  targets: {
    silent: { provider: 'p', model: 'first', timeouts: hasty },
    gaps: { provider: 'p', model: 'first', timeouts: between },
  },
  routes: {
    both: ['p/first', 'p/second'],
    alone: 'p/only',
    silentBoth: ['silent', 'p/second'],
    silentAlone: { targets: ['p/only'], timeouts: beforeFirst },
    gapsBoth: ['gaps', 'p/second'],
  },
})

const overloaded = { error: { message: 'Overloaded', type: 'overloaded_error', param: null, code: null } }
const streamed = (model: string) => post(gateway.url + CHAT, ask(model, { stream: true }))
const whole = (model: string) => post(gateway.url + CHAT, ask(model))

type Way = [what: string, script: (res: ServerResponse) => void | Promise<void>, fault: string, status: number]

describe('C35 the first frame is looked at before anything reaches the client', () => {
  const ways: Way[] = [
    ['an overloaded_error as the first event', (res) => sendSse(res, event(overloaded)), 'overloaded', 503],
    ['a named error event', (res) => sendSse(res, `event: error\n${event(overloaded)}`), 'overloaded', 503],
    ['an error after the role', (res) => sendSse(res, event(roleChunk) + event(overloaded) + DONE), 'overloaded', 503],
    [
      'an error on the first chunk',
      (res) => sendSse(res, event({ ...chunk({ role: 'assistant', content: '' }), ...overloaded })),
      'overloaded',
      503,
    ],
    [
      'an error one byte at a time',
      (res) => sendSse(res, event(roleChunk) + event(overloaded), { pieces: 1 }),
      'overloaded',
      503,
    ],
    [
      'a rate limit told by its code',
      (res) => sendSse(res, event({ error: { message: 'slow down', code: 429 } })),
      'rate_limited',
      429,
    ],
    ['something that is no JSON', (res) => sendSse(res, 'data: <html>\n\n'), 'garbage', 502],
    ['a role and then the end', (res) => sendSse(res, event(roleChunk)), 'cut', 502],
    ['a JSON error in place of a stream', (res) => sendJson(res, 200, overloaded), 'overloaded', 503],
    [
      'a page in place of a stream',
      (res) => sendSse(res, '<html>no</html>', { headers: { 'content-type': 'text/html' } }),
      'garbage',
      502,
    ],
    [
      'a reset after the role',
      async (res) => {
        openSse(res)
        res.write(event(roleChunk))
        reset(res)
      },
      'cut',
      502,
    ],
    [
      'a cut before anything',
      (res) => {
        openSse(res)
        cut(res)
      },
      'cut',
      502,
    ],
    ['a status', (res) => sendJson(res, 500, { error: { message: 'no' } }), 'server_error', 500],
  ]
  it.each(ways)('C35 %s: the next target answers, and the client never knows', async (_what, script, fault) => {
    first = script
    const { status, text, headers } = await streamed('both')
    expect([status, text]).toEqual([200, answer])
    expect(models).toEqual(['first', 'second'])
    expect(headers).toMatchObject({ 'x-turnout-target': expect.stringContaining('second'), 'x-turnout-attempts': '2' })
    expect(gateway.lines.at(-1)).toMatchObject({
      outcome: 'ok',
      attempts: 2,
      target: expect.stringContaining('second'),
    })
    expect(fault).toBeDefined()
  })

  it.each(ways)(
    'C35 %s: without another target it is an error status, not a 200',
    async (_what, script, fault, status) => {
      first = script
      const exchange = await streamed('alone')
      expect(exchange.status).toBe(status)
      expect(exchange.headers['content-type']).toBe('application/json')
      expect(exchange.headers['x-turnout-error']).toBe(fault)
      expect(JSON.parse(exchange.text).error.message).not.toBe('')
      expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'failed', fault })
    },
  )

  it("C35 a request's own fault is not tried elsewhere", async () => {
    const body = '{ "error": {"message":"Bad.","type":"invalid_request_error","param":"x","code":null} }'
    first = (res) => sendJson(res, 400, body)
    const { status, text } = await streamed('both')
    expect([status, text]).toEqual([400, body])
    expect(models).toEqual(['first'])
  })

  it('C35 reasoning, a refusal, a tool call and an audio delta are something good', async () => {
    const call = { index: 0, id: 'c', type: 'function', function: { name: 'f', arguments: '' } }
    for (const delta of [
      { reasoning_content: 'hm' },
      { reasoning: 'hm' },
      { refusal: 'no' },
      { tool_calls: [call] },
      { audio: { data: 'x' } },
      { function_call: { name: 'f', arguments: '' } },
    ]) {
      const sent = event(roleChunk) + event(chunk(delta))
      first = async (res) => {
        openSse(res)
        res.write(sent)
        cut(res)
      }
      const { status, text } = await streamed('both')
      expect(status, JSON.stringify(delta)).toBe(200)
      expect(text.startsWith(sent)).toBe(true)
      expect(text).not.toContain('second')
      expect(models.splice(0)).toEqual(['first'])
    }
  })
})

describe('C41 stalls after a 200', () => {
  const stalling =
    (...sent: string[]) =>
    async (res: ServerResponse) => {
      openSse(res)
      for (const text of sent) res.write(text)
      await stall(res)
    }
  /** Comments and role chunks, every 40 ms, for as long as anybody listens. */
  const pinging =
    (ping: string, ...sent: string[]) =>
    async (res: ServerResponse) => {
      openSse(res)
      for (const text of sent) res.write(text)
      const timer = setInterval(() => res.write(ping), 40)
      await stall(res)
      clearInterval(timer)
    }
  const content = event(chunk({ content: 'a' }))

  const silent: [string, (res: ServerResponse) => Promise<void>][] = [
    ['nothing', stalling()],
    ['a role', stalling(event(roleChunk))],
    ['comments', pinging(': keep-alive\n\n')],
    ['role chunks', pinging(event(roleChunk))],
    ['empty deltas', pinging(event(chunk({ content: '' })))],
    ['pings', pinging('event: ping\ndata: {}\n\n')],
    ['half a frame after another', pinging(': x')],
  ]
  it.each(silent)('C41 %s for too long before the first token: the next target answers', async (_what, script) => {
    first = script
    const { status, text } = await streamed('silentBoth')
    expect([status, text]).toEqual([200, answer])
    const seen = upstream.requests.at(-2)!
    await upstream.waitFor((request) => request === seen && request.done)
    expect(seen.closedEarly).toBe(true)
  })

  it.each(silent)('C41 %s for too long, alone: 504', async (_what, script) => {
    first = script
    const exchange = await streamed('silentAlone')
    expect([exchange.status, exchange.headers['x-turnout-error']]).toEqual([504, 'first_token_timeout'])
  })

  const gaps: [string, (res: ServerResponse) => Promise<void>][] = [
    ['nothing', stalling(event(roleChunk), content)],
    ['comments', pinging(': keep-alive\n\n', event(roleChunk), content)],
    ['role chunks', pinging(event(roleChunk), content)],
    ['empty deltas', pinging(event(chunk({ content: '' })), content, content)],
  ]
  it.each(gaps)(
    'C41 %s for too long between chunks: an error frame, no other text, no [DONE]',
    async (_what, script) => {
      first = script
      const { status, text } = await streamed('gapsBoth')
      expect(status).toBe(200)
      expect(text).toContain(content)
      const data = dataOf(text)
      expect(JSON.parse(data.at(-1)!).error).toMatchObject({ code: 'idle_timeout', type: 'upstream_timeout' })
      expect(data).not.toContain('[DONE]')
      expect(text).not.toContain('second')
      expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'partial', fault: 'idle_timeout' })
      expect(models).toEqual(['first'])
    },
  )

  it('C41 a whole reply that stops in its body fails over, too', async () => {
    for (const status of [200, 500]) {
      first = async (res) => {
        res.writeHead(status, { 'content-type': 'application/json', 'content-length': '1000' })
        res.write('{"id":')
        await stall(res)
      }
      const { text } = await whole('gapsBoth')
      expect(JSON.parse(text).choices[0].message.content).toBe('from the second')
    }
  })

  it('C41 an error body without end is read as far as is useful', async () => {
    first = async (res) => {
      res.writeHead(500, { 'content-type': 'text/plain' })
      const line = 'x'.repeat(64 * 1024)
      const more = (): void => {
        while (!res.destroyed && res.write(line));
      }
      res.on('drain', more)
      more()
      await stall(res)
    }
    const { text } = await whole('both')
    expect(JSON.parse(text).choices[0].message.content).toBe('from the second')
  })

  it('C41 a stream that finished but never closes is complete', async () => {
    first = stalling(content, event(finishChunk()) + DONE)
    const { text } = await streamed('both')
    expect(text).toBe(content + event(finishChunk()) + DONE)
    expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'ok' })
  })
})

describe('C42 "stop" with nothing to show is a failure', () => {
  const ways: [string, (res: ServerResponse) => void | Promise<void>][] = [
    ['a stream with role and stop', (res) => sendSse(res, sseText([roleChunk, finishChunk()]))],
    ['a stream with stop alone', (res) => sendSse(res, sseText([finishChunk()], { done: false }))],
    ['a stream with [DONE] alone', (res) => sendSse(res, DONE)],
    ['a stream that counts and says nothing', (res) => sendSse(res, sseText([usageChunk]))],
    ['a stream that counts and does not finish', (res) => sendSse(res, sseText([roleChunk, usageChunk]))],
    ['a document without choices that counts', (res) => sendJson(res, 200, { ...reply(), choices: [] })],
    ['a stream without any event', (res) => sendSse(res, '')],
    ['a stream of comments', (res) => sendSse(res, ': nothing\n\n')],
    ['an empty stream one byte at a time', (res) => sendSse(res, sseText([roleChunk, finishChunk()]), { pieces: 1 })],
  ]
  it.each(ways)('C42 %s', async (_what, script) => {
    first = script
    const { status, text } = await streamed('both')
    expect([status, text]).toEqual([200, answer])
    const alone = await streamed('alone')
    expect(alone.status).toBe(502)
    expect(['empty', 'cut']).toContain(alone.headers['x-turnout-error'])
  })

  const bodies: [string, unknown][] = [
    ['no content and no usage', { ...reply(''), usage: undefined }],
    ['null content and usage null', { ...reply(null), usage: null }],
    ['no choices', { ...reply(), choices: [] }],
    ['choices null', { ...reply(), choices: null }],
    ['an empty object', {}],
    ['a list', []],
    ['nothing', ''],
  ]
  it.each(bodies)('C42 a whole reply with %s', async (_what, body) => {
    first = (res) => sendJson(res, 200, body)
    const { status, text } = await whole('both')
    expect([status, JSON.parse(text).choices[0].message.content]).toEqual([200, 'from the second'])
    const alone = await whole('alone')
    expect(alone.status).toBe(502)
    expect(['empty', 'garbage']).toContain(alone.headers['x-turnout-error'])
  })

  it('C42 but an answer in the form of completions is one, whether it says that it ends or not', async () => {
    const said = { ...finishChunk(), choices: [{ index: 0, text: 'Platform nine.', finish_reason: null }] }
    for (const events of [
      [said, usageChunk],
      [said, finishChunk()],
    ]) {
      first = (res) => sendSse(res, sseText(events))
      const { status, text } = await streamed('both')
      expect(status).toBe(200)
      expect(text).toContain('Platform nine.')
    }
  })

  it('C42 but an empty answer that was paid for is an answer', async () => {
    first = (res) => sendJson(res, 200, reply(''))
    expect(await whole('both')).toMatchObject({ status: 200, text: JSON.stringify(reply('')) })
    for (const events of [
      [roleChunk, finishChunk(), usageChunk],
      [roleChunk, { ...finishChunk(), usage }],
    ]) {
      first = (res) => sendSse(res, sseText(events))
      const { status, text } = await streamed('both')
      expect(status).toBe(200)
      expect(text).not.toContain('second')
    }
    expect(models).toEqual(['first', 'first', 'first'])
  })
})
