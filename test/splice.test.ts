// The splice: only the named top-level fields change, whatever JSON surrounds them, and no second spelling of a key gets past it.

import { describe, expect, it } from 'vitest'
import { Refusal } from '../src/dialects/errors.ts'
import { inspect } from '../src/dialects/openai-chat/inspect.ts'
import { patch } from '../src/dialects/openai-chat/patch.ts'
import { applySplices, removeFields, scanFields, setField } from '../src/dialects/splice.ts'
import {
  inspectedNames,
  jsonValue,
  layout,
  type Member,
  memberOf,
  otherMembers,
  render,
  spell,
} from './support/jsonText.ts'
import fc from './support/seededCheck.ts'

const limits = { maxDepth: 128, maxMessages: 10_000 }
const noEdits = { model: 'm', askUsage: false, params: undefined }

/** Members in a random order. */
const shuffled = (members: Member[]): fc.Arbitrary<Member[]> =>
  fc.shuffledSubarray(members, { minLength: members.length, maxLength: members.length })

/** Makes a name into another that Go's `encoding/json` takes for the same. */
const misspellings = (name: string): fc.Arbitrary<string> =>
  fc
    .array(fc.nat(3), { minLength: name.length, maxLength: name.length })
    .map((rolls) =>
      Array.from(name, (char, index) => {
        if (rolls[index] === 1) return char.toUpperCase()
        if (rolls[index] === 2) return char === 's' ? '\u017f' : char === 'k' ? '\u212a' : char.toUpperCase()
        return char
      }).join(''),
    )
    .filter((other) => other !== name)

const messages = memberOf('messages', fc.constantFrom('[]', '[ {"role":"user","content":"hi \\"model\\""} ]'))
const model = memberOf('model', fc.constantFrom('"m"', '"\\u006d"'))

/** A chat request's fields, in any order; the required ones and others. */
const chat = fc
  .tuple(model, messages, otherMembers)
  .chain(([first, second, others]) => shuffled([first, second, ...others]))

function refusalOf(text: string): Refusal {
  try {
    inspect(Buffer.from(text), limits)
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error(`was let through: ${text}`)
}

describe('splice', () => {
  it('replaces one field and nothing else', () => {
    fc.assert(
      fc.property(
        otherMembers.filter((all) => all.length > 0),
        fc.nat(),
        jsonValue,
        layout,
        (members, pick, value, how) => {
          const index = pick % members.length
          const raw = Buffer.from(render(members, how))
          const edited = applySplices(raw, [setField(scanFields(raw), members[index]!.name, value)])
          expect(edited.toString()).toBe(render(members.with(index, { ...members[index]!, value }), how))
          expect(raw.toString()).toBe(render(members, how))
        },
      ),
      { seed: 1, numRuns: 2000 },
    )
  })

  it('adds a field after the last and changes nothing else', () => {
    fc.assert(
      fc.property(otherMembers, jsonValue, layout, (members, value, how) => {
        const raw = Buffer.from(render(members, how))
        const edited = applySplices(raw, [setField(scanFields(raw), 'model', value)])
        const comma = members.length > 0 ? ',' : ''
        expect(edited.toString()).toBe(render(members, how, `${comma}"model":${value}`))
        expect(JSON.parse(edited.toString())).toEqual({ ...JSON.parse(raw.toString()), model: JSON.parse(value) })
      }),
      { seed: 2, numRuns: 2000 },
    )
  })

  it('takes fields out, each run of them with one comma, and leaves the others as they were written', () => {
    fc.assert(
      fc.property(
        otherMembers.filter((all) => all.length > 0),
        fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
        layout,
        (members, picks, how) => {
          const names = [...new Set(picks.map((pick) => members[pick % members.length]!.name))]
          const raw = Buffer.from(render(members, how))
          const edited = applySplices(raw, removeFields(scanFields(raw), [...names, 'no such name']))
          const left = scanFields(edited)
          expect(names.filter((name) => left.byName.has(name))).toEqual([])
          JSON.parse(edited.toString())
          for (const other of members) {
            if (names.includes(other.name)) continue
            const { keyStart, valueStart, valueEnd } = left.byName.get(other.name)!
            expect(edited.toString('utf8', keyStart, keyStart + Buffer.byteLength(other.key))).toBe(other.key)
            expect(edited.toString('utf8', valueStart, valueEnd)).toBe(other.value)
          }
          expect(removeFields(left, names)).toEqual([])
        },
      ),
      { seed: 3, numRuns: 2000 },
    )
  })

  it('finds each field where it lies, however its key is spelled', () => {
    fc.assert(
      fc.property(otherMembers, layout, (members, how) => {
        const raw = Buffer.from(render(members, how))
        const { byName, duplicates, open, close } = scanFields(raw)
        expect([...byName.keys()]).toEqual(members.map(({ name }) => name))
        expect(duplicates).toEqual([])
        expect(raw.toString('latin1', open, open + 1) + raw.toString('latin1', close, close + 1)).toBe('{}')
        for (const { name, value } of members) {
          const { valueStart, valueEnd } = byName.get(name)!
          expect(raw.toString('utf8', valueStart, valueEnd)).toBe(value)
        }
      }),
      { seed: 4, numRuns: 2000 },
    )
  })

  it('reads past the end of nothing, throws nothing and ends, for bytes that are no JSON', () => {
    const broken = fc.oneof(
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
      fc.tuple(otherMembers, layout, fc.nat(), fc.nat()).map(([members, how, from, to]) => {
        const text = render(members, how)
        const bytes = Buffer.from(text)
        const [a, b] = [from % (bytes.length + 1), to % (bytes.length + 1)].sort((x, y) => x - y) as [number, number]
        return Buffer.concat([bytes.subarray(0, a), bytes.subarray(b)])
      }),
    )
    fc.assert(
      fc.property(broken, (raw) => {
        for (const { keyStart, valueStart, valueEnd } of scanFields(raw).byName.values()) {
          expect(keyStart).toBeLessThan(valueStart)
          expect(valueStart).toBeLessThanOrEqual(valueEnd)
          expect(valueEnd).toBeLessThanOrEqual(raw.length)
        }
      }),
      { seed: 5, numRuns: 5000 },
    )
  })
})

describe('the edits of a chat request', () => {
  it('change no byte when there is nothing to change', () => {
    fc.assert(
      fc.property(chat, layout, (members, how) => {
        const raw = Buffer.from(render(members, how))
        expect(patch(inspect(raw, limits), noEdits).equals(raw)).toBe(true)
      }),
      { seed: 6, numRuns: 1000 },
    )
  })

  it('set the model and leave big numbers, spacing and nested keys of the same name', () => {
    fc.assert(
      fc.property(chat, layout, fc.string({ unit: 'binary' }), (members, how, other) => {
        const raw = Buffer.from(render(members, how))
        const edited = patch(inspect(raw, limits), { ...noEdits, model: `x${other}` })
        const expected = members.map((member) =>
          member.name === 'model' ? { ...member, value: JSON.stringify(`x${other}`) } : member,
        )
        expect(edited.toString()).toBe(render(expected, how))
      }),
      { seed: 7, numRuns: 2000 },
    )
  })

  it('ask for usage where nothing, null or other options stood', () => {
    const options = fc.oneof(
      fc.constant(undefined),
      fc.constant({ before: 'null', after: '{"include_usage":true}' }),
      fc.constant({ before: '{}', after: '{"include_usage":true}' }),
      fc.constant({ before: '{ }', after: '{"include_usage":true }' }),
      fc.constant({ before: '{"include_usage":false}', after: '{"include_usage":true}' }),
      fc.constant({ before: '{"include\\u005fusage" : null}', after: '{"include\\u005fusage" : true}' }),
      jsonValue.map((value) => ({
        before: `{ "x" :${value}\n, "include_usage":false,"y":{"include_usage":false} }`,
        after: `{ "x" :${value}\n, "include_usage":true,"y":{"include_usage":false} }`,
      })),
      jsonValue.map((value) => ({
        before: `{"include_obfuscation":${value} }`,
        after: `{"include_obfuscation":${value},"include_usage":true }`,
      })),
    )
    fc.assert(
      fc.property(chat, memberOf('stream', fc.constant('true')), options, layout, (some, stream, option, how) => {
        const written = option ? [{ name: 'stream_options', key: '"stream_options"', value: option.before }] : []
        const members = [...written, ...some, stream]
        const raw = Buffer.from(render(members, how))
        const edited = patch(inspect(raw, limits), { ...noEdits, askUsage: true }).toString()
        const expected = members.map((member) =>
          option && member.name === 'stream_options' ? { ...member, value: option.after } : member,
        )
        expect(edited).toBe(render(expected, how, option ? '' : ',"stream_options":{"include_usage":true}'))
      }),
      { seed: 8, numRuns: 2000 },
    )
  })

  it('force parameters, present or not, together with all other edits', () => {
    fc.assert(
      fc.property(chat, layout, fc.boolean(), fc.boolean(), (some, how, has, askUsage) => {
        const members = has ? [...some, { name: 'top_k', key: '"top_\\u006b"', value: '1.0' }] : some
        const raw = Buffer.from(render(members, how))
        const params = { top_k: 7, extra: { model: 'nested' } }
        const edited = patch(inspect(raw, limits), { model: 'other', askUsage, params }).toString()
        const expected = members.map((member) => {
          if (member.name === 'model') return { ...member, value: '"other"' }
          return member.name === 'top_k' ? { ...member, value: '7' } : member
        })
        const added = [
          ...(askUsage ? ['"stream_options":{"include_usage":true}'] : []),
          ...(has ? [] : ['"top_k":7']),
          '"extra":{"model":"nested"}',
        ]
        expect(edited).toBe(render(expected, how, added.map((text) => `,${text}`).join('')))
      }),
      { seed: 9, numRuns: 1000 },
    )
  })

  it('take parameters out, wherever they stand and whatever else is edited', () => {
    fc.assert(
      fc.property(chat, fc.nat(), layout, fc.boolean(), fc.boolean(), (some, place, how, askUsage, forced) => {
        const models = { name: 'models', key: '"models"', value: '["a", "b"]' }
        const members = some.toSpliced(place % (some.length + 1), 0, models)
        const raw = Buffer.from(render(members, how))
        const params = forced ? { models: ['c'], top_k: 1 } : { top_k: 1 }
        const edited = patch(inspect(raw, limits), { model: 'other', askUsage, params, drop: ['models', 'absent'] })
        const { models: _, ...rest } = JSON.parse(raw.toString()) as Record<string, unknown>
        expect(JSON.parse(edited.toString())).toEqual({
          ...rest,
          model: 'other',
          ...(askUsage ? { stream_options: { include_usage: true } } : {}),
          ...params,
        })
        for (const { name, key, value } of some) {
          if (name !== 'model')
            expect(edited.toString().replace(/\s+/g, '')).toContain(`${key}:${value}`.replace(/\s+/g, ''))
        }
      }),
      { seed: 12, numRuns: 1000 },
    )
  })

  it('keep what JSON.parse and JSON.stringify would lose', () => {
    const raw = Buffer.from(
      '{"seed":12345678901234567890,"x":1.0,\t"model":"m" ,"messages":[],"y":1e400,"z":"\\u00e9\\/"}',
    )
    expect(patch(inspect(raw, limits), { ...noEdits, model: 'n' }).toString()).toBe(
      '{"seed":12345678901234567890,"x":1.0,\t"model":"n" ,"messages":[],"y":1e400,"z":"\\u00e9\\/"}',
    )
  })
})

describe('C59 duplicate and escaped keys', () => {
  const inspectedMember = fc.constantFrom(...inspectedNames).chain((name) => memberOf(name, fc.constant('1')))

  it('C59 any top-level key that comes twice is refused, escaped or not', () => {
    fc.assert(
      fc.property(
        chat,
        fc.nat(),
        fc.array(fc.nat(6)),
        jsonValue,
        fc.nat(),
        layout,
        (some, pick, dice, value, place, how) => {
          const { name } = some[pick % some.length]!
          const twin = { name, key: spell(name, dice), value }
          const members = some.toSpliced(place % (some.length + 1), 0, twin)
          const refusal = refusalOf(render(members, how))
          expect(refusal.code).toBe('duplicate_key')
          expect(refusal.status).toBe(400)
        },
      ),
      { seed: 10, numRuns: 2000 },
    )
  })

  it('C59 a key that only readers who ignore case take for an inspected one is refused, beside it and alone', () => {
    fc.assert(
      fc.property(
        chat,
        inspectedMember.chain((member) => misspellings(member.name).map((name) => ({ ...member, name }))),
        fc.array(fc.nat(6)),
        fc.nat(),
        layout,
        (some, odd, dice, place, how) => {
          const members = some.toSpliced(place % (some.length + 1), 0, { ...odd, key: spell(odd.name, dice) })
          const refusal = refusalOf(render(members, how))
          expect(refusal.code).toBe('duplicate_key')
          expect(refusal.status).toBe(400)
        },
      ),
      { seed: 11, numRuns: 2000 },
    )
  })

  it('C59 include_usage cannot come twice within stream_options', () => {
    const base = '"model":"m","messages":[],"stream":true'
    for (const options of [
      '{"include_usage":false,"include_usage":true}',
      '{"include_usage":true,"include\\u005fusage":false}',
      '{"include_usage":true,"Include_Usage":false}',
      '{"INCLUDE_USAGE":true}',
    ]) {
      expect(refusalOf(`{${base},"stream_options":${options}}`).code, options).toBe('duplicate_key')
    }
  })

  it('lets nested duplicates and strange names pass: they decide nothing here', () => {
    for (const body of [
      '{"model":"m","messages":[],"metadata":{"model":"a","model":"b","Model":"c"}}',
      '{"model":"m","messages":[],"models":["a"],"model_":1,"modelX":2}',
      '{"model":"m","messages":[],"__proto__":{"model":"x"},"constructor":1,"":2}',
      '{"mod\\u0065l":"m","messages":[]}',
    ]) {
      const raw = Buffer.from(body)
      expect(inspect(raw, limits).ask.model).toBe('m')
    }
  })

  it('names the key and nothing of its value', () => {
    const refusal = refusalOf('{"model":"m","messages":[],"model":"planted-secret-value"}')
    expect(refusal.message).toContain("'model'")
    expect(refusal.message).not.toContain('planted')
    const long = `k${'ab'.repeat(400)}`
    expect(refusalOf(`{"model":"m","messages":[],"${long}":1,"${long}":2}`).message.length).toBeLessThan(200)
  })
})

describe('depth', () => {
  const nested = (depth: number): string => `{"model":"m","messages":[],"x":${'['.repeat(depth)}${']'.repeat(depth)}}`

  it('is counted with the body itself as the first level, brackets in strings not at all', () => {
    expect(inspect(Buffer.from(nested(127)), limits).ask.model).toBe('m')
    expect(refusalOf(nested(128)).code).toBe('json_too_deep')
    expect(refusalOf(nested(128)).status).toBe(400)
    const text = JSON.stringify({ model: 'm', messages: [], x: `${'[{'.repeat(5000)}\\"` })
    expect(inspect(Buffer.from(text), limits).ask.model).toBe('m')
  })

  it('is refused before anything can recurse, in megabytes of brackets', () => {
    const bomb = '['.repeat(4_000_000)
    for (const body of [bomb, `{"a":${bomb}`, `{"model":"m","messages":${bomb}`]) {
      expect(refusalOf(body).code).toBe('json_too_deep')
    }
  })
})
