// Clients that take nothing of their reply: their connection ends after `server.sendTimeout`, whatever is behind it; slow ones and waiting ones stay.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, expect, it } from 'vitest'
import { defaults } from '../src/config/defaults.ts'
import { type ListeningServer, listen } from '../src/http/server.ts'
import { ask, CHAT, chunk, event } from './support/chatBodies.ts'
import { openSse, pour, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, upstreamAt } from './support/gateway.ts'
import { openRaw, parseReply, rawPost } from './support/rawSocket.ts'

/** More than the buffers of both ends of a connection hold. */
const LONG = Buffer.alloc(64 * 1024 ** 2, 'x')
const LIMIT = 400
const GET = 'GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n'

let server: ListeningServer | undefined
afterEach(async () => {
  await server?.drain(0)
  server = undefined
})

const serve = async (
  listener: (req: IncomingMessage, res: ServerResponse) => void,
  sendTimeout = LIMIT,
): Promise<number> => {
  server = await listen(listener, { ...defaults.server, port: 0, sendTimeout })
  return server.port
}

/** A client that takes nothing, until its connection is ended: it has not got all. Returns when that was. */
async function takeNothing(port: number, gone: () => Promise<unknown> | undefined): Promise<number> {
  const raw = await openRaw(port)
  raw.socket.pause()
  raw.write(GET)
  await expect.poll(gone).toBeDefined()
  await gone()
  const at = performance.now()
  raw.socket.resume()
  expect((await raw.closed).length).toBeLessThan(LONG.length)
  return at
}

it('one that takes nothing of a whole reply is let go of', async () => {
  let gone: Promise<unknown> | undefined
  const port = await serve((_req, res) => {
    gone = once(res, 'close')
    res.end(LONG)
  })
  await takeNothing(port, () => gone)
})

it('the time counts anew where the reply has been long in coming', async () => {
  let gone: Promise<unknown> | undefined
  let begun = 0
  const port = await serve(async (_req, res) => {
    gone = once(res, 'close')
    // Nothing moves for longer than the limit: that is ours, not the client's.
    await pause(LIMIT * 2.5)
    begun = performance.now()
    res.end(LONG)
  })
  expect((await takeNothing(port, () => gone)) - begun).toBeGreaterThan(LIMIT * 0.9)
})

it('one that takes a little now and then gets all of it', async () => {
  // Far longer than it pauses: on a busy machine it does so for longer than it wants to.
  const limit = 1500
  const body = LONG.subarray(0, 8 * 1024 ** 2)
  const port = await serve((_req, res) => res.end(body), limit)
  const raw = await openRaw(port)
  const begun = performance.now()
  raw.write(GET.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'))
  let over = false
  void raw.closed.then(() => {
    over = true
  })
  while (!over) {
    raw.socket.pause()
    await Promise.race([pause(limit / 5), raw.closed])
    raw.socket.resume()
    const { length } = raw.text
    if (!over) await Promise.race([raw.until((text) => text.length > length + 512 * 1024), raw.closed]).catch(() => {})
  }
  expect(performance.now() - begun).toBeGreaterThan(limit * 2)
  expect(parseReply(await raw.closed).body.length).toBe(body.length)
})

it('an idle connection stays open for as long as `keepAliveTimeout` says', async () => {
  const port = await serve((_req, res) => res.end('here'))
  const raw = await openRaw(port)
  raw.write(GET)
  await raw.until((text) => text.endsWith('here'))
  await pause(LIMIT * 2.5)
  raw.write(GET)
  await raw.until((text) => text.split('here').length === 3)
  raw.close()
})

it('one that takes nothing of a stream frees the upstream', async () => {
  const piece = event(chunk({ content: 'x'.repeat(16 * 1024) }))
  const upstream = await startFakeUpstream(async (_req, res) => {
    openSse(res)
    await pour(res, piece)
  })
  const gateway = await startGateway({
    server: { sendTimeout: LIMIT },
    providers: { p: upstreamAt(upstream.url) },
    routes: { m: 'p/m' },
  })
  try {
    const raw = await openRaw(gateway.port)
    raw.socket.pause()
    raw.write(rawPost(CHAT, JSON.stringify(ask('m', { stream: true }))))
    await gateway.settled(1)
    expect(gateway.lines[0]).toMatchObject({ outcome: 'client_disconnected' })
    await upstream.waitFor(() => upstream.requests[0]?.done === true)
    raw.close()
  } finally {
    await gateway.close()
    await upstream.close()
  }
})
