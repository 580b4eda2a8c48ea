// The micro-timings of two rooms: what surviving costs a request that goes well, and what translating costs.
import { parseConfig } from '../src/config/load.ts'
import type { Ask } from '../src/dialects/dialect.ts'
import { hasHubLane } from '../src/dialects/dialect.ts'
import { dialects } from '../src/dialects/index.ts'
import { FrameSplitter, readFrame } from '../src/dialects/sse.ts'
import type { Call } from '../src/gateway/call.ts'
import { makePlan, reachable } from '../src/gateway/plan.ts'
import { createHealth } from '../src/state/health.ts'
import { createRetryBudget } from '../src/state/retryBudget.ts'
import { makeContent, makeContentFrames, makeMessage, makeMessageFrames } from './vendorWire.ts'
import { makeBody } from './wire.ts'

export interface Case {
  readonly name: string
  readonly work: () => unknown
  readonly per?: number
  /** What it puts off, such as lines that wait to be written: without it they would be dropped, and that would be timed. */
  readonly rest?: () => Promise<unknown>
}

const limits = { maxDepth: 128, maxMessages: 10_000 }
const inbound = dialects.get('openai-chat')!.inbound!

/** Breaker, retry budget and plan cannot be switched off, so that `bench:features` has no pair for them: this is their cost. */
export const survivalCases = (): Case[] => {
  const { snapshot } = parseConfig(
    JSON.stringify({
      providers: { up: { kind: 'openai', apiKey: 'sk-test-upstream-0000000000' } },
      routes: { chat: { targets: ['up/gpt-4.1', 'up/gpt-4.1-mini', 'up/gpt-4.1-nano'] } },
    }),
    { env: {}, version: 1 },
  )
  const route = snapshot.routes.get('chat')!
  const { ask } = inbound.inspect(makeBody('chat', 1024), limits)
  // The fields of a call that a plan looks at.
  const call = { route, snapshot, inspected: { ask }, key: undefined, req: { headers: {} } } as unknown as Call
  const health = createHealth({ settings: () => snapshot.breaker })
  const retryBudget = createRetryBudget()
  const [target] = route.targets
  const plan = () => reachable(call, makePlan(call, 0.5).targets)
  const judge = () => health.settle(target!.id, health.admit(target!.id)!, 'good')
  const earn = () => retryBudget.earn(route.name, route.retries.budget)
  return [
    { name: 'breaker: admit and settle', work: judge },
    { name: 'retry budget: earn', work: earn },
    { name: 'plan of a chain of three', work: plan },
    {
      name: 'breaker, retry budget and plan of one request',
      work: () => {
        earn()
        plan()
        judge()
      },
    },
  ]
}

const vendors = [
  {
    name: 'anthropic-messages',
    model: 'claude-sonnet-4-5',
    whole: makeMessage(820),
    stream: Buffer.concat(makeMessageFrames(200)),
  },
  { name: 'gemini', model: 'gemini-2.5-flash', whole: makeContent(820), stream: Buffer.concat(makeContentFrames(200)) },
] as const

/** One request and its reply through the hub, step by step. */
export const translateCases = (): Case[] => {
  const body = makeBody('bench-claude', 1024)
  const inspected = inbound.inspect(body, limits)
  const chat = inbound.decode!(inspected.wire)
  const ask: Ask = { ...inspected.ask, stream: true, includeUsage: true }
  const context = { id: 'chatcmpl-bench', created: 1_760_000_000 }
  return [
    { name: 'hub: decode a 1 KB OpenAI request', work: () => inbound.decode!(inspected.wire) },
    ...vendors.flatMap(({ name, model, whole, stream }): Case[] => {
      const outbound = dialects.get(name)!.outbound!
      if (!hasHubLane(outbound)) throw new Error(`${name} has no hub lane`)
      const parts = cut(stream, 20)
      const split = (each: (frame: Buffer) => void) => {
        const splitter = new FrameSplitter()
        for (const part of parts) splitter.push(part, each)
      }
      return [
        { name: `${name}: encode it`, work: () => outbound.encode(chat, model, {}) },
        { name: `${name}: encode it, as text`, work: () => JSON.stringify(outbound.encode(chat, model, {}).wire) },
        {
          name: `${name}: a 0.8 KB reply to OpenAI's`,
          work: () => inbound.reply!(outbound.events(JSON.parse(whole.toString()), {}), ask, context),
        },
        { name: `${name}: split and read frames, per event`, work: () => split(readFrame), per: 200 },
        {
          name: `${name}: decode stream, per event`,
          work: () => {
            const decoder = outbound.decodeStream({})
            split((frame) => decoder.take(readFrame(frame)))
          },
          per: 200,
        },
        {
          name: `${name}: decode stream and write OpenAI's, per event`,
          work: () => {
            const decoder = outbound.decodeStream({})
            const write = inbound.stream!(ask, context)
            let text = ''
            split((frame) => {
              for (const event of decoder.take(readFrame(frame))) text += write(event)
            })
            return text.length
          },
          per: 200,
        },
      ]
    }),
  ]
}

/** A stream as a busy socket gives it. */
const cut = (stream: Buffer, count: number): Buffer[] => {
  const size = Math.ceil(stream.length / count)
  return Array.from({ length: count }, (_, i) => stream.subarray(i * size, (i + 1) * size))
}
