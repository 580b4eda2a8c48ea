// The micro-timings of the response cache: the key of a request, a whole miss, a hit, and an answer that takes the place of another one.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { parseConfig } from '../src/config/load.ts'
import { dialects } from '../src/dialects/index.ts'
import type { Good } from '../src/gateway/attempt.ts'
import { createCaching } from '../src/gateway/cache.ts'
import { keyOf } from '../src/gateway/cacheKey.ts'
import { type Call, openCall } from '../src/gateway/call.ts'
import { inspect } from '../src/gateway/handle.ts'
import { createMemoryStore } from '../src/state/cache/memoryStore.ts'
import { Repeats } from '../src/state/cache/repeats.ts'
import { createResponseCache } from '../src/state/cache/responseCache.ts'
import type { Case } from './microCases.ts'
import { makeBody, makeReply } from './wire.ts'

const inbound = dialects.get('openai-chat')!.inbound!
const limits = { maxDepth: 128, maxMessages: 10_000 }

const { snapshot } = parseConfig(
  JSON.stringify({
    providers: { up: { kind: 'openai', apiKey: 'sk-test-upstream-0000000000' } },
    routes: {
      'bench-small': {
        targets: ['up/bench-model-2025-08-07'],
        cache: { deterministicOnly: false, coalesce: false },
      },
    },
    keys: [{ name: 'bench', key: 'sk-test-bench-0000000000000000' }],
  }),
  { env: {}, version: 1 },
)
const route = snapshot.routes.get('bench-small')!
const [target] = route.targets

/** Requests of 1 KB through a cache of their own; nothing is written, sent or fetched. */
export const passCache = () => {
  const cache = createResponseCache({
    settings: { size: 64 * 1024 ** 2, compressAbove: 4096, persist: false, diskSize: 0 },
  })
  const caching = createCaching({
    cache,
    settle: () => undefined,
    random: Math.random,
    now: Date.now,
    nextId: () => 1,
    hashUser: undefined,
    travel: () => Promise.reject(new Error('nothing becomes stale here')),
  })
  const body = makeBody('bench-small', 1024)
  const inspected = inbound.inspect(body, limits)
  const nothingKnown = new Repeats()
  const [key] = [...snapshot.keys.values()]
  const reply = makeReply(820)
  const facts = {
    id: 'chatcmpl-bench0000000000000000000000',
    model: target!.model,
    usage: undefined,
    finish: 'stop',
    contentBytes: 260,
  }
  const attempt = { target, model: target!.model, losses: [], lane: 'identity', facts, bill: { nanoUsd: 1000 } }
  const good = { attempt, exchange: { status: 200, stream: undefined, body: reply } } as unknown as Good
  const reader = { headers: {} } as IncomingMessage
  const fetcher = { headers: { 'cache-control': 'no-cache' } } as unknown as IncomingMessage
  const res = { on: () => res, setHeader: () => res, writeHead: () => res, end: () => res } as unknown as ServerResponse
  const dialect = dialects.get('openai-chat')!
  const openAny = (req: IncomingMessage): Call => {
    const call = openCall(req, res, { number: 1, now: performance.now(), snapshot, dialect, doorHeaders: [] })
    call.key = key
    return call
  }
  const open = (req: IncomingMessage): Call => {
    const call = openAny(req)
    call.route = route
    call.inspected = inspected
    return call
  }
  /** Digits in the prompt: another request each time. */
  const digits = inspected.raw.indexOf('You answer')
  let n = 0
  return {
    /** What is no cost of the cache. */
    open: () => open(fetcher),
    miss(): void {
      const call = open(fetcher)
      void caching.serve(call, route)
      call.attempts.push(good.attempt)
      call.cache!.flight!.land(good, 'application/json', [reply])
    },
    /** As `miss`, of a request that came never before. */
    fresh(): void {
      inspected.raw.write(String(n++ % 1e9).padStart(9, '0'), digits, 'latin1')
      this.miss()
    },
    /** A request that was answered lately is not read again. */
    hit() {
      const call = openAny(reader)
      inspect(call, body, cache.repeats)
      return caching.serve(call, route)
    },
    /** One that was not. */
    coldHit() {
      const call = openAny(reader)
      inspect(call, body, nothingKnown)
      return caching.serve(call, route)
    },
  }
}

export const cacheCases = (): Case[] => {
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
    const inspected = inbound.inspect(makeBody('bench-small', kilobytes * 1024), limits)
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
  const one = passCache()
  const full = passCache()
  one.miss()
  return [
    ...keys,
    { name: 'cache: a call without any of it, which the next ones include', work: one.open },
    { name: 'cache: a whole miss of 1 KB, whose answer takes the place of an older one', work: () => one.miss() },
    { name: 'cache: a whole miss of 1 KB, of a request that never came before', work: () => full.fresh() },
    { name: 'cache: a 1 KB request read, and answered with a hit', work: () => one.coldHit() },
    { name: 'cache: the same, of one that was answered lately', work: () => one.hit() },
    { name: 'cache: an answer into a full cache of 23,000', work: () => store.put({ ...entry, key: `key-${n++}` }) },
  ]
}
