// Long requests and replies on the hub lane cost as much as they are long: nothing in them is looked for among all that came before.
import { describe, expect, it } from 'vitest'
import { encodeRequest as toAnthropic } from '../src/dialects/anthropic-messages/request.ts'
import { encodeRequest as toGemini } from '../src/dialects/gemini/request.ts'
import { decodeStream as fromGemini } from '../src/dialects/gemini/stream.ts'
import { decodeRequest } from '../src/dialects/openai-chat/decodeRequest.ts'
import { ReplyReader } from '../src/dialects/openai-chat/replyReader.ts'

type Json = Record<string, unknown>

const user = { role: 'user', content: 'x' }
const request = (more: Json): Json => ({ model: 'm', messages: [user], ...more })
const many = <T>(count: number, make: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at))

const targets = [
  { name: 'anthropic', encode: (body: Json) => toAnthropic(decodeRequest(body), 'claude-sonnet-4-5') },
  { name: 'gemini', encode: (body: Json) => toGemini(decodeRequest(body), 'gemini-2.5-flash') },
]
const bodies: Record<string, (n: number) => Json> = {
  // All of them become the same id where only letters and digits are taken.
  'call ids in another alphabet': (n) => {
    const ids = many(n, (at) => String.fromCodePoint(0x4e00 + (at % 20_000), 0x4e00 + Math.floor(at / 20_000)))
    const tool_calls = ids.map((id) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } }))
    const results = ids.map((tool_call_id) => ({ role: 'tool', tool_call_id, content: 'x' }))
    return request({ messages: [user, { role: 'assistant', tool_calls }, ...results] })
  },
  'parameters that nobody knows': (n) => request(Object.fromEntries(many(n * 5, (at) => [`field_${at}`, at]))),
  'functions called and answered': (n) => {
    const calls = many(n, (at) => ({ role: 'assistant', function_call: { name: `f${at}`, arguments: '{}' } }))
    const results = many(n, (at) => ({ role: 'function', name: `f${n - 1 - at}`, content: 'x' }))
    return request({ messages: [user, ...calls, ...results] })
  },
  'a schema whose parts refer to what is around them': (n) => {
    const deep = 100
    const either = { anyOf: [{ type: 'string' }, { type: 'number' }, { type: 'null' }] }
    const flat = { type: 'object', properties: Object.fromEntries(many(n, (at) => [`p${at}`, either])) }
    const x = many(deep, () => 0).reduce<Json>((items) => ({ items }), flat)
    const y = { anyOf: many(deep, (at) => ({ $ref: `#/properties/x${'/items'.repeat(at)}` })) }
    const schema = { type: 'object', properties: { x, y } }
    return request({ response_format: { type: 'json_schema', json_schema: { name: 'a', schema } } })
  },
  'a function called and never answered': (n) =>
    request({
      messages: [user, ...many(n, () => ({ role: 'assistant', function_call: { name: 'f', arguments: '{}' } }))],
    }),
}

describe.each(targets)('to $name', ({ encode }) => {
  it.each(Object.entries(bodies))('%s', (_what, make) => {
    const time = (n: number): number => {
      const body = make(n)
      return timeOf(() => encode(body))
    }
    time(1_000)
    // Linear, the slowest takes a third of a second. Where each is looked for among all before, it takes from three to forty.
    expect(Math.min(...many(3, () => time(16_000)))).toBeLessThan(1_500)
  })
})

/** Milliseconds of the processor: other programs make none of them. */
function timeOf(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

describe('a reply', () => {
  const read = (wires: readonly Json[]): void => {
    const reader = new ReplyReader()
    for (const wire of wires) reader.take(wire)
    reader.complete()
  }

  it.each([
    [
      'of many calls without an index',
      () => {
        const tool_calls = many(32_000, (at) => ({ id: `c${at}`, function: { name: 'f', arguments: '{}' } }))
        return [{ choices: [{ message: { tool_calls }, finish_reason: 'tool_calls' }] }]
      },
    ],
    [
      'of many choices, each of which tells of its usage',
      () => {
        const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
        return many(16_000, (index) => ({
          choices: [{ index, delta: { content: 'x' }, finish_reason: 'stop', usage }],
        }))
      },
    ],
  ])('%s', (_what, make) => {
    const wires = make()
    // Linear, half a second. Where each is looked for among all before, or all are summed up for each, eight and more.
    expect(Math.min(...many(2, () => timeOf(() => read(wires))))).toBeLessThan(3_000)
  })

  it('whose call is almost all holes is garbage, and not written out', () => {
    const piece = (jsonPath: string) =>
      `{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath":"${jsonPath}","numberValue":1}],"willContinue":true}}]}}]}`
    const begun = '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","willContinue":true}}]}}]}'
    for (const pieces of [
      [`$.a${'[9999]'.repeat(1_000)}`],
      many(1_000, (at) => `$.a${at}[9999]`),
      ['$.a[0]', '$.a[50000000]'],
      ['$.a[0]', "$.a['50000000']"],
    ]) {
      const stream = fromGemini()
      const take = () => {
        for (const data of [begun, ...pieces.map(piece)]) stream.take({ event: undefined, data })
      }
      expect(take, pieces[0]!.slice(0, 20)).toThrow('leaves out most of a list')
    }
  })
})

it('ids that become the same stay apart, and each finds its answer', () => {
  const ids = ['a.b', 'a:b', 'a_b', 'a_b_2', 'a/b']
  const tool_calls = ids.map((id) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } }))
  const results = [...ids].reverse().map((tool_call_id) => ({ role: 'tool', tool_call_id, content: tool_call_id }))
  const { wire } = targets[0]!.encode(request({ messages: [user, { role: 'assistant', tool_calls }, ...results] }))
  const [, calls, answers] = (wire as { messages: { content: Json[] }[] }).messages
  const sent = calls!.content.map(({ id }) => id)
  expect(new Set(sent).size).toBe(ids.length)
  for (const { tool_use_id, content } of answers!.content)
    expect((content as Json[])[0]!.text).toBe(ids[sent.indexOf(tool_use_id)])
})

it('two calls of one deprecated function are answered in their order', () => {
  const call = { role: 'assistant', content: null, function_call: { name: 'f', arguments: '{}' } }
  const said = (content: string) => ({ role: 'function', name: 'f', content })
  const { messages } = decodeRequest(request({ messages: [user, call, call, said('one'), said('two'), said('three')] }))
  const ids = messages.flatMap(({ blocks }) =>
    blocks.flatMap((block) => (block.type === 'tool-call' || block.type === 'tool-result' ? block.id : [])),
  )
  expect(ids).toEqual([1, 2, 1, 2, 3].map((n) => `call_function_${n}`))
})

it('an answer is for the call right before it, and not for one of the same id that was left without', () => {
  const calls = (name: string) => ({
    role: 'assistant',
    tool_calls: [{ id: 'call_0', type: 'function', function: { name, arguments: '{}' } }],
  })
  const answer = { role: 'tool', tool_call_id: 'call_0', content: 'booked' }
  const { messages } = decodeRequest(request({ messages: [user, calls('search'), user, calls('book'), answer] }))
  const [call, result] = messages.slice(-2).map(({ blocks: [block] }) => block as { id: string; name?: string })
  expect([call!.name, result!.id]).toEqual(['book', call!.id])
})

it('calls of several messages in a row are one turn: each has its answer, also where they share an id', () => {
  const calls = (name: string) => ({
    role: 'assistant',
    tool_calls: [{ id: 'c', type: 'function', function: { name, arguments: '{}' } }],
  })
  const answer = (content: string) => ({ role: 'tool', tool_call_id: 'c', content })
  const { messages } = decodeRequest(request({ messages: [user, calls('f'), calls('g'), answer('f'), answer('g')] }))
  const ids = messages.slice(1).map(({ blocks: [block] }) => (block as { id: string }).id)
  expect(ids).toEqual(['c', 'c_2', 'c', 'c_2'])
})

const png = 'iVBORw0KGgo='
const jpeg = '/9j/4AAQSkY='
const webp = 'UklGRiQAAABXRUJQVlA4'
const wave = 'UklGRiQAAABXQVZFZm10'

it.each([
  ['DATA:image/PNG;BASE64,', png, 'image/png'],
  ['data:Image/Jpeg;charset=UTF-8;Base64,', jpeg, 'image/jpeg'],
])('letter case says nothing in the head of a data URL: %s', (head, data, mime) => {
  expectMedia({ type: 'image_url', image_url: { url: head + data } }, mime, data)
})

it.each([
  ['data:image/jpeg;base64,', png, 'image/png'],
  ['data:image/png;base64,', jpeg, 'image/jpeg'],
  ['data:image/jpeg;base64,', 'R0lGODlhAQABAIAA', 'image/gif'],
  ['data:image/png;base64,', webp, 'image/webp'],
  ['data:application/octet-stream;base64,', png, 'image/png'],
  ['data:;base64,', jpeg, 'image/jpeg'],
  // What nobody knows by its beginning is what it says that it is.
  ['data:image/webp;base64,', wave, 'image/webp'],
  ['data:image/gif;base64,', 'AAAA', 'image/gif'],
])('a picture is of the type that its bytes have, whatever is written there: %s%s', (head, data, mime) => {
  expectMedia({ type: 'image_url', image_url: { url: head + data } }, mime, data)
})

it('a file without a type is told by its bytes, and one with a type is what it says', () => {
  const file = (file_data: string) => ({ type: 'file', file: { file_data } })
  expectMedia(file('data:application/octet-stream;base64,JVBERi0xLjQK'), 'application/pdf', 'JVBERi0xLjQK')
  const body = request({ messages: [{ role: 'user', content: [file(`data:text/plain;base64,${png}`)] }] })
  expect(JSON.stringify(targets[1]!.encode(body).wire)).toContain('"mimeType":"text/plain"')
})

/** The part reaches both vendors as bytes of this type. */
function expectMedia(part: Json, mime: string, data: string): void {
  const body = request({ messages: [{ role: 'user', content: [part] }] })
  const [anthropic, gemini] = targets.map(({ encode }) => JSON.stringify(encode(body).wire))
  expect(anthropic).toContain(`{"type":"base64","media_type":"${mime}","data":"${data}"}`)
  expect(gemini).toContain(`{"inlineData":{"mimeType":"${mime}","data":"${data}"}}`)
}
