// 20,000 seeded random and mutated bodies: each gets a valid reply or an error in shape, never a 5xx, never silence, never a crash.
// TURNOUT_FUZZ_BODIES (20000) and TURNOUT_FUZZ_SEED, for a night.
import type { ServerResponse } from 'node:http'
import { Pool } from 'undici'
import { describe, expect, it } from 'vitest'
import { type FuzzedRequest, fuzzBodies } from './support/bodyFuzz.ts'
import { CHAT, chunks, reply } from './support/chatBodies.ts'
import { sseText, startFakeUpstream } from './support/fakeUpstream.ts'
import { single } from './support/freshTargets.ts'
import { startGateway, upstreamAt } from './support/gateway.ts'

const COUNT = Number(process.env.TURNOUT_FUZZ_BODIES ?? 20_000)
const SEED = Number(process.env.TURNOUT_FUZZ_SEED ?? 20260401)
const IN_FLIGHT = 32

const whole = Buffer.from(JSON.stringify(reply()))
const stream = Buffer.from(sseText(chunks('hello')))

/** What is wrong with an answer, or undefined. */
function judge(status: number, type: string, text: string): string | undefined {
  if (status === 200) {
    if (type.startsWith('text/event-stream')) return text === stream.toString() ? undefined : 'another stream'
    return text === whole.toString() ? undefined : 'another reply'
  }
  if (status < 400 || status >= 500) return `status ${status}`
  if (type !== 'application/json') return `type ${type}`
  const { error } = JSON.parse(text) as { error: Record<string, unknown> }
  const shaped = typeof error.message === 'string' && typeof error.type === 'string' && typeof error.code === 'string'
  return shaped && (error.param === null || typeof error.param === 'string') ? undefined : 'not in shape'
}

describe('fuzz', () => {
  it(`${COUNT} bodies are each answered as they should be`, { timeout: 900_000 }, async () => {
    /** What the upstream got that no gateway may send. */
    const sent: string[] = []
    const upstream = await startFakeUpstream((_req, res: ServerResponse, body) => {
      // What the upstream reads must be what was admitted: the same model, the same kind of reply.
      let ask: { model?: unknown; stream?: unknown }
      try {
        ask = JSON.parse(body.toString())
      } catch {
        ask = {}
      }
      if (typeof ask.model !== 'string' || ask.model === 'unheard-of') sent.push(body.toString().slice(0, 200))
      const bytes = ask.stream === true ? stream : whole
      res.writeHead(200, {
        'content-type': ask.stream === true ? 'text/event-stream' : 'application/json',
        'content-length': bytes.length,
      })
      res.end(bytes)
      // Kept for other tests' sake; thousands of bodies would not be.
      if (upstream.requests.length > 1_000) upstream.requests.length = 0
    })
    const gateway = await startGateway({
      ...single,
      providers: { p: upstreamAt(upstream.url) },
      routes: { m: 'p/m', 'f-*': 'p/*' },
    })
    const client = new Pool(gateway.url, { connections: IN_FLIGHT, headersTimeout: 120_000, bodyTimeout: 120_000 })
    const wrong: string[] = []
    const statuses = new Map<number, number>()
    const bodies = fuzzBodies(SEED, COUNT)

    const one = async ({ body, headers }: FuzzedRequest): Promise<void> => {
      const answer = await client.request({ method: 'POST', path: CHAT, headers, body })
      const text = await answer.body.text()
      statuses.set(answer.statusCode, (statuses.get(answer.statusCode) ?? 0) + 1)
      let fault: string | undefined
      try {
        fault = judge(answer.statusCode, String(answer.headers['content-type'] ?? ''), text)
      } catch {
        fault = 'no JSON'
      }
      if (fault !== undefined)
        wrong.push(
          `${fault}: ${JSON.stringify(headers)} ${JSON.stringify(body.toString().slice(0, 300))} got ${text.slice(0, 200)}`,
        )
    }
    const run = async (): Promise<void> => {
      for (const request of bodies) {
        if (wrong.length > 20) return
        await one(request)
      }
    }
    try {
      await Promise.all(Array.from({ length: IN_FLIGHT }, run))
      expect(wrong).toEqual([])
      expect(sent).toEqual([])
      expect([...statuses.values()].reduce((sum, count) => sum + count, 0)).toBe(COUNT)
      // The bodies are worth sending: many get through, many are refused, in many ways.
      expect(statuses.get(200)).toBeGreaterThan(COUNT / 10)
      expect(statuses.get(400)).toBeGreaterThan(COUNT / 4)
      expect([...statuses.keys()].sort()).toEqual([200, 400, 404, 415])
      expect(gateway.lines).toHaveLength(COUNT)
      expect(gateway.metrics.inFlight).toBe(0)
      expect(JSON.stringify(gateway.notes)).not.toContain('fault of the gateway')
    } finally {
      await client.close()
      await gateway.close()
      await upstream.close()
    }
  })

  it('is the same every time', () => {
    const take = (): string[] => [...fuzzBodies(SEED, 500)].map(({ body }) => body.toString('base64'))
    expect(take()).toEqual(take())
    expect(new Set(take()).size).toBeGreaterThan(450)
  })
})
