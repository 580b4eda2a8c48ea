// Small pieces of a stream are not held back on their way: Nagle's algorithm is off. Another gateway lost 40 ms a piece to it.
import { once } from 'node:events'
import { Agent, createServer, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ask, CHAT, chunk, DONE, event, finishChunk, roleChunk } from './support/chatBodies.ts'
import { type FakeUpstream, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'

/** Enough for a median; each is a request on the same connection, because only then does the kernel delay acknowledgements. */
const requests = 15

let upstream: FakeUpstream
let gateway: TestGateway

beforeAll(async () => {
  upstream = await startFakeUpstream((_req, res) => writePieces(res))
  gateway = await startGateway({ providers: { p: upstreamAt(upstream.url) }, routes: { m: 'p/m' } })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

it('C9 small chunks of a stream reach the client without the delay that a socket without TCP_NODELAY shows', async () => {
  const plain = createServer({ noDelay: false }, (_req, res) => void writePieces(res))
  plain.listen(0, '127.0.0.1')
  await once(plain, 'listening')
  let delayed = 0
  let ours = Number.POSITIVE_INFINITY
  // With Nagle's algorithm ours would be late in every round; a busy machine is late in some.
  for (let round = 0; round < 20 && !(delayed > 30 && ours < delayed / 2); round++) {
    delayed = median(await largestGaps((plain.address() as AddressInfo).port))
    ours = median(await largestGaps(gateway.port))
  }
  plain.closeAllConnections()
  plain.close()
  expect(delayed, 'the instrument sees the delay').toBeGreaterThan(30)
  expect(ours).toBeLessThan(delayed / 2)
})

/** Three small writes with a moment between them: the second waits for the acknowledgement of the first where Nagle is on. */
async function writePieces(res: ServerResponse): Promise<void> {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  res.write(event(roleChunk) + event(chunk({ content: 'one' })))
  await wait(2)
  res.write(event(chunk({ content: 'two' })))
  await wait(2)
  res.end(event(finishChunk()) + DONE)
}

/** Of each stream the longest wait between two pieces, in milliseconds. */
async function largestGaps(port: number): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const gaps: number[] = []
  for (let i = 0; i < requests; i++) gaps.push(await largestGap(port, agent))
  agent.destroy()
  return gaps
}

function largestGap(port: number, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const req = request({ port, host: '127.0.0.1', path: CHAT, method: 'POST', headers, agent }, (res) => {
      let last: number | undefined
      let largest = 0
      res.on('data', () => {
        const now = performance.now()
        if (last !== undefined) largest = Math.max(largest, now - last)
        last = now
      })
      res.on('end', () => resolve(largest))
      res.on('error', reject)
    })
    req.on('error', reject)
    req.end(JSON.stringify(ask('m', { stream: true })))
  })
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}
