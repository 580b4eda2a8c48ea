// Seeded random and mutated request bodies: the same seed gives the same bodies, in the same order.
import { gzipSync } from 'node:zlib'
import { drawOf } from './draws.ts'

export interface FuzzedRequest {
  body: Buffer
  headers: Record<string, string>
}

const content = 'Hello "world" \\ naïve 日本 🚂 \u2028 {"model":"x"} [1,2,3]'
const bases: unknown[] = [
  { model: 'm', messages: [{ role: 'user', content }] },
  { model: 'm', stream: true, messages: [{ role: 'user', content }], stream_options: { include_usage: true } },
  {
    model: 'f-odd/name',
    stream: true,
    messages: [
      { role: 'system', content: 'be brief' },
      { role: 'user', content },
    ],
  },
  {
    model: 'm',
    messages: [
      { role: 'user', content },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{"a":[1.0,2e9]}' } }],
      },
      { role: 'tool', tool_call_id: 'c', content: '{}' },
    ],
    tools: [
      { type: 'function', function: { name: 'f', parameters: { type: 'object', properties: { a: { $ref: '#/x' } } } } },
    ],
    tool_choice: 'auto',
    parallel_tool_calls: true,
  },
  {
    model: 'f-vision',
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'what?' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
          { type: 'input_audio', input_audio: {} },
          { type: 'file' },
        ],
      },
    ],
    max_completion_tokens: 10,
    n: 2,
    user: 'somebody',
  },
  {
    model: 'm',
    messages: [],
    seed: 1,
    temperature: 0.1,
    logit_bias: { '50256': -100 },
    metadata: { a: 'b' },
    stop: ['x'],
    response_format: { type: 'json_schema', json_schema: { name: 'n', schema: {} } },
  },
  { model: 'unheard-of', messages: [{ role: 'user', content }] },
]
const texts = bases.map((base) => JSON.stringify(base))
const pretty = bases.map((base) => JSON.stringify(base, null, '\t'))

const tokens = [
  ...[
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    '\\u',
    '\\ud800',
    '\\u0000',
    'null',
    'true',
    'false',
    '-',
    '0',
    '1e999',
    '12345678901234567890',
  ],
  ...[
    '"model"',
    '"mod\\u0065l"',
    '"MODEL"',
    '"stream":true',
    '"stream":"x"',
    '"n":0',
    '"n":1e9',
    '"messages":[]',
    '"__proto__":{}',
    '\n',
    '\t',
    '\u0000',
    '\ufeff',
    '🚂',
    '\ud83d',
  ],
  ...[
    '"max_tokens":-1',
    '"stream_options":{}',
    '"stream_options":[]',
    '"models":["m","f-x"]',
    '"usage":{"include":true}',
    ' '.repeat(100),
    '['.repeat(60),
    '['.repeat(200),
    '{"a":'.repeat(200),
  ],
]
const keys = [
  'model',
  'messages',
  'stream',
  'stream_options',
  'max_tokens',
  'n',
  'tools',
  'user',
  'models',
  'usage',
  'temperature',
  'constructor',
  '__proto__',
  'toString',
  '',
  'é',
  'M'.repeat(300),
]
const modelNames = [
  'm',
  'M',
  'f-',
  'f-\n',
  'f-\u0000',
  'f-🚂',
  'f-../../x',
  'f-%00',
  `f-${'x'.repeat(5000)}`,
  '',
  '*',
  'f-*',
  'p/x',
  '__proto__',
  'toString',
  'f-\ud800',
]

/** The bodies of one seed. */
export function* fuzzBodies(seed: number, count: number): Generator<FuzzedRequest> {
  const random = drawOf(seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!

  const value = (depth = 0): unknown => {
    const kind = below(depth > 3 ? 8 : 11)
    if (kind < 2) return pick([null, true, false, 0, -1, 1.5, 1e21, 2 ** 53])
    if (kind < 4) return pick(modelNames)
    if (kind < 6) return random() * 1000 - 500
    if (kind < 8) return String.fromCharCode(...Array.from({ length: below(8) }, () => below(0x10000)))
    if (kind < 9) return Array.from({ length: below(4) }, () => value(depth + 1))
    return Object.fromEntries(Array.from({ length: below(4) }, () => [pick(keys), value(depth + 1)]))
  }
  /** Changes a parsed body somewhere, then writes it. */
  const reshape = (): string => {
    const body = JSON.parse(pick(texts)) as Record<string, unknown>
    for (let edits = below(3); edits >= 0; edits--) {
      let spot: unknown = body
      while (below(3) > 0 && typeof spot === 'object' && spot !== null) {
        const inner: unknown = (spot as Record<string, unknown>)[pick(Object.keys(spot).concat('x'))]
        if (typeof inner !== 'object' || inner === null) break
        spot = inner
      }
      const name = pick(Object.keys(spot as object).concat(pick(keys)))
      if (name === '__proto__') continue
      if (below(5) === 0) delete (spot as Record<string, unknown>)[name]
      else (spot as Record<string, unknown>)[name] = name === 'model' && below(2) === 0 ? pick(modelNames) : value()
    }
    return JSON.stringify(body)
  }
  /** Cuts, doubles, swaps and inserts bytes without any respect for what they mean. */
  const mangle = (bytes: Buffer): Buffer => {
    let result = bytes
    for (let edits = 1 + below(3); edits > 0; edits--) {
      const from = below(result.length + 1)
      const to = Math.min(result.length, from + below(20))
      const [head, middle, tail] = [result.subarray(0, from), result.subarray(from, to), result.subarray(to)]
      const kind = below(7)
      if (kind === 0) result = Buffer.concat([head, tail])
      else if (kind === 1) result = Buffer.concat([head, middle, middle, tail])
      else if (kind === 2) result = Buffer.concat([head, Buffer.from(pick(tokens)), middle, tail])
      else if (kind === 3) result = Buffer.concat([head, Buffer.from(pick(tokens)), tail])
      else if (kind === 4) result = head
      else if (kind === 5) result = Buffer.concat([head, Buffer.from([below(256)]), tail])
      else result = Buffer.concat([head, Buffer.from(pick(texts)).subarray(below(100))])
    }
    return result
  }
  const headersOf = (): Record<string, string> => {
    const headers: Record<string, string> = { 'content-type': 'application/json' }
    if (below(50) === 0)
      headers['content-type'] = pick(['application/json; charset=utf-8', 'text/plain', 'application/', 'x'])
    if (below(100) === 0) headers.accept = pick(['text/event-stream', 'application/xml', ''])
    if (below(100) === 0) headers['x-turnout-fallback'] = pick(['off', 'x'])
    return headers
  }

  for (let made = 0; made < count; made++) {
    const kind = below(20)
    let body: Buffer
    if (kind < 7) body = mangle(Buffer.from(pick(below(4) === 0 ? pretty : texts)))
    else if (kind < 14) body = Buffer.from(reshape())
    else if (kind < 16) body = mangle(Buffer.from(reshape()))
    else if (kind < 17) body = Buffer.from(Array.from({ length: below(20) }, () => pick(tokens)).join(''))
    else if (kind < 18) body = Buffer.from(Array.from({ length: below(200) }, () => below(256)))
    else if (kind < 19) body = Buffer.from(JSON.stringify(value()))
    else body = Buffer.from(pick(texts))
    const headers = headersOf()
    if (below(100) === 0) {
      headers['content-encoding'] = pick(['gzip', 'gzip', 'deflate', 'br', 'x'])
      if (below(2) === 0 && headers['content-encoding'] === 'gzip') body = gzipSync(body)
    }
    yield { body, headers }
  }
}
