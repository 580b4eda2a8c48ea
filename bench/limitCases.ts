// The micro-timings of limits: what they cost a request that has room, and what the door costs one that may come in.
import type { IncomingMessage } from 'node:http'
import { parseConfig } from '../src/config/load.ts'
import type { ApiKey } from '../src/config/snapshot.ts'
import { dialects } from '../src/dialects/index.ts'
import { createAdmission } from '../src/gateway/admission.ts'
import type { Rates } from '../src/gateway/bill.ts'
import type { Call } from '../src/gateway/call.ts'
import { settleLimits } from '../src/gateway/limitGate.ts'
import { createMetrics } from '../src/telemetry/metrics.ts'
import { createTokenCounter } from '../src/telemetry/tokens/counter.ts'
import type { Case } from './microCases.ts'
import { makeBody } from './wire.ts'

const most = 1_000_000_000

const setUp = (limits: Record<string, unknown>) => {
  const { snapshot } = parseConfig(
    JSON.stringify({
      providers: { up: { kind: 'openai', apiKey: 'sk-test-upstream-0000000000' } },
      routes: { chat: 'up/gpt-4.1' },
      keys: [{ name: 'bench', key: 'sk-test-bench-0000000000000000' }],
      limits,
    }),
    { env: {}, version: 1 },
  )
  const metrics = createMetrics()
  metrics.close()
  const tokens = createTokenCounter()
  // A second for every hundred requests: what is in the window stays what a busy gateway has.
  let count = 0
  const admission = createAdmission({
    snapshot: () => snapshot,
    log: undefined as never,
    metrics,
    rates: () => ({ tokens }) as unknown as Rates,
    clientAddress: () => '192.0.2.1',
    hashUser: undefined,
    clock: { now: () => count++ * 2.5, later: () => () => {} },
  })
  const [key] = [...snapshot.keys.values()]
  const { ask } = dialects
    .get('openai-chat')!
    .inbound!.inspect(makeBody('chat', 1024), { maxDepth: 128, maxMessages: 10_000 })
  const req = { headers: {}, socket: {} } as unknown as IncomingMessage
  const route = snapshot.routes.get('chat')
  const makeCall = (): Call =>
    ({ snapshot, key, route, inspected: { ask }, req, attempts: [], lease: undefined }) as unknown as Call
  return { admission, req, key: key as ApiKey, makeCall }
}

/** One request through a gate: room taken, headers made, tokens settled, slots given back. */
const pass = (limits: Record<string, unknown>): (() => void) => {
  const { admission, makeCall } = setUp(limits)
  return () => {
    const call = makeCall()
    admission.gate.admit(call)
    settleLimits(call)
    call.lease?.lines()
    call.lease?.release()
  }
}

export const limitCases = (): Case[] => {
  const { admission, req, key } = setUp({})
  return [
    { name: 'limits: none configured', work: pass({}) },
    {
      name: 'limits: 100 a minute for each key, as in the example',
      work: pass({ key: { per: 'key', requests: most } }),
    },
    {
      name: 'limits: requests, tokens and slots for each key and address, and for all',
      work: pass({
        key: { per: 'key', requests: most, tokens: most * 1000, concurrency: 1_000_000 },
        address: { per: 'ip', requests: most },
        all: { concurrency: 1_000_000 },
      }),
    },
    {
      name: 'door: addresses and a right key',
      work: () => {
        admission.door.stop(req)
        return admission.door.enter(req, () => key)
      },
    },
  ]
}
