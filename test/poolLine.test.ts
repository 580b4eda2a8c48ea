// The line for a socket of an upstream: in order, given up by whoever leaves, and free of charge for who never had one.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import dns from 'node:dns'
import { EventEmitter, once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { dialFaultOf } from '../src/gateway/dialFault.ts'
import { type Caller, createPools, type Pools } from '../src/gateway/pools.ts'
import { CHAT } from './support/chatBodies.ts'
import { type Sent, send } from './support/exchange.ts'
import { appKey, bearer, type LedgerGateway, simulatedPrices, startLedgerGateway } from './support/ledgerGateway.ts'

let books: LedgerGateway
beforeEach(async () => {
  books = await startLedgerGateway(
    {
      server: { connectionsPerOrigin: 1 },
      keys: [{ name: 'app', key: appKey }],
      prices: simulatedPrices,
      routes: {
        held: { targets: ['sim/sim-stall-mid-stream'], timeouts: { idle: '10m' } },
        next: { targets: ['sim/sim-fast'], timeouts: { total: '10m' } },
        hasty: { targets: ['sim/sim-fast'], timeouts: { total: '300ms' } },
        eager: { targets: ['sim/sim-fast'], timeouts: { firstToken: '300ms' }, retries: { attempts: 1 } },
      },
    },
    { simulator: { keepBodies: true } },
  )
})
afterEach(() => books.close())

const chat = (model: string, more: Record<string, unknown> = {}): Sent =>
  send(
    'POST',
    books.url + CHAT,
    { model, messages: [{ role: 'user', content: 'Which track?' }], ...more },
    bearer(appKey),
  )

/** Takes the only socket, for as long as the client of it stays. */
async function occupy(): Promise<Sent> {
  const sent = chat('held', { stream: true })
  sent.done.catch(() => {})
  // To be listened for at once: the bytes may come with the headers.
  await new Promise<void>((resolve) => {
    sent.request.once('response', (response) => response.once('data', () => resolve()))
  })
  return sent
}

const pool = async (): Promise<{ running: number; queued: number }> => {
  const { text } = await send('GET', `${books.url}/status`).done
  const [{ running, queued }] = JSON.parse(text).pools
  return { running, queued }
}

it('holds nothing of those who have left it, and they have cost nothing', async () => {
  const holder = await occupy()
  const waiting = Array.from({ length: 20 }, () => chat('next'))
  for (const { done } of waiting) done.catch(() => {})
  await expect.poll(pool).toEqual({ running: 1, queued: 20 })
  for (const { request } of waiting) request.destroy()
  await books.gateway.settled(20)
  expect(await pool()).toEqual({ running: 1, queued: 0 })
  holder.request.destroy()
  await books.gateway.settled(21)
  expect(books.simulator.calls.map(({ model }) => model)).toEqual(['sim-stall-mid-stream'])
  await books.ledger.flush()
  const rows = books.store.db.prepare("SELECT outcome, cost FROM requests WHERE route = 'next'").all()
  expect(rows).toEqual(Array.from({ length: 20 }, () => ({ outcome: 'client_disconnected', cost: 0 })))
})

it('lets all through in the order in which they came, when the socket is free', async () => {
  const holder = await occupy()
  const waiting: Sent[] = []
  for (let n = 0; n < 5; n++) {
    waiting.push(chat('next', { user: `user-${n}` }))
    await expect.poll(pool).toEqual({ running: 1, queued: n + 1 })
  }
  waiting[2]!.request.destroy()
  waiting[2]!.done.catch(() => {})
  await expect.poll(pool).toEqual({ running: 1, queued: 4 })
  holder.request.destroy()
  const replies = await Promise.all(waiting.filter((_, n) => n !== 2).map(({ done }) => done))
  expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  const users = books.simulator.calls.slice(1).map(({ body }) => JSON.parse(String(body)).user)
  expect(users).toEqual([0, 1, 3, 4].map((n) => `user-${n}`))
  expect(await pool()).toMatchObject({ queued: 0 })
})

it('holds nothing of those whose time is over either', async () => {
  const holder = await occupy()
  const { status, text } = await chat('hasty').done
  expect([status, JSON.parse(text).error.code]).toEqual([504, 'total_timeout'])
  expect(await pool()).toEqual({ running: 1, queued: 0 })
  holder.request.destroy()
  await books.gateway.settled(2)
  await books.ledger.flush()
  expect(books.store.db.prepare("SELECT cost FROM requests WHERE route = 'hasty'").pluck().get()).toBe(0)
})

it('shuts no target for the time that went by in it', async () => {
  const holder = await occupy()
  for (const route of ['hasty', 'eager']) {
    for (let n = 0; n < 5; n++) {
      const { status, text } = await chat(route, { stream: true }).done
      expect([status, JSON.parse(text).error.code]).toEqual([
        504,
        route === 'hasty' ? 'total_timeout' : 'first_token_timeout',
      ])
    }
  }
  holder.request.destroy()
  expect((await chat('next').done).status).toBe(200)
})

/** A call of the pools alone. When it is over, whoever has to do with it is told first. */
class Bare {
  onOver: (() => void) | undefined
  readonly started: Promise<void>
  readonly #told: (() => void) | undefined
  #start!: () => void

  constructor(told?: () => void) {
    this.#told = told
    this.started = new Promise((resolve) => {
      this.#start = resolve
    })
  }
  onRequestStart(): void {
    this.#start()
  }
  onResponseStart(): void {}
  onResponseData(): void {}
  onResponseEnd(): void {
    this.#over()
  }
  onResponseError(): void {
    this.#over()
  }
  #over(): void {
    const { onOver } = this
    this.onOver = undefined
    this.#told?.()
    onOver?.()
  }
}

it('a socket that could not be dialled holds up nobody: the next call takes one that is free, and not the line behind another', async () => {
  const held = new Map<string, ServerResponse>()
  const arrivals = new EventEmitter()
  const open = (port = 0) =>
    new Promise<Server>((resolve) => {
      const server = createServer((req, res) => {
        res.writeHead(200)
        res.write('x')
        held.set(req.url!, res)
        arrivals.emit(req.url!)
      }).listen(port, '127.0.0.1', () => resolve(server))
    })
  const first = await open()
  const { port } = first.address() as AddressInfo
  const pools = createPools(2)
  const servers = [first]
  const call = (name: string, told?: () => void): Bare => {
    const caller = new Bare(told)
    const request = { path: `/${name}`, method: 'POST' as const, headers: [], body: Buffer.from('{}') }
    pools.dispatch({ origin: `http://127.0.0.1:${port}` }, 1000, request, caller as unknown as Caller)
    return caller
  }
  const arrival = (name: string) => once(arrivals, `/${name}`)
  try {
    const one = arrival('1')
    call('1')
    await one
    // Nobody listens any more; the call that runs goes on.
    first.close()
    const three = arrival('3')
    let reopened: Promise<unknown> | undefined
    call('2', () => {
      reopened = open(port).then((server) => servers.push(server))
    })
    for (const name of ['3', '4', '5', '6']) call(name)
    await three
    await reopened
    const four = arrival('4')
    held.get('/3')!.end()
    await four
    const five = arrival('5')
    held.get('/1')!.end()
    // Not when 4 is over, which it never is.
    await five
  } finally {
    for (const response of held.values()) response.destroy()
    for (const server of servers) server.close()
  }
})

it('addresses that nobody calls any more are forgotten, and those with a call are not', async () => {
  let held: ServerResponse | undefined
  const server = createServer((req, res) => {
    if (req.url === '/held') held = res.writeHead(200, { 'x-held': 'yes' })
    else res.writeHead(200, { connection: 'close' }).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const pools = createPools(2)
  const call = (path: string, connectTimeout: number): Promise<void> =>
    new Promise((told) => {
      const request = { path, method: 'POST' as const, headers: [], body: Buffer.from('{}') }
      pools.dispatch({ origin }, connectTimeout, request, new Bare(told) as unknown as Caller)
    })
  const arrived = once(server, 'request')
  const last = call('/held', 1_000)
  await arrived
  // What tells two lines apart is the origin with its timeout.
  for (let n = 1; n <= 100; n++) await call('/', 1_000 + n)
  expect(pools.stats().length).toBeLessThan(80)
  expect(pools.stats().filter(({ running }) => running > 0)).toHaveLength(1)
  held!.end()
  await last
  await call('/', 1_001)
  await pools.close()
  server.close()
})

it('the first of two addresses has more than a moment: the other one may be dead', async () => {
  const gate = new Int32Array(new SharedArrayBuffer(4))
  // The system takes two connections for it until it looks, and lets the next one knock again after a second.
  const server = new Worker(
    `const { parentPort, workerData: gate } = require('node:worker_threads')
    const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      parentPort.postMessage(server.address().port)
      Atomics.wait(gate, 0, 0)
    })`,
    { eval: true, workerData: gate },
  )
  const [port] = await once(server, 'message')
  const before = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
  const open = (): void => {
    Atomics.store(gate, 0, 1)
    Atomics.notify(gate, 0)
  }
  const addresses = [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ]
  type Told = (error: null, found: typeof addresses) => void
  const lookup = vi.spyOn(dns, 'lookup').mockImplementation(((_name: string, _options: object, told: Told) => {
    told(null, addresses)
    setImmediate(open)
  }) as never)
  const pools = createPools(1)
  try {
    await Promise.all(before.map((socket) => once(socket, 'connect')))
    const began = await new Promise<boolean>((resolve) => {
      const caller = new Bare(() => resolve(false))
      void caller.started.then(() => resolve(true))
      const request = { path: '/', method: 'POST' as const, headers: [], body: Buffer.from('{}') }
      pools.dispatch({ origin: `http://two.test:${port}` }, 20_001, request, caller as unknown as Caller)
    })
    expect([lookup.mock.calls.length, began]).toEqual([1, true])
  } finally {
    lookup.mockRestore()
    for (const socket of before) socket.destroy()
    open()
    await server.terminate()
    await pools.close()
  }
})

describe("a reply whose end is the connection's, and that nobody takes", () => {
  let server: TcpServer
  let vendors: Socket
  let pools: Pools
  beforeEach(async () => {
    server = createTcpServer((opened) => {
      vendors = opened.on('error', () => {})
      opened.once('data', () => opened.write('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nfirst'))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    pools = createPools(1)
  })
  afterEach(async () => {
    server.close()
    await pools.close()
  })

  /** Pauses after the first piece, and resolves with what came, and with the error that it ended with. */
  function take(onFirst: () => void, onSecond: () => void): Promise<{ pieces: string[]; error?: Error }> {
    const pieces: string[] = []
    return new Promise((resolve) => {
      const caller = {
        onRequestStart() {},
        onResponseStart() {},
        onResponseData(controller: { pause(): void }, piece: Buffer) {
          pieces.push(piece.toString())
          if (pieces.length === 2) return onSecond()
          queueMicrotask(() => {
            controller.pause()
            onFirst()
          })
        },
        onResponseEnd: () => resolve({ pieces }),
        onResponseError: (_controller: unknown, error: Error) => resolve({ pieces, error }),
      }
      const request = { path: '/', method: 'POST' as const, headers: [], body: Buffer.from('{}') }
      pools.dispatch(
        { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` },
        1000,
        request,
        caller as never,
      )
    })
  }

  it('is cut where the connection breaks, and the process goes on', async () => {
    const { pieces, error } = await take(
      () => void vendors.write('second'),
      () => void vendors.resetAndDestroy(),
    )
    expect(pieces).toEqual(['first', 'second'])
    expect(dialFaultOf(error!, { sent: true, responded: true }).kind).toBe('cut')
  })

  it('is whole where the connection ends with its last bytes', async () => {
    let own: Socket | undefined
    const dialled = (message: unknown): void => {
      own = (message as { socket: Socket }).socket
    }
    subscribe('net.client.socket', dialled)
    try {
      // As TLS hands over the last record and the end: in one turn.
      const ends = (): void => {
        own!.push('second')
        own!.push(null)
      }
      expect(await take(ends, () => {})).toEqual({ pieces: ['first', 'second'] })
    } finally {
      unsubscribe('net.client.socket', dialled)
    }
  })
})
