// The slow, complete stop of the server: what runs is finished to the last byte, who is about to ask is answered, and nothing idle is waited for.
import { once } from 'node:events'
import { Agent, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { afterEach, expect, it } from 'vitest'
import { defaults } from '../src/config/defaults.ts'
import { type ListeningServer, listen } from '../src/http/server.ts'
import { findQuietPort } from './support/quietPort.ts'

const settings = { ...defaults.server, port: 0, trustedProxies: [], corsOrigins: [] }
/** Far less than the 75 s for which an idle connection is kept, far more than the tests need. */
const bound = 60_000

let server: ListeningServer
const agents: Agent[] = []
afterEach(async () => {
  for (const agent of agents.splice(0)) agent.destroy()
  await server.drain(0)
})

it('lets a reply under way come to its end, then closes the connection although it was to be kept', async () => {
  let reply: ServerResponse | undefined
  server = await listen((_req, res) => {
    reply = res
    res.write('first, ')
  }, settings)
  const response = await get()
  const drained = server.drain(bound)
  reply?.end('last')
  expect(String(await buffer(response))).toBe('first, last')
  expect(await timed(drained)).toEqual({ value: 0, soon: true })
})

it('answers what a client sends next on a connection that a reply has promised to keep, and says that it is the last', async () => {
  const replies: ServerResponse[] = []
  server = await listen((req, res) => {
    if (req.url === '/next') return void res.end('after')
    replies.push(res)
    res.write('first, ')
  }, settings)
  const socket = connect(server.port, '127.0.0.1')
  let text = ''
  const asks = (path: string) => socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const seen = (part: string) =>
    new Promise<void>((resolve) => {
      const look = () => text.includes(part) && resolve()
      socket.on('data', look)
      look()
    })
  socket.on('data', (piece) => {
    text += piece
  })
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  asks('/')
  await seen('first, ')
  const drained = server.drain(bound)
  // The drain takes three turns before it looks at its connections for good.
  for (let turns = 0; turns < 6; turns++) await new Promise((resolve) => setImmediate(resolve))
  replies[0]!.end('last')
  await seen('0\r\n\r\n')
  asks('/next')
  await closed
  const [first, next] = text.split(/(?=HTTP\/1\.1 200)/)
  expect(first).toMatch(/connection: keep-alive/i)
  expect(next).toMatch(/connection: close.*after$/is)
  expect(await timed(drained)).toEqual({ value: 0, soon: true })
})

it('tells a client whose reply has not begun not to send its next request on this connection', async () => {
  let arrived: (reply: ServerResponse) => void
  const asked = new Promise<ServerResponse>((resolve) => {
    arrived = resolve
  })
  server = await listen((_req, res) => arrived(res), settings)
  const response = get()
  const reply = await asked
  const drained = server.drain(bound)
  reply.end('done')
  const { headers } = await response
  expect(headers.connection).toBe('close')
  expect(String(await buffer(await response))).toBe('done')
  expect(await timed(drained)).toEqual({ value: 0, soon: true })
})

it('waits for a client that reads slowly', async () => {
  // More than the buffers of both sockets hold.
  const size = 24 * 1024 * 1024
  server = await listen((_req, res) => {
    res.writeHead(200, { 'content-length': size })
    res.end(Buffer.alloc(size, 'x'))
  }, settings)
  const response = await get()
  const drained = server.drain(bound)
  expect((await buffer(response)).length).toBe(size)
  expect(await timed(drained)).toEqual({ value: 0, soon: true })
})

it('answers what has come before it and was not read yet, on a kept connection and on a new one', async () => {
  server = await listen((req, res) => void res.end(req.url), settings)
  const head = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
  const kept = connect(server.port, '127.0.0.1')
  kept.write(head('/first'))
  await once(kept, 'data')
  const fresh = connect(server.port, '127.0.0.1')
  await once(fresh, 'connect')
  const answers = [kept, fresh].map((socket) => buffer(socket))
  // In the hands of the system when the drain begins.
  kept.write(head('/second'))
  fresh.write(head('/third'))
  const drained = server.drain(bound)
  const [second, third] = await Promise.all(answers)
  expect([String(second), String(third)]).toEqual([
    expect.stringMatching(/^HTTP\/1\.1 200 .*\/second/s),
    expect.stringMatching(/^HTTP\/1\.1 200 .*\/third/s),
  ])
  expect(await timed(drained)).toEqual({ value: 0, soon: true })
})

it('answers a queue of clients that have connected, and each that is about to ask', async () => {
  server = await listen((req, res) => void res.end(req.url), settings)
  const kept = connect(server.port, '127.0.0.1')
  kept.write('GET /first HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(kept, 'data')
  const fresh = Array.from({ length: 40 }, () => connect(server.port, '127.0.0.1'))
  // The system has taken them all in; of ours, each turn takes in one.
  await Promise.all(fresh.map((socket) => once(socket, 'connect')))
  const clients = [kept, ...fresh]
  const answers = clients.map((socket) => buffer(socket).catch((error) => error.code))
  const ask = (socket: Socket, n: number) => socket.write(`GET /${n} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const asksLate = (n: number) => n % 2 === 0
  for (const [n, socket] of clients.entries()) if (!asksLate(n)) ask(socket, n)
  const drained = server.drain(bound)
  // The drain has looked at all of them before.
  for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve))
  for (const [n, socket] of clients.entries()) if (asksLate(n)) ask(socket, n)
  const texts = (await Promise.all(answers)).map(String)
  expect(texts).toEqual(clients.map((_, n) => expect.stringMatching(new RegExp(`^HTTP/1\\.1 200 .*/${n}$`, 's'))))
  expect(await timed(drained)).toEqual({ value: 0, soon: true })
})

it('does not wait for connections that are idle', async () => {
  server = await listen((_req, res) => void res.end('done'), settings)
  await buffer(await get())
  expect(await timed(server.drain(bound))).toEqual({ value: 0, soon: true })
})

it('takes no new connection', async () => {
  // One that nobody else gets in the moment between.
  server = await listen((_req, res) => void res.end('done'), { ...settings, port: await findQuietPort() })
  await server.drain(bound)
  const [error] = await once(connect(server.port, '127.0.0.1'), 'error')
  expect(error).toMatchObject({ code: 'ECONNREFUSED' })
})

it('cuts off what does not end in time, and counts it', async () => {
  server = await listen((_req, res) => void res.write('first, '), settings)
  const response = await get()
  const cut = server.drain(50)
  await expect(buffer(response)).rejects.toMatchObject({ code: 'ECONNRESET' })
  expect(await cut).toBe(1)
})

/** A response on a connection that the client would keep. */
async function get(): Promise<IncomingMessage> {
  const agent = new Agent({ keepAlive: true })
  agents.push(agent)
  const [response] = await once(request(server.url, { agent }).end(), 'response')
  return response
}

async function timed<T>(promise: Promise<T>): Promise<{ value: T; soon: boolean }> {
  const start = performance.now()
  const value = await promise
  return { value, soon: performance.now() - start < bound / 2 }
}
