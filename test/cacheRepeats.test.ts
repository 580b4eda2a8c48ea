// Requests that the cache remembers by their bytes: found for the same asker with the same bytes, and for nobody else.
import { describe, expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import type { ApiKey } from '../src/config/snapshot.ts'
import { dialects } from '../src/dialects/index.ts'
import { type Asker, Repeats } from '../src/state/cache/repeats.ts'
import { markOf, startCacheGateway } from './support/cacheGateway.ts'
import { ask } from './support/chatBodies.ts'
import { appKey, bearer, otherKey } from './support/ledgerGateway.ts'

const makeSnapshot = () =>
  parseConfig(
    JSON.stringify({
      providers: { p: { kind: 'openai', apiKey: 'sk-test-upstream-0123456789' } },
      routes: { m: { targets: ['p/m'], cache: true } },
    }),
    { env: {}, version: 1 },
  ).snapshot
const snapshot = makeSnapshot()
const dialect = dialects.get('openai-chat')!
const route = snapshot.routes.get('m')!
const known = { route, target: route.targets[0]!, strict: false, answer: 'the answer' }
const web: ApiKey = { name: 'web', role: 'app' }
const asker: Asker = { snapshot, key: web, dialect }

const bodyOf = (text: string): Buffer => Buffer.from(JSON.stringify(ask('m', { seed: 1, x_text: text })))
const inspect = (raw: Buffer) => dialect.inbound!.inspect(raw, { maxDepth: 128, maxMessages: 100 })

function remembering(raw: Buffer, who = asker): Repeats {
  const repeats = new Repeats()
  repeats.remember(who, inspect(raw), known)
  return repeats
}

describe('what is remembered', () => {
  it('is found by its bytes, as what was parsed of them', () => {
    const raw = bodyOf('one')
    const found = remembering(raw).find(asker, Buffer.from(raw))!
    expect(found.inspected).toEqual(inspect(raw))
    expect(found).toMatchObject({ route, target: known.target, strict: false, answer: 'the answer' })
  })

  it('keeps its own copy: what becomes of the bytes that came does not matter', () => {
    const raw = bodyOf('one')
    const before = Buffer.from(raw)
    const repeats = remembering(raw)
    raw.fill(0x20)
    expect(repeats.find(asker, before)!.inspected.raw.equals(before)).toBe(true)
    expect(repeats.find(asker, raw)).toBeUndefined()
  })

  it.each([10, 63, 64, 65, 500, 3000])('is not found by other bytes, wherever they differ (%i more)', (length) => {
    const raw = bodyOf('x'.repeat(length))
    const repeats = remembering(raw)
    for (let at = 0; at < raw.length; at++) {
      const other = Buffer.from(raw)
      other[at]! ^= 1
      expect(repeats.find(asker, other)).toBeUndefined()
    }
    expect(repeats.find(asker, raw.subarray(0, -1))).toBeUndefined()
    expect(repeats.find(asker, Buffer.concat([raw, Buffer.from(' ')]))).toBeUndefined()
  })

  it('is nobody else’s, and holds under one configuration and in one dialect', () => {
    const raw = bodyOf('one')
    const repeats = remembering(raw)
    const others: Partial<Asker>[] = [
      { key: undefined },
      { key: { ...web, name: 'other' } },
      { key: { ...web, user: 'ann' } },
      { snapshot: makeSnapshot() },
      { dialect: { ...dialect } },
    ]
    for (const other of others) expect(repeats.find({ ...asker, ...other }, raw)).toBeUndefined()
  })

  it('is bounded: in number, and in the length of each', () => {
    const repeats = new Repeats()
    for (let n = 0; n < 1000; n++) repeats.remember(asker, inspect(bodyOf(`number ${n}`)), known)
    expect(repeats.held).toBeLessThanOrEqual(128)
    expect(repeats.held).toBeGreaterThan(0)
    const long = bodyOf('x'.repeat(4096))
    expect(remembering(long).held).toBe(0)
    expect(remembering(long).find(asker, long)).toBeUndefined()
  })

  it('gives its place up to another one that comes again and again while it does not', () => {
    // Where they differ nobody looks for the place: both have the same.
    const [one, two] = ['a', 'b'].map((end) => bodyOf(`${'x'.repeat(3000)}${end}`)) as [Buffer, Buffer]
    const repeats = remembering(one)
    const again = (raw: Buffer): boolean => {
      if (repeats.find(asker, raw)) return true
      repeats.remember(asker, inspect(raw), known)
      return false
    }
    expect([1, 2, 3, 4, 5].map(() => again(two))).toEqual([false, false, false, false, true])
    expect(again(one)).toBe(false)
    expect(repeats.held).toBe(1)
  })

  it('goes when it did not come again between two sweeps', () => {
    const [one, two] = ['one', 'two'].map(bodyOf) as [Buffer, Buffer]
    const repeats = remembering(one)
    repeats.remember(asker, inspect(two), known)
    expect(repeats.held).toBe(2)
    repeats.sweep()
    expect(repeats.find(asker, two)).toBeDefined()
    repeats.sweep()
    expect(repeats.find(asker, one)).toBeUndefined()
    expect(repeats.find(asker, two)).toBeDefined()
    expect(repeats.held).toBe(1)
    repeats.clear()
    expect([repeats.held, repeats.find(asker, two)]).toEqual([0, undefined])
  })
})

describe('a request that came before', () => {
  const keyed = {
    keys: [
      { name: 'web', key: appKey },
      { name: 'other', key: otherKey },
    ],
  }
  const keyIn = ({ headers }: { headers: Record<string, unknown> }): string => String(headers['x-turnout-cache-key'])

  it('gets the same answer under the same key, document or stream, and other keys of clients do not', async () => {
    const { gateway, upstream, chat } = await startCacheGateway(true, undefined, keyed)
    const { repeats } = gateway.turnout.cache
    for (const [n, stream] of [false, true].entries()) {
      const first = await chat({ stream, seed: n }, bearer(appKey))
      expect(markOf(first)).toBe('miss')
      expect(repeats.held).toBe(n)
      const rest = []
      for (let times = 0; times < 3; times++) rest.push(await chat({ stream, seed: n }, bearer(appKey)))
      expect(rest.map(markOf)).toEqual(['hit', 'hit', 'hit'])
      expect(new Set(rest.map(keyIn))).toEqual(new Set([keyIn(first)]))
      expect(new Set(rest.map(({ text }) => text.replaceAll(/chatcmpl-[\w-]+/g, '…'))).size).toBe(1)
      expect(repeats.held).toBe(n + 1)
    }
    const same = { stream: true, seed: 1 }
    const other = await chat(same, bearer(otherKey))
    expect(markOf(other)).toBe('miss')
    expect(upstream.requests).toHaveLength(3)
    // The same bytes, of the other one: it got its own.
    expect([await chat(same, bearer(otherKey)), await chat(same, bearer(appKey))].map(markOf)).toEqual(['hit', 'hit'])
    expect(upstream.requests).toHaveLength(3)
  })

  it('has another answer where headers that reach the target, or strictness, make it another request', async () => {
    const { gateway, upstream, chat } = await startCacheGateway(true, undefined, keyed)
    const mine = (headers = {}) => chat({}, { ...bearer(appKey), ...headers })
    const plain = await mine()
    expect([await mine(), await mine()].map(markOf)).toEqual(['hit', 'hit'])
    expect(gateway.turnout.cache.repeats.held).toBe(1)
    for (const headers of [{ 'openai-beta': 'assistants=v2' }, { 'x-turnout-strict': 'true' }]) {
      const first = await mine(headers)
      expect(markOf(first)).toBe('miss')
      expect(keyIn(first)).not.toBe(keyIn(plain))
      expect(markOf(await mine(headers))).toBe('hit')
    }
    expect(upstream.requests).toHaveLength(3)
    const last = await mine()
    expect([markOf(last), keyIn(last)]).toEqual(['hit', keyIn(plain)])
  })

  it('is forgotten with the answers that somebody removes, and with the configuration', async () => {
    const { gateway, chat } = await startCacheGateway()
    const { cache } = gateway.turnout
    await chat()
    expect(markOf(await chat())).toBe('hit')
    expect(cache.repeats.held).toBe(1)
    cache.remove({ route: 'm' })
    expect(cache.repeats.held).toBe(0)
    expect([await chat(), await chat()].map(markOf)).toEqual(['miss', 'hit'])
    expect(cache.repeats.held).toBe(1)
    gateway.turnout.swap({ ...gateway.turnout.snapshot, version: 2 })
    expect(cache.repeats.held).toBe(0)
    expect(markOf(await chat())).toBe('hit')
    expect(cache.repeats.held).toBe(1)
  })
})
