// The tap of the identity lane recognises plain frames without parsing them: it must say of each what parsing would have said.

import { describe, expect, it } from 'vitest'
import type { StreamTap } from '../src/dialects/dialect.ts'
import { tap } from '../src/dialects/openai-chat/tap.ts'
import { readFrame } from '../src/dialects/sse.ts'
import { chunk } from './support/chatBodies.ts'
import { spell } from './support/jsonText.ts'
import fc from './support/seededCheck.ts'

const edits = (stripUsage: boolean) => ({ stripUsage, choices: 1, quirks: [] })

/** What becomes of one frame: the bytes that pass, and whether anything was generated. */
function pass(it: StreamTap, frame: Buffer): { bytes: string; generated: boolean; fault: boolean } {
  const before = it.facts.contentBytes
  const verdict = it.take(frame, 0, frame.length)
  const bytes =
    verdict === 'drop'
      ? ''
      : verdict === 'cut'
        ? Buffer.concat([frame.subarray(0, it.cutStart), frame.subarray(it.cutEnd)]).toString()
        : (it.edited ?? frame).toString()
  return { bytes, generated: it.facts.contentBytes > before, fault: verdict === 'fault' }
}

/** A tap that has seen content, but none that it could learn a shape from. */
function unlearned(stripUsage: boolean): StreamTap {
  const fresh = tap(edits(stripUsage))
  const call = chunk({ tool_calls: [{ index: 0, id: 'c', function: { name: 'f', arguments: '' } }] })
  const frame = Buffer.from(`data: ${JSON.stringify(call)}\n\n`)
  fresh.take(frame, 0, frame.length)
  return fresh
}

const content = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    'a',
    '\n\n',
    '日本',
    '"usage":null',
    '"finish_reason":null',
    '"finish_reason":"stop"',
    '},"x":{',
    '\\',
    '"error"',
  ),
  fc.string({ unit: 'grapheme', maxLength: 8 }),
)

/** One frame as some server might write it: other key orders, other spacing, escapes, a role on each delta, usage here and there. */
const frame = fc
  .record({
    text: content,
    dice: fc.array(fc.nat(6), { maxLength: 6 }),
    role: fc.boolean(),
    key: fc.constantFrom('content', 'content', 'content', 'reasoning_content', 'reasoning', 'refusal'),
    beside: fc.constantFrom(
      '',
      '',
      '',
      ',"reasoning":"hm"',
      ',"tool_calls":[{"index":0,"function":{"arguments":"x"}}]',
      ',"reasoning":null',
    ),
    spaced: fc.boolean(),
    finish: fc.constantFrom('null', 'null', 'null', 'null', '"length"', '""'),
    finishFirst: fc.boolean(),
    logprobs: fc.constantFrom('', '"logprobs":null,', '"logprobs":{"content":[]},'),
    usage: fc.constantFrom('', '', 'first', 'last', 'nested', 'object'),
    tail: fc.constantFrom('', '', ',"obfuscation":"xY{z"', ',"x_groq":{"usage":null}', ',"error":null'),
  })
  .map((from) => {
    const text = spell(from.text, from.dice)
    const delta = `{${from.role ? '"role":"assistant",' : ''}"${from.key}":${text}${from.beside}}`
    const finish = `"finish_reason":${from.finish}`
    const nested = from.usage === 'nested' ? ',"usage":null' : ''
    const choice = from.finishFirst
      ? `{"index":0,${finish},"delta":${delta}${nested}}`
      : `{"index":0,"delta":${delta},${from.logprobs}${finish}${nested}}`
    const first = from.usage === 'first' ? '"usage":null,' : ''
    const last = from.usage === 'last' ? ',"usage":null' : from.usage === 'object' ? ',"usage":{"prompt_tokens":1}' : ''
    const json = `{${first}"id":"x","model":"m","choices":[${choice}]${last}${from.tail}}`
    return Buffer.from(
      `data: ${from.spaced ? JSON.stringify(JSON.parse(json), null, ' ').replace(/\n\s*/g, ' ') : json}\n\n`,
    )
  })

describe('the tap', () => {
  it.each([true, false])('says of a plain frame what parsing it would say (usage stripped: %s)', (stripUsage) => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 30 }), (frames) => {
        const learning = tap(edits(stripUsage))
        for (const bytes of frames) {
          const finished = learning.facts.finish !== undefined
          const said = pass(learning, bytes)
          const parsed = pass(unlearned(stripUsage), bytes)
          expect(said, bytes.toString()).toEqual(parsed)
          if (finished) break
        }
      }),
      { seed: 20260301, numRuns: 1500 },
    )
  })

  it('takes out of a frame nothing but the usage that parsing would miss', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 30 }), (frames) => {
        const learning = tap(edits(true))
        for (const bytes of frames) {
          const json = JSON.parse(bytes.toString().slice(6)) as Record<string, unknown>
          const { bytes: passed } = pass(learning, bytes)
          if (json.usage !== null) expect(passed).toBe(bytes.toString())
          else {
            const { usage: _, ...rest } = json
            expect(JSON.stringify(JSON.parse(passed.slice(6)))).toBe(JSON.stringify(rest))
            expect(passed.length).toBeLessThan(bytes.toString().length)
          }
        }
      }),
      { seed: 20260302, numRuns: 1000 },
    )
  })

  it.each(['\n', '\r\n', '\r'])('edits JSON that is written over several lines, ended by %j', (eol) => {
    const lines = (value: unknown): Buffer =>
      Buffer.from(
        JSON.stringify(value, null, 1)
          .split('\n')
          .map((line) => `data: ${line}${eol}`)
          .join('') + eol,
      )
    const call = { tool_calls: [{ index: 0, id: 'c', function: { name: 'f', arguments: '{}' } }] }
    const sent = [chunk({ content: 'one\u2028👩‍👧' }), chunk({ content: 'two' }), chunk(call), chunk({}, 'stop')]
    const learning = tap({ stripUsage: true, choices: 1, quirks: ['stop-after-tool-call'] })
    const read = sent.map((value) => {
      const { data } = readFrame(Buffer.from(pass(learning, lines({ ...value, usage: null })).bytes))
      return JSON.parse(data!)
    })
    expect(read).toEqual([...sent.slice(0, 3), chunk({}, 'tool_calls')])
  })

  it('counts the content of a stream near enough to estimate by, whatever its first frame was', () => {
    for (const first of ['\n\n', '日本語', 'a long beginning', '"']) {
      for (const ascii of [true, false]) {
        const texts = [first, ...Array.from({ length: 100 }, () => 'x')]
        const learning = tap(edits(false))
        for (const text of texts) {
          const json = JSON.stringify(chunk({ content: text }))
          const written = ascii
            ? json.replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
            : json
          expect(pass(learning, Buffer.from(`data: ${written}\n\n`)).generated).toBe(true)
        }
        expect(learning.facts.contentBytes).toBe(Buffer.byteLength(texts.join('')))
      }
    }
  })

  it.each([
    [{ error: { message: 'Full.' } }, true],
    [{ error: { message: '', code: 'odd' } }, false],
    [{ error: { error: { message: 'Full.' } } }, false],
    [{ error: 'Full.' }, false],
  ])('leaves an error as it came only where clients find its words: %j', (wire, passes) => {
    const stream = unlearned(false)
    expect(pass(stream, Buffer.from(`data: ${JSON.stringify(wire)}\n\n`)).fault).toBe(true)
    expect(stream.fault!.body !== undefined).toBe(passes)
    expect(stream.fault!.message).toMatch(/^(?:Full|The upstream reported an error inside its reply)\.$/)
  })
})
