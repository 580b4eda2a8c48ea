// Assignment: published vectors, monotony, shares, units and openings.

import { describe, expect, it } from 'vitest'
import { unitHasher } from '../src/gateway/unitHash.ts'
import {
  bucketOf,
  drawBucket,
  isCanary,
  million,
  murmur3,
  murmur3Bytes,
  thresholdOf,
} from '../src/rollouts/assignment.ts'
import { readOpening } from '../src/rollouts/opening.ts'
import { defaultSources, parseSource, type UnitFacts, unitOf } from '../src/rollouts/unit.ts'
import { formatUnit, parseUnit, UnitTable, unitIdOf } from '../src/rollouts/unitTable.ts'
import fc from './support/seededCheck.ts'

describe('murmur3', () => {
  it('gives the published values', () => {
    expect(murmur3('')).toBe(0)
    expect(murmur3('hello')).toBe(0x248bfa47)
    expect(murmur3('hello, world')).toBe(0x149bbb7f)
    expect(murmur3('gr1:123')).toBe(0x2017a7b4)
    expect(murmur3('groupX:999')).toBe(0xe518c66c)
    // The same two as the variants that SDKs of feature flags agree on.
    expect((murmur3('gr1:123') % 100) + 1).toBe(73)
    expect((murmur3('groupX:999') % 100) + 1).toBe(25)
  })

  it('is over the UTF-8 bytes of any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
        expect(murmur3(text)).toBe(murmur3Bytes(Buffer.from(text)))
      }),
    )
    expect(murmur3('naïve 日本 😀')).toBe(murmur3Bytes(Buffer.from('naïve 日本 😀')))
  })
})

describe('the arm of a unit', () => {
  const seed = 'b7c1'

  it('is never taken back when the weight rises', () => {
    const weight = fc.integer({ min: 0, max: million })
    fc.assert(
      fc.property(fc.string(), fc.string(), weight, weight, (rolloutSeed, unit, a, b) => {
        const bucket = bucketOf(rolloutSeed, unit)
        expect(isCanary(bucket, Math.min(a, b)) && !isCanary(bucket, Math.max(a, b))).toBe(false)
      }),
      { numRuns: 2000 },
    )
    const units = Array.from({ length: 200_000 }, (_, i) => bucketOf(seed, `user-${i}`))
    expect(units.filter((bucket) => isCanary(bucket, 50_000) && !isCanary(bucket, 250_000))).toHaveLength(0)
  })

  it('is the canary for nobody at 0 and for everybody at a million', () => {
    expect(thresholdOf(0)).toBe(0)
    expect(thresholdOf(million)).toBe(2 ** 32)
    expect(isCanary(0, 0)).toBe(false)
    expect(isCanary(2 ** 32 - 1, million)).toBe(true)
    expect(isCanary(drawBucket(1 - Number.EPSILON / 2), million - 1)).toBe(false)
  })

  it('gives each weight its share, of users and of draws', () => {
    const n = 200_000
    for (const ppm of [100, 10_000, 50_000, 500_000, 980_000]) {
      const expected = ppm / million
      const tolerance = 4.5 * Math.sqrt((expected * (1 - expected)) / n)
      const hashed = Array.from({ length: n }, (_, i) => isCanary(bucketOf(seed, `user-${i}`), ppm))
      expect(Math.abs(hashed.filter(Boolean).length / n - expected)).toBeLessThan(tolerance)
      const drawn = Array.from({ length: n }, (_, i) => isCanary(drawBucket((i + 0.5) / n), ppm))
      expect(Math.abs(drawn.filter(Boolean).length / n - expected)).toBeLessThan(1e-5)
    }
  })

  it('in one rollout says nothing of the arm in another', () => {
    const units = Array.from({ length: 200_000 }, (_, i) => `user-${i}`)
    const both = units.filter((unit) => isCanary(bucketOf('one', unit), 100_000))
    const share = both.filter((unit) => isCanary(bucketOf('two', unit), 100_000)).length / both.length
    expect(Math.abs(share - 0.1)).toBeLessThan(0.01)
  })
})

describe('the unit of a request', () => {
  const facts = (over: Partial<UnitFacts> = {}): UnitFacts => ({ headers: {}, wire: {}, apiKey: 'app', ...over })
  const turn = { role: 'user', content: 'Where is my parcel?' }

  it('is read from the first source that the request has', () => {
    const sources = ['header:X-Session-Id', 'body:prompt_cache_key', 'transcript', 'api_key'].map(
      (s) => parseSource(s)!,
    )
    const wire = { prompt_cache_key: 'cache-1', messages: [turn] }
    expect(unitOf(sources, facts({ headers: { 'x-session-id': ' s-1 ' }, wire }))).toBe('s-1')
    expect(unitOf(sources, facts({ wire }))).toBe('cache-1')
    expect(unitOf(sources, facts({ wire: { messages: [turn] } }))).toEqual({ system: '', user: turn.content })
    expect(unitOf(sources, facts())).toBe('app')
    expect(unitOf(sources, facts({ apiKey: undefined }))).toBeUndefined()
  })

  it('may stand within a block of the body', () => {
    const sources = [parseSource('body:metadata.chat.id')!]
    const found = (wire: unknown) => unitOf(sources, facts({ wire }))
    expect(found({ metadata: { chat: { id: 'c-1' } } })).toBe('c-1')
    expect(found({ 'metadata.chat.id': 'c-2', metadata: { chat: { id: 'c-1' } } })).toBe('c-2')
    for (const metadata of [undefined, null, 'c', ['c'], { chat: 'c' }, { chat: { id: 7 } }])
      expect(found({ metadata })).toBeUndefined()
    expect(unitOf([parseSource('body:constructor.name')!], facts({ wire: {} }))).toBeUndefined()
  })

  it('is none where the field is no word, or a novel', () => {
    const sources = [parseSource('body:user')!, parseSource('header:x-turnout-unit')!]
    expect(unitOf(sources, facts({ wire: { user: { id: 1 } } }))).toBeUndefined()
    expect(
      unitOf(sources, facts({ wire: { user: 'u'.repeat(513) }, headers: { 'x-turnout-unit': ' ' } })),
    ).toBeUndefined()
    expect(unitOf(sources, facts({ wire: null }))).toBeUndefined()
    expect(unitOf(defaultSources.request, facts())).toBeUndefined()
    expect(unitOf(defaultSources.key, facts())).toBe('app')
  })

  it('has sources that are refused when they are misspelt', () => {
    expect(parseSource('header:X-Unit')).toEqual({ from: 'header', name: 'x-unit' })
    expect(parseSource('body:user')).toEqual({ from: 'body', name: 'user' })
    for (const wrong of ['header:', 'cookie:a', 'header:a b', 'transcripts', ''])
      expect(parseSource(wrong)).toBeUndefined()
  })

  it('stays the same for every turn of a conversation, in each wire format, and tells nothing of it', () => {
    const text = (role: string, words: string) => ({ role, content: [{ type: 'text', text: words }] })
    const openings: [unknown, unknown][] = [
      [
        { messages: [{ role: 'system', content: 'Be brief.' }, turn] },
        {
          messages: [
            { role: 'system', content: 'Be brief.' },
            turn,
            { role: 'assistant', content: 'A' },
            { ...turn, content: 'B' },
          ],
        },
      ],
      [
        { system: 'Be brief.', messages: [text('user', 'Hi')] },
        {
          system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }],
          messages: [text('user', 'Hi'), text('assistant', 'A'), text('user', 'B')],
        },
      ],
      [
        { instructions: 'Be brief.', input: 'Hi' },
        {
          instructions: 'Be brief.',
          input: [{ role: 'user', content: [{ type: 'input_text', text: 'Hi' }] }, { type: 'function_call' }],
        },
      ],
      [
        { systemInstruction: { parts: [{ text: 'Be brief.' }] }, contents: [{ parts: [{ text: 'Hi' }] }] },
        {
          systemInstruction: { parts: [{ text: 'Be brief.' }] },
          contents: [
            { role: 'user', parts: [{ text: 'Hi' }] },
            { role: 'model', parts: [{ text: 'A' }] },
          ],
        },
      ],
    ]
    const sources = [parseSource('transcript')!]
    for (const [first, later] of openings) {
      const found = unitOf(sources, facts({ wire: first }))
      expect(found).toMatchObject({ user: expect.stringMatching(/^(Hi|Where is)/) })
      expect(unitOf(sources, facts({ wire: later }))).toEqual(found)
      const hash = unitHasher(Buffer.alloc(32, 1))
      const unit = hash(found!, 'app')
      expect(unit).toMatch(/^[\w-]{11}$/)
      expect(hash(unitOf(sources, facts({ wire: later }))!, 'app')).toBe(unit)
      expect(hash(found!, 'other')).not.toBe(unit)
      expect(unitHasher(Buffer.alloc(32, 2))(found!, 'app')).not.toBe(unit)
    }
  })

  it('differs for pictures without words, and behind a long system prompt', () => {
    const picture = (data: string) => ({
      messages: [
        { role: 'user', content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } }] },
      ],
    })
    expect(readOpening(picture('AAAA'))).not.toEqual(readOpening(picture('BBBB')))
    const long = (words: string) => ({
      messages: [
        { role: 'system', content: 'x'.repeat(9000) },
        { role: 'user', content: words },
      ],
    })
    expect(readOpening(long('a'))).not.toEqual(readOpening(long('b')))
    for (const role of ['system', 'developer']) {
      const told = { messages: [{ role, content: 'Be brief.' }, turn] }
      expect(readOpening(told)).toMatchObject({ system: 'Be brief.', user: turn.content })
    }
    expect(readOpening({ messages: [{ role: 'assistant', content: 'A' }] })).toBeUndefined()
    for (const odd of [undefined, null, 'text', { messages: 'x' }, { messages: [null, 3] }]) {
      expect(readOpening(odd)).toBeUndefined()
    }
  })
})

describe('the table of units', () => {
  it('remembers bits as a map would', () => {
    const word = fc.integer({ min: 0, max: 40 })
    const step = fc.record({ high: word, low: word, bits: fc.integer({ min: 1, max: 255 }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const table = new UnitTable()
        const map = new Map<string, number>()
        for (const { high, low, bits } of steps) {
          const name = formatUnit({ high, low })
          expect(table.add(high, low, bits)).toBe(map.get(name) ?? 0)
          map.set(name, (map.get(name) ?? 0) | bits)
        }
        const kept = new Map([...table.entries()].map((entry) => [formatUnit(entry), entry.mask]))
        expect(kept).toEqual(map)
        expect(table.size).toBe(map.size)
      }),
    )
  })

  it('grows with what it holds, up to its bound', () => {
    const table = new UnitTable(50_000)
    for (let i = 0; i < 60_000; i++) {
      const { high, low } = unitIdOf('s', `u${i}`)
      table.add(high, low, 1 + (i % 3))
    }
    expect(table.size).toBe(50_000)
    expect(table.isFull).toBe(true)
    const known = unitIdOf('s', 'u4711')
    expect(table.get(known.high, known.low)).toBe(1 + (4711 % 3))
    const beyond = unitIdOf('s', 'u55555')
    expect(table.get(beyond.high, beyond.low)).toBe(0)
    expect(parseUnit(formatUnit(known))).toEqual(known)
  })
})
