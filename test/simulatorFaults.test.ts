// Every way in which the simulator fails, seen from the other end of the wire.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  type Fault,
  type FaultKind,
  faultKinds,
  type Script,
  type Simulator,
  startSimulator,
} from '../src/simulator/index.ts'
import { dataOf, type Exchange, eventsOf, post, send } from './support/exchange.ts'

let simulator: Simulator
beforeAll(async () => {
  simulator = await startSimulator()
})
afterAll(() => simulator.close())
beforeEach(() => simulator.reset())

const tokens = 10
const tried = new Set<FaultKind>()

function fail(fault: Fault, stream: boolean, more: Script = {}): Promise<Exchange> {
  tried.add(fault.kind)
  simulator.script('failing', { tokens, ...more, fault })
  return post(`${simulator.baseUrl}/chat/completions`, body(stream))
}

const body = (stream: boolean) => ({ model: 'failing', stream, messages: [{ role: 'user', content: 'Hello' }] })
const contents = (reply: Exchange): string[] =>
  eventsOf(reply.text).flatMap((event) => event.choices?.[0]?.delta.content || [])
const settled = () => simulator.waitFor((call) => call.outcome !== 'running')
const errorOf = (reply: Exchange) => JSON.parse(reply.text).error

describe.each([
  ['JSON', false],
  ['stream', true],
])('faults of a %s request', (_, stream) => {
  it('status: any status in the vendor’s shape', async () => {
    for (const status of [400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 529]) {
      const reply = await fail({ kind: 'status', status }, stream)
      expect(reply.status).toBe(status)
      expect(Object.keys(errorOf(reply)).sort()).toEqual(['code', 'message', 'param', 'type'])
    }
    expect(await settled()).toMatchObject({ outcome: 'faulted', fault: 'status', promptTokens: 0, completionTokens: 0 })
  })

  it('status: Retry-After in both forms, own message, code and body', async () => {
    expect((await fail({ kind: 'status', status: 429, retryAfter: 7 }, stream)).headers['retry-after']).toBe('7')
    const date = 'Wed, 21 Oct 2026 07:28:00 GMT'
    expect((await fail({ kind: 'status', status: 503, retryAfter: date }, stream)).headers['retry-after']).toBe(date)
    const quota = await fail({ kind: 'status', status: 429, code: 'insufficient_quota', message: 'used up' }, stream)
    expect(errorOf(quota)).toMatchObject({ code: 'insufficient_quota', type: 'insufficient_quota', message: 'used up' })
    const html = await fail({ kind: 'status', status: 502, body: '<html>bad gateway</html>' }, stream)
    expect(html.text).toBe('<html>bad gateway</html>')
    expect(html.headers['content-type']).toContain('text/html')
    expect((await fail({ kind: 'status', status: 500, body: { odd: 1 } }, stream)).text).toBe('{"odd":1}')
  })

  it('firstEventError: an error under status 200', async () => {
    const reply = await fail({ kind: 'firstEventError', status: 529 }, stream)
    expect(reply).toMatchObject({ status: 200, complete: true })
    const error = stream ? eventsOf(reply.text)[0].error : errorOf(reply)
    expect(error).toMatchObject({ type: 'overloaded_error', code: 'overloaded' })
    expect(reply.text).not.toContain('choices')
    expect(reply.text).not.toContain('[DONE]')
  })

  it('midStreamError: content, then an error, no end marker', async () => {
    const reply = await fail({ kind: 'midStreamError', afterTokens: 4 }, stream)
    expect(reply).toMatchObject({ status: 200, complete: true })
    expect(reply.text).not.toContain('[DONE]')
    if (!stream) return expect(errorOf(reply).type).toBe('server_error')
    expect(contents(reply)).toHaveLength(4)
    expect(eventsOf(reply.text).at(-1).error.type).toBe('server_error')
    return expect(await settled()).toMatchObject({ outcome: 'faulted', completionTokens: 4 })
  })

  it('cut: the connection closes before the message is complete', async () => {
    const reply = await fail({ kind: 'cut', afterTokens: 3 }, stream)
    expect(reply).toMatchObject({ status: 200, complete: false, error: 'ECONNRESET' })
    expect(reply.text.length).toBeGreaterThan(0)
    if (stream) expect(contents(reply)).toHaveLength(3)
    expect(await settled()).toMatchObject({ outcome: 'faulted', fault: 'cut', status: 200 })
  })

  it('truncate: a clean end of a reply that is not all there', async () => {
    const reply = await fail({ kind: 'truncate' }, stream)
    expect(reply).toMatchObject({ status: 200, complete: true, error: undefined })
    if (!stream) return expect(() => JSON.parse(reply.text)).toThrow()
    expect(contents(reply)).toHaveLength(5)
    expect(reply.text).not.toContain('[DONE]')
    return expect(reply.text).not.toContain('"finish_reason":"stop"')
  })

  it('stall: silence after the headers, until the client goes', async () => {
    tried.add('stall')
    simulator.script('failing', { tokens, fault: { kind: 'stall', ...(stream ? { afterTokens: 2 } : {}) } })
    const sent = send('POST', `${simulator.baseUrl}/chat/completions`, body(stream))
    expect((await sent.response).statusCode).toBe(200)
    const stalled = await simulator.waitFor((call) => call.status === 200 && (!stream || call.chunks === 3))
    expect(stalled.outcome).toBe('running')
    sent.request.destroy()
    expect((await sent.done).complete).toBe(false)
    const call = await settled()
    expect(call).toMatchObject({ outcome: 'aborted', fault: 'stall' })
    if (stream) expect(call.completionTokens).toBe(2)
  })

  it('reset: a TCP reset before any header, or in the middle', async () => {
    expect(await fail({ kind: 'reset' }, stream)).toMatchObject({ status: 0, error: 'ECONNRESET' })
    expect(await settled()).toMatchObject({ outcome: 'faulted', status: 0, promptTokens: 0 })
    simulator.reset()
    const later = await fail({ kind: 'reset', afterTokens: 3 }, stream)
    expect(later).toMatchObject({ complete: false, error: 'ECONNRESET' })
    expect(await settled()).toMatchObject({ outcome: 'faulted', completionTokens: stream ? 3 : tokens })
  })

  it('garbageJson: a body or an event that breaks off inside its JSON', async () => {
    const reply = await fail({ kind: 'garbageJson', afterTokens: 2 }, stream)
    expect(reply).toMatchObject({ status: 200, complete: true })
    if (!stream) return expect(() => JSON.parse(reply.text)).toThrow()
    const broken = dataOf(reply.text).map((data) => {
      try {
        return data === '[DONE]' || JSON.parse(data) !== undefined
      } catch {
        return false
      }
    })
    // Role, two tokens, the broken one; what follows looks as if nothing had happened.
    expect(broken.indexOf(false)).toBe(3)
    expect(broken.filter((good) => !good)).toHaveLength(1)
    return expect(dataOf(reply.text).at(-1)).toBe('[DONE]')
  })

  it('garbageSse: bytes that are no events', async () => {
    const reply = await fail({ kind: 'garbageSse' }, stream)
    expect(reply).toMatchObject({ status: 200, complete: true })
    expect(reply.headers['content-type']).toContain('text/event-stream')
    expect(reply.text).toContain('<html>')
    expect(Buffer.concat(reply.pieces).includes(0xff)).toBe(true)
    expect((await fail({ kind: 'garbageSse', body: 'no events here' }, stream)).text).toBe('no events here')
  })

  it('slowHeaders: the right answer, late', async () => {
    const reply = await fail({ kind: 'slowHeaders' }, stream, { headersDelayMs: 90 })
    expect(reply.status).toBe(200)
    expect(reply.headersMs).toBeGreaterThanOrEqual(89)
    expect(await settled()).toMatchObject({ outcome: 'faulted', completionTokens: tokens })
  })

  it('slowHeaders: a client that will not wait is noticed before any header', async () => {
    simulator.script('failing', { fault: { kind: 'slowHeaders' } })
    const sent = send('POST', `${simulator.baseUrl}/chat/completions`, body(stream))
    await simulator.waitFor((call) => call.outcome === 'running')
    sent.request.destroy()
    expect(await settled()).toMatchObject({ outcome: 'aborted', status: 0, promptTokens: 0, chunks: 0 })
  })

  it('emptySuccess: stop, no content, no usage', async () => {
    const reply = await fail({ kind: 'emptySuccess' }, stream)
    expect(reply).toMatchObject({ status: 200, complete: true })
    expect(reply.text).toContain('"finish_reason":"stop"')
    expect(reply.text).not.toContain('usage')
    if (stream) expect(contents(reply)).toEqual([])
    else expect(JSON.parse(reply.text).choices[0].message.content).toBe('')
  })

  it('redirect: points away; who follows is counted', async () => {
    const reply = await fail({ kind: 'redirect' }, stream)
    expect(reply.status).toBe(307)
    expect(simulator.totals().redirectsFollowed).toBe(0)
    await post(new URL(reply.headers.location as string, simulator.url).href, {})
    expect(simulator.totals().redirectsFollowed).toBe(1)
    const away = await fail({ kind: 'redirect', status: 302, location: 'http://192.0.2.1/' }, stream)
    expect([away.status, away.headers.location]).toEqual([302, 'http://192.0.2.1/'])
  })

  it('wrongLength: a content-length that promises more or less than comes', async () => {
    const long = await fail({ kind: 'wrongLength' }, stream)
    expect(long).toMatchObject({ status: 200, complete: false, error: 'ECONNRESET' })
    expect(Number(long.headers['content-length'])).toBe(Buffer.concat(long.pieces).length + 16)
    const short = await fail({ kind: 'wrongLength', lengthOff: -9 }, stream)
    expect(Buffer.concat(short.pieces).length).toBe(Number(short.headers['content-length']))
    expect(Buffer.concat(short.pieces).length).toBe(Buffer.concat(long.pieces).length - 9)
  })

  it('times: fails so often, then recovers, and starts anew with a new script', async () => {
    const again = async () => (await post(`${simulator.baseUrl}/chat/completions`, body(stream))).status
    expect((await fail({ kind: 'status', status: 503, times: 2 }, stream)).status).toBe(503)
    expect([await again(), await again(), await again()]).toEqual([503, 200, 200])
    simulator.script('failing', { fault: { kind: 'status', status: 500, times: 1 } })
    expect([await again(), await again()]).toEqual([500, 200])
  })
})

it('rate: a share of the calls fails, the same ones for the same seed', async () => {
  const run = async (seed: number): Promise<number[]> => {
    const own = await startSimulator({
      seed,
      scripts: { flaky: { fault: { kind: 'status', status: 500, rate: 0.4 } } },
    })
    const statuses: number[] = []
    for (let i = 0; i < 60; i++) {
      const messages = [{ role: 'user', content: 'Hello' }]
      statuses.push((await post(`${own.baseUrl}/chat/completions`, { model: 'flaky', messages })).status)
    }
    await own.close()
    return statuses
  }
  const first = await run(3)
  expect(await run(3)).toEqual(first)
  expect(await run(4)).not.toEqual(first)
  const failed = first.filter((status) => status === 500).length
  expect(failed).toBeGreaterThan(10)
  expect(failed).toBeLessThan(40)
})

it('a request’s header wins over the model’s fault and can take it away', async () => {
  simulator.script('failing', { fault: { kind: 'status', status: 500 } })
  const url = `${simulator.baseUrl}/chat/completions`
  expect((await post(url, body(false), { 'x-sim-script': '{"fault":null}' })).status).toBe(200)
  const other = JSON.stringify({ fault: { kind: 'status', status: 418 } })
  expect((await post(url, body(false), { 'x-sim-script': other })).status).toBe(418)
  expect((await post(url, body(false))).status).toBe(500)
})

it('tried every kind of fault there is', () => {
  expect([...tried].sort()).toEqual([...faultKinds].sort())
})
