// The four limits of time: connect, first token, idle, total. What is generated counts; comments and pings do not.

import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ask, CHAT, chunk, DONE, event, finishChunk, reply, roleChunk } from './support/chatBodies.ts'
import { dataOf, post, send } from './support/exchange.ts'
import { type FakeUpstream, openSse, pour, sendJson, stall, startFakeUpstream } from './support/fakeUpstream.ts'
import { renewTargets, single } from './support/freshTargets.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'

let upstream: FakeUpstream
let gateway: TestGateway
let config: Record<string, unknown>
let script: (res: ServerResponse) => void | Promise<void>
/** Accepts connections and never says a word, not even in TLS. */
let mute: Server
const muted = new Set<Socket>()

beforeAll(async () => {
  upstream = await startFakeUpstream((_req, res) => script(res))
  mute = createTcpServer((socket) => {
    muted.add(socket)
    socket.on('error', () => {})
    socket.on('data', () => {})
  }).listen(0, '127.0.0.1')
  await once(mute, 'listening')
  const muteUrl = `127.0.0.1:${(mute.address() as AddressInfo).port}`
  const route = (target: string, timeouts: Record<string, string>, more = {}) => ({
    targets: [target],
    timeouts,
    ...more,
  })
  config = {
    ...single,
    providers: {
      p: upstreamAt(upstream.url),
      tls: upstreamAt(`https://${muteUrl}`),
      mute: upstreamAt(`http://${muteUrl}`),
    },
    targets: { own: { provider: 'p', model: 'own', timeouts: { firstToken: '100ms' } } },
    routes: {
      connect: route('tls/m', { connect: '200ms', firstToken: '40s', total: '40s' }),
      connectLater: route('tls/m2', { connect: '20s', firstToken: '150ms', total: '40s' }),
      first: route('p/first', { firstToken: '150ms', idle: '40s' }),
      // For what must not end: the limits are longer than any pause of a busy machine, and the replies longer than the limits.
      begun: route('p/begun', { firstToken: '3s', idle: '40s' }),
      lively: route('p/lively', { firstToken: '40s', idle: '2s' }),
      longer: route('p/longer', { firstToken: '40s', idle: '40s', total: '2s' }),
      silent: route('mute/m', { firstToken: '150ms' }),
      idle: route('p/idle', { firstToken: '40s', idle: '150ms' }),
      total: route('p/total', { firstToken: '40s', idle: '40s', total: '200ms' }),
      committed: route('p/committed', { firstToken: '3s', idle: '40s' }, { commitAfter: '50ms' }),
      own: route('own', { firstToken: '40s' }),
    },
  }
  gateway = await startGateway(config)
})
beforeEach(() => renewTargets(gateway, config))
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
  for (const socket of muted) socket.destroy()
  mute?.close()
})

/** The upstream has learnt that nobody waits any longer. */
async function expectAborted(): Promise<void> {
  const last = upstream.requests.at(-1)!
  await upstream.waitFor((request) => request === last && request.done)
  expect(last.closedEarly).toBe(true)
}

const whole = (model: string) => post(gateway.url + CHAT, ask(model))
const stream = (model: string) => post(gateway.url + CHAT, ask(model, { stream: true }))
const content = event(chunk({ content: 'a' }))
const ending = event(finishChunk()) + DONE

/** Writes a text every 30 ms until the other side has gone. */
const pinging =
  (text: string, ...first: string[]) =>
  async (res: ServerResponse) => {
    openSse(res)
    for (const begin of first) res.write(begin)
    const timer = setInterval(() => res.write(text), 30)
    await stall(res)
    clearInterval(timer)
  }

describe('after the end of the answer', () => {
  it.each([
    ['comments', ': keep-alive\n\n'],
    ['empty deltas', event(chunk({}))],
  ])(
    '%s do not hold it open',
    async (_what, text) => {
      script = pinging(text, content, event(finishChunk()))
      const { status, text: said } = await stream('begun')
      expect(status).toBe(200)
      expect(said).toContain(content + event(finishChunk()))
      await expectAborted()
    },
    30_000,
  )
})

describe('what follows the end of the answer', () => {
  it.each([
    ['the last words', ''],
    ['the end marker', DONE],
  ])('is no more than a megabyte or two, also after %s', async (_what, marker) => {
    let sent: number | undefined
    script = async (res) => {
      const { socket } = res
      openSse(res)
      res.write(content + event(finishChunk()) + marker)
      await pour(res, ': x\n\n'.repeat(10_000))
      sent = socket!.bytesWritten
    }
    const { status, text } = await stream('begun')
    expect(status).toBe(200)
    expect(text.startsWith(content + event(finishChunk()) + marker)).toBe(true)
    expect(text.length).toBeLessThan(4 * 1024 ** 2)
    await expectAborted()
    // With all that the buffers between the two have taken.
    await expect.poll(() => sent).toBeLessThan(48 * 1024 ** 2)
  })
})

describe('connect', () => {
  it('ends a handshake that never comes to an end', async () => {
    for (const ask of [whole, stream]) {
      const { status, headers } = await ask('connect')
      expect([status, headers['x-turnout-error']]).toEqual([504, 'connect_timeout'])
    }
  })

  it('is not the only limit of a connection: the first token counts from the start', async () => {
    const { status, headers } = await stream('connectLater')
    expect([status, headers['x-turnout-error']]).toEqual([504, 'first_token_timeout'])
  })
})

describe('first token', () => {
  it('counts silence before the headers', async () => {
    const { status, headers } = await stream('silent')
    expect([status, headers['x-turnout-error']]).toEqual([504, 'first_token_timeout'])
  })

  it.each([
    ['nothing', ''],
    ['comments', ': keep-alive\n\n'],
    ['role chunks', event(roleChunk)],
    ['empty deltas', event(chunk({}))],
    ['chunks without choices', event({ ...chunk({}), choices: [] })],
  ])('takes %s for no progress', async (_what, text) => {
    script = pinging(text || '\n')
    const { status, headers } = await stream('first')
    expect([status, headers['x-turnout-error']]).toEqual([504, 'first_token_timeout'])
    await expectAborted()
  })

  it('is over with the first token, however long the rest takes', async () => {
    script = async (res) => {
      openSse(res)
      for (let piece = 0; piece < 8; piece++) {
        res.write(content)
        await new Promise((resolve) => setTimeout(resolve, 440))
      }
      res.end(ending)
    }
    const { status, text } = await stream('begun')
    expect([status, text]).toEqual([200, content.repeat(8) + ending])
  })

  it('goes on after a commit without content, and then ends the stream with an error frame', async () => {
    script = pinging(': keep-alive\n\n', event(roleChunk))
    const sent = send('POST', gateway.url + CHAT, ask('committed', { stream: true }))
    expect((await sent.response).statusCode).toBe(200)
    const { text } = await sent.done
    expect(text.startsWith(event(roleChunk))).toBe(true)
    const last = dataOf(text).at(-1)!
    expect(JSON.parse(last).error).toMatchObject({ code: 'first_token_timeout', type: 'upstream_timeout' })
    expect(text).not.toContain('[DONE]')
  })

  it('of a target wins over that of its route', async () => {
    script = stall
    const { headers } = await stream('own')
    expect(headers['x-turnout-error']).toBe('first_token_timeout')
  })

  it('does not end a whole reply that takes its time before the headers', async () => {
    script = async (res) => {
      await new Promise((resolve) => setTimeout(resolve, 400))
      sendJson(res, 200, reply())
    }
    expect((await whole('first')).status).toBe(200)
  })

  it('ends a whole reply that stops after its headers', async () => {
    script = (res) => {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.write(' ')
      return stall(res)
    }
    const { headers, status } = await whole('idle')
    expect([status, headers['x-turnout-error']]).toEqual([504, 'idle_timeout'])
  })
})

describe('an error whose words do not come', () => {
  const begun = (status: number, res: ServerResponse): void => {
    res.writeHead(status, { 'content-type': 'application/json', 'retry-after': '7' })
    res.write('{"error":')
  }
  it.each([
    [429, 'rate_limited'],
    [500, 'server_error'],
    [400, 'bad_request'],
  ])('is what its status says: %s', async (status, code) => {
    script = (res) => {
      begun(status, res)
      return stall(res)
    }
    for (const ask of [whole, stream]) {
      const { headers, status: told } = await ask('idle')
      expect([told, headers['x-turnout-error']]).toEqual([status, code])
      if (status === 429) expect(headers['retry-after']).toBe('7')
      await expectAborted()
    }
  })

  it('nor does it wait for them where they come byte by byte, or its time is over', async () => {
    script = async (res) => {
      begun(429, res)
      const timer = setInterval(() => res.write(' '), 30)
      await stall(res)
      clearInterval(timer)
    }
    for (const model of ['idle', 'total']) {
      const { headers, status } = await whole(model)
      expect([status, headers['x-turnout-error']], model).toEqual([429, 'rate_limited'])
    }
  })
})

describe('idle', () => {
  it.each([
    ['nothing', ': x'],
    ['comments', ': keep-alive\n\n'],
    ['role chunks', event(roleChunk)],
    ['role chunks with empty content', event(chunk({ role: 'assistant', content: '' }))],
    ['empty content', event(chunk({ content: '' }))],
    ['chunks without choices', event({ ...chunk({}), choices: [] })],
  ])('takes %s for no progress', async (_what, text) => {
    script = pinging(text, content, content, content)
    const exchange = await stream('idle')
    expect(exchange.status).toBe(200)
    expect(JSON.parse(dataOf(exchange.text).at(-1)!).error.code).toBe('idle_timeout')
    expect(exchange.text).not.toContain('[DONE]')
    expect(exchange.complete).toBe(true)
    await expectAborted()
  })

  it('takes content, reasoning and tool arguments for progress, a character at a time, after any beginning', async () => {
    const kinds = [
      chunk({ content: 'x' }),
      chunk({ reasoning_content: 'x' }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: '1' } }] }),
    ]
    const begun = ['\n\n', '日本語', 'x'].flatMap((first) => kinds.map((data) => ({ first, data })))
    // All at once: each takes longer than the limit.
    const waiting = [...begun]
    script = async (res) => {
      const { first, data } = waiting.shift()!
      openSse(res)
      res.write(event(chunk({ content: first })))
      for (let piece = 0; piece < 8; piece++) {
        await new Promise((resolve) => setTimeout(resolve, 300))
        res.write(event(data))
      }
      res.end(ending)
    }
    const texts = await Promise.all(begun.map(async () => (await stream('lively')).text))
    for (const text of texts) expect(text.endsWith(ending), text.slice(-200)).toBe(true)
  })
})

describe('total', () => {
  it('ends everything: waiting, generating, whole replies', async () => {
    script = stall
    for (const ask of [whole, stream]) {
      const { status, headers } = await ask('total')
      expect([status, headers['x-turnout-error']]).toEqual([504, 'total_timeout'])
    }
    script = pinging(content)
    const { status, text } = await stream('longer')
    expect(status).toBe(200)
    expect(JSON.parse(dataOf(text).at(-1)!).error.code).toBe('total_timeout')
    expect(gateway.lines.at(-1)).toMatchObject({ outcome: 'partial', fault: 'total_timeout' })
  })
})
