// A vendor dies under load: clients see no error while a healthy fallback exists, the breaker opens, and recovery is noticed in time.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import type { Transition } from '../src/state/breaker.ts'
import { type Reply, readStream, runClients } from './soak/load.ts'
import { findQuietPort } from './support/quietPort.ts'
import { type RecordedGateway, startRecordedGateway } from './support/recordedGateway.ts'

const FAILURES = 5
const OPEN_FOR = 1_000
const TOKENS = 20
const JSON_CLIENTS = 6
const STREAM_CLIENTS = 4
const PATIENCE = { timeout: 60_000, interval: 20 }

/** About a quarter of a second a stream, so that some are always in the middle. */
const scripts = { m: { tokens: TOKENS, tokensPerSecond: 80 }, quick: { tokens: TOKENS } }

interface Judged {
  at: number
  target: string
  stream: boolean
  attempts: number
  outcome: 'ok' | 'broken' | 'failed'
  text: string
}

let first: Simulator
let second: Simulator
let gateway: RecordedGateway
const transitions: (Transition & { at: number })[] = []

beforeAll(async () => {
  // It comes back on its port, which nobody else may have got meanwhile.
  first = await startSimulator({ scripts, port: await findQuietPort() })
  second = await startSimulator({ scripts })
  const provider = (url: string) => ({ kind: 'openai', baseUrl: `${url}/v1`, apiKey: 'sk-test-upstream-0123456789' })
  gateway = await startRecordedGateway(
    {
      providers: { first: provider(first.url), second: provider(second.url) },
      breaker: { failures: FAILURES, openFor: `${OPEN_FOR}ms`, volume: 1_000_000 },
      targets: { primary: { provider: 'first', model: '*' }, reserve: { provider: 'second', model: '*' } },
      routes: { '*': ['primary', 'reserve'] },
    },
    { onTransition: (_target, transition) => transitions.push({ ...transition, at: Date.now() }) },
  )
})
afterAll(async () => {
  await gateway?.close()
  await first?.close()
  await second?.close()
})

it('nobody notices but those whose stream was half told; the breaker opens, probes, and closes', async () => {
  const replies: Judged[] = []
  let over = false
  const clients = (count: number, model: string, stream: boolean): Promise<void> =>
    runClients(
      gateway.url,
      count,
      () => over,
      async (client) => {
        const at = Date.now()
        const body = { model, stream, messages: [{ role: 'user', content: 'Is the line clear?' }] }
        replies.push(judge(await client.ask(body), at, stream))
      },
    )
  const load = Promise.all([clients(JSON_CLIENTS, 'quick', false), clients(STREAM_CLIENTS, 'm', true)])
  const served = (target: string, since: number): number =>
    replies.filter((reply) => reply.target === target && reply.at >= since && reply.outcome === 'ok').length

  // All is well, and everything goes to the first.
  await expect.poll(() => served('primary', 0), PATIENCE).toBeGreaterThan(50)
  expect(replies.every(({ target, outcome }) => target === 'primary' && outcome === 'ok')).toBe(true)

  // It dies, with whatever was under way.
  const { port } = first
  const killed = Date.now()
  await first.close()
  await expect.poll(() => transitions.length, PATIENCE).toBeGreaterThan(0)
  const opened = transitions[0]!
  expect(opened).toMatchObject({ from: 'closed', to: 'open' })
  expect(['dial_failed', 'reset', 'cut']).toContain(opened.reason)
  // Half a minute would be long: with this load the threshold is reached in moments.
  expect(opened.at - killed).toBeLessThan(25_000)
  // The reserve has it all. Meanwhile each wait that is over lets one probe through, which fails.
  await expect.poll(() => transitions.filter(({ to }) => to === 'open').length, PATIENCE).toBeGreaterThanOrEqual(3)
  await expect.poll(() => served('reserve', opened.at), PATIENCE).toBeGreaterThan(50)

  // It comes back.
  first = await startSimulator({ port, scripts })
  const back = Date.now()
  await expect.poll(() => transitions.at(-1)!.to, PATIENCE).toBe('closed')
  const closed = transitions.at(-1)!
  expect(closed.reason).toBe('probe')
  // Within the reset time and one probe; the rest is room for a busy machine.
  expect(closed.at - back).toBeLessThan(OPEN_FOR + 20_000)
  await expect.poll(() => served('primary', closed.at), PATIENCE).toBeGreaterThan(20)
  over = true
  await load

  // No client saw an error, but those who had been told half of an answer when it happened.
  const broken = replies.filter(({ outcome }) => outcome === 'broken')
  expect(replies.filter(({ outcome }) => outcome === 'failed')).toEqual([])
  expect(broken.length).toBeLessThanOrEqual(STREAM_CLIENTS)
  for (const reply of broken) expect([reply.stream, reply.target, reply.at <= killed]).toEqual([true, 'primary', true])
  await expectBooks(replies, broken.length)
}, 300_000)

/** The ledger tells the same story: who was asked, how often in vain, and what it came to. */
async function expectBooks(replies: readonly Judged[], broken: number): Promise<void> {
  await gateway.flush()
  const calls = { failed: 0, probes: 0, requests: 0, partial: 0 }
  const attempts: { target: string; fault: string | null; started: number; reason: string }[] = []
  for await (const text of gateway.reader.export({ format: 'jsonl', rows: 'attempts' }))
    for (const line of text.split('\n')) if (line !== '') attempts.push(JSON.parse(line))
  for await (const text of gateway.reader.export({ format: 'jsonl', rows: 'requests' }))
    for (const line of text.split('\n')) {
      if (line === '') continue
      calls.requests++
      const { outcome } = JSON.parse(line)
      if (outcome === 'partial') calls.partial++
      else expect(outcome).toBe('ok')
    }
  expect([calls.requests, calls.partial]).toEqual([replies.length, broken])
  const inVain = attempts.filter(({ fault }) => fault)
  expect(inVain.every(({ target }) => target === 'primary')).toBe(true)
  // Those that open it, those already on their way then, and the probes that found it still dead.
  expect(inVain.length).toBeGreaterThanOrEqual(FAILURES)
  const opened = transitions.filter(({ to }) => to === 'open').length
  expect(inVain.length).toBeLessThanOrEqual(FAILURES + JSON_CLIENTS + STREAM_CLIENTS + opened)
  expect(replies.filter(({ attempts: n }) => n === 2).length).toBe(inVain.length - broken)
}

function judge({ status, headers, text, complete, error }: Reply, at: number, stream: boolean): Judged {
  const target = String(headers['x-turnout-target'])
  const judged: Judged = {
    at,
    target,
    stream,
    attempts: Number(headers['x-turnout-attempts']),
    outcome: 'failed',
    text,
  }
  if (status !== 200 || !complete || error !== undefined) return judged
  if (!stream) return { ...judged, outcome: JSON.parse(text).choices[0].finish_reason === 'stop' ? 'ok' : 'failed' }
  const { events, done } = readStream(text)
  const tokens = events.filter(({ choices }) => choices?.[0]?.delta?.content).length
  if (done) return { ...judged, outcome: tokens === TOKENS ? 'ok' : 'failed' }
  return { ...judged, outcome: tokens > 0 && events.at(-1)?.error !== undefined ? 'broken' : 'failed' }
}
