// The micro-timings of the response cache: the key of a request, and an answer that takes the place of another one.
import { parseConfig } from '../src/config/load.ts'
import { dialects } from '../src/dialects/index.ts'
import { keyOf } from '../src/gateway/cacheKey.ts'
import { createMemoryStore } from '../src/state/cache/memoryStore.ts'
import type { Case } from './microCases.ts'
import { makeBody, makeReply } from './wire.ts'

const inbound = dialects.get('openai-chat')!.inbound!

export const cacheCases = (): Case[] => {
  const { snapshot } = parseConfig(
    JSON.stringify({
      providers: { up: { kind: 'openai', apiKey: 'sk-test-upstream-0000000000' } },
      routes: { 'bench-small': 'up/bench-model-2025-08-07' },
    }),
    { env: {}, version: 1 },
  )
  const [target] = snapshot.routes.get('bench-small')!.targets
  const parts = {
    tenant: 'key:bench',
    route: 'bench-small',
    dialect: 'openai-chat',
    target: target!,
    model: 'bench-model-2025-08-07',
    headers: [],
    strict: false,
  }
  const keys = [1, 100, 400].map((kilobytes): Case => {
    const inspected = inbound.inspect(makeBody('bench-small', kilobytes * 1024), { maxDepth: 128, maxMessages: 10_000 })
    return { name: `cache: key of a ${kilobytes} KB request`, work: () => keyOf(parts, inspected) }
  })
  const store = createMemoryStore({ size: () => 64 * 1024 ** 2, now: Date.now })
  const entry = {
    route: 'bench-small',
    target: target!.id,
    provider: 'up',
    model: parts.model,
    framing: 'json' as const,
    contentType: 'application/json',
    body: makeReply(820),
    packed: false,
    replyId: undefined,
    usage: undefined,
    cost: null,
    dropped: '',
    owner: undefined,
    storedAt: 0,
    expiresAt: Number.POSITIVE_INFINITY,
    deadAt: Number.POSITIVE_INFINITY,
  }
  let n = 0
  return [
    ...keys,
    { name: 'cache: an answer into a full cache of 23,000', work: () => store.put({ ...entry, key: `key-${n++}` }) },
  ]
}
