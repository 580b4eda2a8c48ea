// The hash of units: published vectors, what it tells apart, and that nothing of a text stays behind.

import { describe, expect, it } from 'vitest'
import { unitHasher } from '../src/gateway/unitHash.ts'
import { bucketOf, Murmur3, murmur3, murmur3Bytes } from '../src/rollouts/assignment.ts'
import { SipHash } from '../src/rollouts/sipHash.ts'
import { TextHash } from '../src/rollouts/textHash.ts'
import { formatUnit, parseUnit, UnitNames, unitIdOf } from '../src/rollouts/unitTable.ts'
import fc from './support/seededCheck.ts'

const key = Uint8Array.from({ length: 16 }, (_, i) => i)
const hash = unitHasher(Buffer.alloc(32, 9))

/** SipHash-1-3 by 64-bit integers, written down as its authors do: slow, and plain. */
function sip13(bytes: Uint8Array, by: Uint8Array): bigint {
  const word = (from: Uint8Array, at: number): bigint => Buffer.from(from).readBigUInt64LE(at)
  const mask = (1n << 64n) - 1n
  const turn = (x: bigint, n: bigint): bigint => ((x << n) | (x >> (64n - n))) & mask
  let [a, b, c, d] = [0x736f6d6570736575n, 0x646f72616e646f6dn, 0x6c7967656e657261n, 0x7465646279746573n]
  const [k0, k1] = [word(by, 0), word(by, 8)]
  a ^= k0
  b ^= k1
  c ^= k0
  d ^= k1
  const round = (): void => {
    a = (a + b) & mask
    b = turn(b, 13n) ^ a
    a = turn(a, 32n)
    c = (c + d) & mask
    d = turn(d, 16n) ^ c
    a = (a + d) & mask
    d = turn(d, 21n) ^ a
    c = (c + b) & mask
    b = turn(b, 17n) ^ c
    c = turn(c, 32n)
  }
  for (let at = 0; at <= bytes.length; at += 8) {
    const m = at < bytes.length ? word(bytes, at) : BigInt(bytes.length & 255) << 56n
    d ^= m
    round()
    a ^= m
  }
  c ^= 0xffn
  for (let i = 0; i < 3; i++) round()
  return a ^ b ^ c ^ d
}

describe('the short keyed hash', () => {
  it('is SipHash-1-3', () => {
    const block = fc.uint8Array({ minLength: 8, maxLength: 8 })
    const bytes = fc.array(block, { maxLength: 7 }).map((blocks) => Uint8Array.from(blocks.flatMap((one) => [...one])))
    fc.assert(
      fc.property(bytes, fc.uint8Array({ minLength: 16, maxLength: 16 }), (message, by) => {
        const sip = new SipHash(by)
        const words = new Int32Array(message.buffer, 0, message.length / 4)
        sip.hash(words, words.length)
        const found = (BigInt(sip.high >>> 0) << 32n) | BigInt(sip.low >>> 0)
        expect(found).toBe(sip13(message, by))
      }),
    )
  })

  it('gives what other programs give', () => {
    // Python 3.11 and later, PYTHONHASHSEED=0: hash(bytes(range(8))), hash(bytes(range(16))).
    const words = Int32Array.from([0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c])
    const sip = new SipHash(new Uint8Array(16))
    sip.hash(words, 2)
    expect([sip.high, sip.low]).toEqual([-355200538, 2126393066])
    sip.hash(words, 4)
    expect([sip.high, sip.low]).toEqual([-1989011324, 866502071])
  })
})

describe('murmur3 behind a prefix', () => {
  it('is that of the whole text, whatever is in either', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 40 })
    fc.assert(
      fc.property(text, text, (prefix, rest) => {
        const whole = murmur3Bytes(Buffer.from(prefix + rest))
        expect(new Murmur3(prefix).of(rest)).toBe(whole)
        expect(murmur3(prefix + rest)).toBe(whole)
      }),
    )
    const names = new UnitNames('5f0a')
    expect(names.idOf('unit').high).toBe(bucketOf('5f0a', 'unit'))
    expect(names.idOf('unit')).toEqual(unitIdOf('5f0a', 'unit'))
  })

  it('is printed and read again', () => {
    const word = fc.integer({ min: 0, max: 2 ** 32 - 1 })
    fc.assert(
      fc.property(word, word, (high, low) => {
        const text = formatUnit({ high, low })
        expect(text).toBe(high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0'))
        expect(parseUnit(text)).toEqual({ high, low })
      }),
    )
  })
})

describe('the hash of a unit', () => {
  it('tells apart what differs anywhere, and nothing else', () => {
    const long = 'a'.repeat(4096)
    const other = (at: number, by = 'b'): string => long.slice(0, at) + by + long.slice(at + 1)
    const openings = [
      { system: '', user: long },
      { system: long, user: '' },
      { system: long, user: long },
      { system: 'a', user: long },
      ...[0, 1, 63, 64, 1000, 4095].map((at) => ({ system: long, user: other(at) })),
      ...[0, 7, 2048, 4095].map((at) => ({ system: other(at), user: long })),
      { system: long, user: other(9, '日') },
      { system: long, user: other(9, 'é') },
      { system: 'ab', user: 'c' },
      { system: 'a', user: 'bc' },
    ]
    const found = openings.map((opening) => hash(opening, 'app'))
    expect(new Set(found).size).toBe(openings.length)
    expect(openings.map((opening) => hash({ ...opening }, 'app'))).toEqual(found)
    expect(new Set(['app', 'ap', undefined, '日本'].map((name) => hash(openings[0]!, name))).size).toBe(4)
    // Short names count in full, whatever they are written in: 一 and 伀 have the same low byte.
    expect(new Set(['一', '伀', 'A', 'a', 'a ', ''].map((name) => hash(name))).size).toBe(6)
    expect(hash({ system: '', user: 'x' })).not.toBe(hash('x'))
  })

  it('spreads evenly, also over texts that hardly differ', () => {
    const n = 200_000
    const seen = new Set<string>()
    let low = 0
    for (let i = 0; i < n; i++) {
      const unit = hash({ system: 'Be brief.', user: `Order ${i}: where is it?`.padEnd(200, '.') }, 'app')
      seen.add(unit)
      if (bucketOf('seed', unit) < 2 ** 32 / 20) low++
    }
    expect(seen.size).toBe(n)
    // Five standard deviations, and the texts are always the same.
    expect(Math.abs(low / n - 0.05)).toBeLessThan(5 * Math.sqrt((0.05 * 0.95) / n))
  })

  it('remembers nothing of the texts before', () => {
    const used = new TextHash(key)
    fc.assert(
      fc.property(fc.string({ maxLength: 300 }), fc.string({ maxLength: 300 }), (system, user) => {
        expect(used.ofOpening({ system, user })).toBe(new TextHash(key).ofOpening({ system, user }))
        expect(used.ofText(user)).toBe(new TextHash(key).ofText(user))
      }),
    )
  })
})
