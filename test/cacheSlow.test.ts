// Clients that share a stream and take it slowly: nobody's share of it grows in memory, and what waits for room waits once.
import { once } from 'node:events'
import { expect, it, onTestFinished } from 'vitest'
import { startCacheGateway } from './support/cacheGateway.ts'
import { ask, CHAT, chunk, DONE, event, finishChunk } from './support/chatBodies.ts'
import { openSse } from './support/fakeUpstream.ts'
import { openRaw, parseReply, type RawSocket, rawPost } from './support/rawSocket.ts'

const CONTENT = 'x'.repeat(16 * 1024)
const PIECE = event(chunk({ content: CONTENT }))

/** A stream of so many pieces that begins when two clients share it; one of each client's connections. */
async function share(pieces: number, maxEntryBytes: string) {
  const vendor = { written: 0, ended: false }
  const { gateway } = await startCacheGateway(
    { maxEntryBytes },
    async (_req, res) => {
      openSse(res)
      const gone = once(res, 'close')
      await expect.poll(() => gateway.turnout.cache.followers).toBe(1)
      for (let piece = 0; piece < pieces && !res.destroyed; piece++) {
        vendor.written++
        if (!res.write(PIECE)) await Promise.race([once(res, 'drain'), gone])
      }
      vendor.ended = true
      res.end(event(finishChunk()) + DONE)
    },
    { cache: { size: '256MB' } },
  )
  const open = async (): Promise<RawSocket> => {
    const raw = await openRaw(gateway.port)
    onTestFinished(() => raw.close())
    raw.write(rawPost(CHAT, JSON.stringify(ask('m', { temperature: 0, stream: true })), ['connection: close']))
    return raw
  }
  const leader = await open()
  await expect.poll(() => gateway.metrics.inFlight).toBe(1)
  const follower = await open()
  return { vendor, leader, follower }
}

/** Until the vendor gets no further. */
async function standstill(vendor: { written: number }): Promise<void> {
  for (let before = -1; vendor.written !== before; ) {
    before = vendor.written
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}

const countPieces = (text: string): number => parseReply(text).body.split(CONTENT).length - 1

it('a leader that takes nothing holds the stream back, although another has caught up', async () => {
  const PIECES = 4_000
  const { vendor, leader, follower } = await share(PIECES, '64KB')
  leader.socket.pause()
  follower.socket.pause()
  await standstill(vendor)
  expect(vendor.ended).toBe(false)
  follower.socket.resume()
  await standstill(vendor)
  expect(vendor.ended).toBe(false)
  expect(vendor.written).toBeLessThan(PIECES * 0.6)
  leader.socket.resume()
  for (const client of [leader, follower]) {
    const text = await client.closed
    expect([countPieces(text), text.includes(DONE)]).toEqual([PIECES, true])
  }
})

it('a follower waits for room once, however many pieces come meanwhile', async () => {
  const warnings: string[] = []
  const note = ({ message }: Error): void => void (/drain/.test(message) && warnings.push(message))
  process.on('warning', note)
  onTestFinished(() => void process.off('warning', note))
  const PIECES = 1_500
  const { leader, follower } = await share(PIECES, '64MB')
  follower.socket.pause()
  const whole = await leader.closed
  expect(countPieces(whole)).toBe(PIECES)
  follower.socket.resume()
  const text = await follower.closed
  expect([countPieces(text), text.includes(DONE)]).toEqual([PIECES, true])
  expect(warnings).toEqual([])
})
