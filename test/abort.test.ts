// A client that leaves stops the upstream at once, in every phase, and leaves one line in the log; a slow one slows the upstream down.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ask, CHAT, chunk, DONE, event, finishChunk, reply, roleChunk } from './support/chatBodies.ts'
import { type Exchange, post, type Sent, send } from './support/exchange.ts'
import { type FakeUpstream, openSse, sendJson, stall, startFakeUpstream } from './support/fakeUpstream.ts'
import { single } from './support/freshTargets.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'
import { openRaw, rawPost } from './support/rawSocket.ts'

let upstream: FakeUpstream
let gateway: TestGateway
let script: (res: ServerResponse) => void | Promise<void>

beforeAll(async () => {
  upstream = await startFakeUpstream((_req, res) => script(res))
  gateway = await startGateway({
    ...single,
    providers: { p: upstreamAt(upstream.url) },
    routes: { m: ['p/m', 'p/second'] },
  })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

let lines = 0
let calls = 0
beforeEach(() => {
  lines = gateway.lines.length
  calls = upstream.requests.length
})

/** Starts a request and waits until the upstream has it. */
async function begun(more: Record<string, unknown> = {}): Promise<Sent> {
  const sent = send('POST', gateway.url + CHAT, ask('m', more))
  await upstream.waitFor(() => upstream.requests.length > calls)
  return sent
}

/** Starts a stream and waits until its first bytes are with the client. */
async function streaming(): Promise<Sent> {
  const sent = send('POST', gateway.url + CHAT, ask('m', { stream: true }))
  // To be listened for at once: the bytes may come with the headers.
  await new Promise<void>((resolve) => {
    sent.request.once('response', (response) => response.once('data', () => resolve()))
  })
  return sent
}

/** What must be true after a client has left: the upstream learnt it, one line says so, nothing else was tried. */
async function expectGone(sent: { done: Promise<Exchange> } | undefined, reached = true): Promise<void> {
  if (reached) {
    const seen = upstream.requests[calls]!
    await upstream.waitFor((request) => request === seen && request.done)
    expect(seen.closedEarly).toBe(true)
  }
  await gateway.settled(lines + 1)
  await sent?.done
  // Whatever is still to come would come with the next request.
  script = (res) => sendJson(res, 200, reply())
  expect((await post(gateway.url + CHAT, ask())).status).toBe(200)
  expect(gateway.lines.slice(lines).map(({ outcome, status }) => [outcome, status])).toEqual([
    ['client_disconnected', 499],
    ['ok', 200],
  ])
  expect(upstream.requests.length).toBe(calls + (reached ? 2 : 1))
  expect(gateway.metrics.inFlight).toBe(0)
}

describe('a client that leaves', () => {
  it('while it sends its headers is no request at all', async () => {
    const raw = await openRaw(gateway.port)
    raw.write('POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-')
    raw.close()
    await raw.closed
    script = (res) => sendJson(res, 200, reply())
    expect((await post(gateway.url + CHAT, ask())).status).toBe(200)
    expect(gateway.lines.slice(lines)).toHaveLength(1)
  })

  it('while it sends its body', async () => {
    for (const how of ['end', 'reset'] as const) {
      lines = gateway.lines.length
      calls = upstream.requests.length
      const raw = await openRaw(gateway.port)
      raw.write(rawPost(CHAT, JSON.stringify(ask('m', { pad: 'x'.repeat(100_000) }))).slice(0, -50_000))
      if (how === 'reset') raw.socket.resetAndDestroy()
      else raw.close()
      await expectGone(undefined, false)
    }
  })

  it('while the connection to the upstream is being made', async () => {
    // Each pool has sockets for so many at once; who comes after waits for one.
    const narrow = await startGateway({
      ...single,
      server: { connectionsPerOrigin: 1 },
      providers: { p: upstreamAt(upstream.url) },
      routes: { m: 'p/m' },
    })
    try {
      let free = (): void => {}
      script = async (res) => {
        await new Promise<void>((resolve) => {
          free = resolve
        })
        sendJson(res, 200, reply())
      }
      const first = send('POST', narrow.url + CHAT, ask())
      await upstream.waitFor(() => upstream.requests.length > calls)
      const second = send('POST', narrow.url + CHAT, ask())
      while (narrow.turnout.snapshot && narrow.metrics.inFlight < 2)
        await new Promise((resolve) => setImmediate(resolve))
      second.request.destroy()
      await narrow.settled(1)
      expect(narrow.lines[0]).toMatchObject({ outcome: 'client_disconnected' })
      free()
      expect((await first.done).status).toBe(200)
      expect(upstream.requests.length).toBe(calls + 1)
    } finally {
      await narrow.close()
    }
  })

  for (const [what, more] of [
    ['a whole reply', {}],
    ['a stream', { stream: true }],
  ] as const) {
    it(`before the upstream's headers, of ${what}`, async () => {
      script = stall
      const sent = await begun(more)
      sent.request.destroy()
      await expectGone(sent)
    })
  }

  it('while it waits for a whole reply whose headers have come', async () => {
    script = (res) => {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.write('{"id":')
      return stall(res)
    }
    const sent = await begun()
    sent.request.destroy()
    await expectGone(sent)
  })

  it('before the first token', async () => {
    for (const early of [[], [event(roleChunk)], [': ping\n\n']]) {
      lines = gateway.lines.length
      calls = upstream.requests.length
      script = (res) => {
        openSse(res)
        for (const text of early) res.write(text)
        return stall(res)
      }
      const sent = await begun({ stream: true })
      sent.request.destroy()
      await expectGone(sent)
    }
  })

  it('in the middle of a stream', async () => {
    script = (res) => {
      openSse(res)
      res.write(event(roleChunk) + event(chunk({ content: 'a' })))
      return stall(res)
    }
    const sent = await streaming()
    sent.request.destroy()
    await expectGone(sent)
    const line = gateway.lines[lines]!
    expect(line).toMatchObject({ stream: true, attempts: 1, target: 'p/m' })
    expect(line.fault).toBeUndefined()
  })

  it('between the finish and the end', async () => {
    script = (res) => {
      openSse(res)
      res.write(event(chunk({ content: 'a' })) + event(finishChunk()))
      return stall(res)
    }
    const sent = await streaming()
    sent.request.destroy()
    await expectGone(sent)
  })

  it('while an error body is read', async () => {
    script = (res) => {
      res.writeHead(500, { 'content-type': 'application/json' })
      res.write('{"error":')
      return stall(res)
    }
    const sent = await begun()
    sent.request.destroy()
    await expectGone(sent)
  })

  it('by a reset, by an end, or by closing its half of the connection', async () => {
    for (const how of ['resetAndDestroy', 'destroy', 'end'] as const) {
      lines = gateway.lines.length
      calls = upstream.requests.length
      script = stall
      const raw = await openRaw(gateway.port)
      raw.write(rawPost(CHAT, JSON.stringify(ask())))
      await upstream.waitFor(() => upstream.requests.length > calls)
      raw.socket[how]()
      await expectGone(undefined)
    }
  })

  it('does not take others on the same upstream with it', async () => {
    const open: ServerResponse[] = []
    script = (res) => {
      openSse(res)
      res.write(event(chunk({ content: 'a' })))
      open.push(res)
      return stall(res)
    }
    const sents = await Promise.all(Array.from({ length: 20 }, streaming))
    for (const [index, sent] of sents.entries()) if (index % 2 === 0) sent.request.destroy()
    await gateway.settled(lines + 10)
    for (const res of open) if (!res.destroyed) res.end(event(finishChunk()) + DONE)
    const ends = await Promise.all(sents.map(({ done }) => done))
    expect(ends.filter(({ text }) => text.endsWith(DONE))).toHaveLength(10)
    await gateway.settled(lines + 20)
    const outcomes = gateway.lines.slice(lines).map(({ outcome }) => outcome)
    expect(outcomes.sort()).toEqual([...Array(10).fill('client_disconnected'), ...Array(10).fill('ok')])
    await upstream.waitFor(() => upstream.requests.every(({ done }) => done))
    expect(gateway.turnout.snapshot.version).toBe(1)
  })
})

describe('a slow client', () => {
  const PIECE = event(chunk({ content: 'x'.repeat(16 * 1024) }))

  it('holds the upstream back, and gets everything in the end', async () => {
    let written = 0
    let stopped = false
    let ended = false
    const TOTAL = 4_000
    script = async (res) => {
      openSse(res)
      for (let piece = 0; piece < TOTAL && !stopped; piece++) {
        written += PIECE.length
        if (!res.write(PIECE)) await once(res, 'drain')
      }
      ended = true
      res.end(event(finishChunk()) + DONE)
    }
    const raw = await openRaw(gateway.port)
    raw.socket.pause()
    raw.write(rawPost(CHAT, JSON.stringify(ask('m', { stream: true })), ['connection: close']))
    await upstream.waitFor(() => upstream.requests.length > calls)
    // The upstream goes on until all buffers between are full, and then stands still: its progress ceases while the client reads nothing.
    let before = -1
    while (written !== before) {
      before = written
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
    expect(ended).toBe(false)
    expect(written).toBeLessThan(TOTAL * PIECE.length * 0.6)
    stopped = true
    raw.socket.resume()
    const text = await raw.closed
    expect(text).toContain(DONE)
    expect(text.split(PIECE).length - 1).toBe(written / PIECE.length)
    await gateway.settled(lines + 1)
    expect(gateway.lines[lines]).toMatchObject({ outcome: 'ok' })
  })

  it('is not taken for a stalled upstream', async () => {
    const patient = await startGateway({
      ...single,
      providers: { p: upstreamAt(upstream.url) },
      routes: { m: { targets: ['p/m'], timeouts: { firstToken: '40s', idle: '2s' } } },
    })
    try {
      script = async (res) => {
        openSse(res)
        for (let piece = 0; piece < 1_500; piece++) if (!res.write(PIECE)) await once(res, 'drain')
        res.end(event(finishChunk()) + DONE)
      }
      const raw = await openRaw(patient.port)
      raw.socket.pause()
      raw.write(rawPost(CHAT, JSON.stringify(ask('m', { stream: true })), ['connection: close']))
      // Longer than the idle limit, which must not run while the client is what holds things up.
      await new Promise((resolve) => setTimeout(resolve, 2_500))
      expect(patient.lines).toEqual([])
      raw.socket.resume()
      const text = await raw.closed
      expect(text.split(PIECE).length - 1).toBe(1_500)
      expect(text).toContain(DONE)
      expect((await patient.settled(1))[0]).toMatchObject({ outcome: 'ok' })
    } finally {
      await patient.close()
    }
  })

  it('that leaves while it holds the upstream back frees it', async () => {
    script = async (res) => {
      openSse(res)
      const more = (): void => {
        while (!res.destroyed && res.write(PIECE));
      }
      res.on('drain', more)
      more()
      await stall(res)
    }
    const raw = await openRaw(gateway.port)
    raw.socket.pause()
    raw.write(rawPost(CHAT, JSON.stringify(ask('m', { stream: true }))))
    await upstream.waitFor(() => upstream.requests.length > calls)
    await new Promise((resolve) => setTimeout(resolve, 300))
    raw.close()
    await expectGone(undefined)
  })

  it('that sends its body slowly is waited for', async () => {
    script = (res) => sendJson(res, 200, reply())
    const text = rawPost(CHAT, JSON.stringify(ask()), ['connection: close'])
    const raw = await openRaw(gateway.port)
    for (let at = 0; at < text.length; at += 40) {
      raw.write(text.slice(at, at + 40))
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(await raw.closed).toContain('"hello"')
  })
})
