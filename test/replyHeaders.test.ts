// What replies carry beside their body: the vendor's headers whole and once, the cost on errors too, the bypass.
import { afterEach, expect, it } from 'vitest'
import { startSimulator } from '../src/simulator/index.ts'
import { ask, CHAT, reply } from './support/chatBodies.ts'
import { post } from './support/exchange.ts'
import { startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, upstreamAt } from './support/gateway.ts'
import { findQuietPort } from './support/quietPort.ts'

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})

const keep = <One extends { close(): Promise<void> }>(one: One): One => {
  open.push(one)
  return one
}

it("passes a vendor's headers as far as clients can read them, and the reply in any case", async () => {
  const upstream = keep(
    await startFakeUpstream((_req, res) => {
      for (let n = 0; n < 3; n++) res.setHeader(`x-long-${n}`, 'é'.repeat(2_000))
      for (let n = 0; n < 900; n++) res.setHeader(`x-short-${n}`, 'x'.repeat(20))
      res.setHeader('x-last', '1')
      res.writeHead(200, { 'content-type': 'application/json' })
      res.end(JSON.stringify(reply('read')))
    }),
  )
  const gateway = keep(await startGateway({ providers: { p: upstreamAt(upstream.url) }, routes: { chat: 'p/m' } }))
  // Node's client takes 16 KB.
  const { text, headers } = await post(`${gateway.url}${CHAT}`, ask('chat'))
  expect(text).toContain('read')
  expect(headers).toHaveProperty('x-short-0')
  expect(Object.keys(headers).filter((name) => name.startsWith('x-short-')).length).toBeGreaterThan(100)
})

it("passes a vendor's long header whole, and says once how a stream may be cached", async () => {
  const long = 'x'.repeat(3_000)
  const upstream = keep(
    await startFakeUpstream((_req, res) => {
      res.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-cache, must-revalidate',
        'x-vendor-note': long,
      })
      res.end(
        'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
      )
    }),
  )
  const gateway = keep(await startGateway({ providers: { p: upstreamAt(upstream.url) }, routes: { chat: 'p/m' } }))
  const { headers } = await post(`${gateway.url}${CHAT}`, ask('chat', { stream: true }))
  expect(headers['x-vendor-note']).toBe(long)
  expect(headers['cache-control']).toBe('no-cache')
})

it('tells the cost of a request that failed, and nothing of one that nobody was asked for', async () => {
  const simulator = keep(await startSimulator({ scripts: { a: { fault: { kind: 'status', status: 500 } } } }))
  const gateway = keep(await startGateway({ providers: { up: upstreamAt(simulator.url) }, routes: { chat: 'up/a' } }))
  const failed = await post(`${gateway.url}${CHAT}`, ask('chat'))
  expect(failed.status).toBe(500)
  expect(failed.headers).toMatchObject({ 'x-turnout-cost-usd': '0' })
  const refused = await post(`${gateway.url}${CHAT}`, ask('nowhere'))
  expect(refused.status).toBe(404)
  expect(Object.keys(refused.headers).filter((name) => name.startsWith('x-turnout-cost'))).toEqual([])
})

it('marks what was answered while the bypass is on', async () => {
  const simulator = keep(await startSimulator({}))
  const gateway = keep(await startGateway({ providers: { up: upstreamAt(simulator.url) }, routes: { chat: 'up/a' } }))
  const call = () => post(`${gateway.url}${CHAT}`, ask('chat'))
  expect((await call()).headers['x-turnout-bypass']).toBeUndefined()
  gateway.turnout.swap({ ...gateway.turnout.snapshot, bypass: true })
  expect((await call()).headers['x-turnout-bypass']).toBe('on')
})

it('asks a gateway that found itself in a circle once, and then the next target', async () => {
  const circle = keep(
    await startFakeUpstream((_req, res) => {
      res
        .writeHead(508, { 'content-type': 'application/json' })
        .end('{"error":{"message":"a circle","code":"loop_detected"}}')
    }),
  )
  const simulator = keep(await startSimulator({}))
  const gateway = keep(
    await startGateway({
      providers: { other: upstreamAt(circle.url), up: upstreamAt(simulator.url) },
      routes: {
        alone: { targets: ['other/m'], retries: { attempts: 3, baseDelay: '1ms', budget: 10 } },
        chat: ['other/m', 'up/m'],
      },
    }),
  )
  expect((await post(`${gateway.url}${CHAT}`, ask('alone'))).status).toBe(508)
  expect(circle.requests).toHaveLength(1)
  const reply = await post(`${gateway.url}${CHAT}`, ask('chat'))
  expect(reply.headers).toMatchObject({ 'x-turnout-provider': 'up', 'x-turnout-attempts': '2' })
})

it('goes on answering for a while after it said that it is not ready', async () => {
  const simulator = keep(await startSimulator({}))
  const gateway = await startGateway({
    server: { drainDelay: '8s', port: await findQuietPort() },
    providers: { up: upstreamAt(simulator.url) },
    routes: { chat: 'up/a' },
  })
  const closed = gateway.close()
  const ready = await fetch(`${gateway.url}/health/ready`)
  expect(ready.status).toBe(503)
  const reply = await post(`${gateway.url}${CHAT}`, ask('chat'))
  expect(reply.status).toBe(200)
  expect(reply.headers.connection).toBe('close')
  await closed
  await expect(fetch(`${gateway.url}/health/live`)).rejects.toThrow()
})
