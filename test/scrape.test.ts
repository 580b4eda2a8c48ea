// A scrape of more than 10,000 series delays no request: it is written in slices, and requests are answered between them.
import { EventEmitter, once } from 'node:events'
import { Agent, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { answerScrape } from '../src/http/scrape.ts'
import { ask, CHAT, reply } from './support/chatBodies.ts'
import { type FakeUpstream, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'
import { longestTurn } from './support/mainThread.ts'
import { seriesOf } from './support/scene.ts'

const routes = Array.from({ length: 32 }, (_, n) => `route-${n}`)

let upstream: FakeUpstream
let gateway: TestGateway
beforeAll(async () => {
  upstream = await startFakeUpstream((_req, res) => {
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(JSON.stringify(reply()))
  })
  gateway = await startGateway({
    providers: { p: upstreamAt(upstream.url) },
    routes: Object.fromEntries(routes.map((route, n) => [route, [`p/model-${n}`, `p/other-${n}`]])),
  })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

/** Clients that ask without a pause, each on a connection of its own, until `stop` is called. */
function startTraffic(clients: number): { readonly ended: number; stop(): Promise<void> } {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  let begun = 0
  let ended = 0
  let isOver = false
  const all = Array.from({ length: clients }, async () => {
    while (!isOver) {
      expect(await chat(agent, routes[begun++ % routes.length]!)).toBe(200)
      ended++
    }
  })
  return {
    get ended() {
      return ended
    },
    async stop() {
      isOver = true
      await Promise.all(all)
      agent.destroy()
    },
  }
}

async function chat(agent: Agent, model: string): Promise<number | undefined> {
  const headers = { 'content-type': 'application/json' }
  const sent = request({ agent, port: gateway.port, host: '127.0.0.1', path: CHAT, method: 'POST', headers })
  sent.end(JSON.stringify(ask(model)))
  const [res] = (await once(sent, 'response')) as [IncomingMessage]
  res.resume()
  await once(res, 'end')
  return res.statusCode
}

/** The page as Prometheus gets it. */
async function scrape(): Promise<string> {
  const sent = request({ agent: false, port: gateway.port, host: '127.0.0.1', path: '/metrics' }).end()
  const [res] = (await once(sent, 'response')) as [IncomingMessage]
  let page = ''
  for await (const piece of res.setEncoding('utf8')) page += piece
  return page
}

describe('a scrape of more than 10,000 series', () => {
  it('has as many', async () => {
    expect(seriesOf(await scrape()).size).toBeGreaterThan(10_000)
  })

  it('lets requests come, be answered and go between its slices', async () => {
    const clients = 8
    const traffic = startTraffic(clients)
    // Both ends of a scrape are seen in this process: what is counted between them has happened between two slices of it.
    let answered = 0
    let whole = 0
    let scrapes = 0
    for (; scrapes < 500 && whole < 50; scrapes++) {
      const { ended } = traffic
      let isWritten = false
      const page = gateway.metrics.expose().finally(() => {
        isWritten = true
      })
      expect(isWritten).toBe(false)
      await page
      answered += traffic.ended - ended
      // No more than one for each client had begun before the scrape.
      whole += Math.max(0, traffic.ended - ended - clients)
    }
    await traffic.stop()
    expect(answered).toBeGreaterThan(50)
    // Sent, forwarded and answered while one page was written.
    expect(whole, `of ${scrapes} scrapes`).toBeGreaterThanOrEqual(50)
  }, 300_000)

  it('holds the event loop for less than 10 ms at a time, the page on its way to the client included', async () => {
    const turns: number[] = []
    for (let round = 0; round < 10 || (round < 60 && Math.min(...turns) >= 10); round++)
      turns.push(await longestTurn(scrape))
    // The best of several: in some the collector of garbage cleans up behind others.
    expect(Math.min(...turns)).toBeLessThan(10)
  })

  it('is handed to the connection as its reader takes it, and no more once it has gone', async () => {
    const { snapshot } = gateway.turnout
    const written: string[] = []
    const res = Object.assign(new EventEmitter(), {
      destroyed: false,
      writeHead: () => {},
      write: (piece: Buffer) => written.push(piece.toString()) < 0,
      end: () => written.push('end'),
    }) as unknown as ServerResponse
    const pieces = ['a', 'b', 'c'].map((text) => Buffer.from(text))
    const req = { method: 'GET', headers: {} } as IncomingMessage
    const done = answerScrape(req, res, snapshot, async () => ({ contentType: 'text/plain', pieces }))
    await nextTurn()
    expect(written).toEqual(['a'])
    res.emit('drain')
    await nextTurn()
    expect(written).toEqual(['a', 'b'])
    res.emit('close')
    await done
    expect(written).toEqual(['a', 'b', 'end'])
  })

  it('is in slices, however few series each of its metrics has', async () => {
    // Each of its metrics alone has fewer lines than a slice: together they are several slices.
    let turns = 0
    let isOver = false
    const count = (): void => {
      turns++
      if (!isOver) setImmediate(count)
    }
    const lines = (await gateway.metrics.expose()).body.split('\n').length
    setImmediate(count)
    await gateway.metrics.expose()
    isOver = true
    expect(turns).toBeGreaterThanOrEqual(Math.floor(lines / 450))
  })
})
