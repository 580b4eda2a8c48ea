// The bodies and replies of every work: made once, the same bytes for every contender and every run.

const prose =
  'The yard master reads the board, sets the points and waves the next train on; no wagon stops while the road is changed. ' +
  'A careful operator moves one part in a hundred first, looks at what arrives at the other end, and only then moves the rest.\n' +
  'Übergänge, façades and 転轍機 are words that a text may hold, "quoted" ones too. '

/** Text of at least `bytes` UTF-8 bytes once written as a JSON string, cut on a word. */
const makeText = (bytes: number): string => {
  let text = ''
  while (Buffer.byteLength(JSON.stringify(text)) < bytes) text += prose
  return text
}

/**
 * A chat request of exactly `bytes` bytes (give or take none): real text, padded at the end with spaces inside the last message.
 * `model` is the route's name; upstreams ignore it.
 */
export const makeBody = (model: string, bytes: number, stream?: { includeUsage: boolean }): Buffer => {
  const wire = (text: string) =>
    JSON.stringify({
      model,
      messages: [
        { role: 'system', content: 'You answer in one short paragraph and say so when you do not know.' },
        { role: 'user', content: text },
      ],
      temperature: 0.2,
      max_tokens: 512,
      ...(stream ? { stream: true } : {}),
      ...(stream?.includeUsage ? { stream_options: { include_usage: true } } : {}),
    })
  const room = bytes - Buffer.byteLength(wire(''))
  let text = makeText(room)
  while (Buffer.byteLength(JSON.stringify(text)) - 2 > room) {
    // Steps get smaller near the goal: characters have 1 to 3 bytes, and some are escaped.
    const over = Buffer.byteLength(JSON.stringify(text)) - 2 - room
    text = text.slice(0, text.length - Math.max(1, Math.floor(over / 6)))
  }
  return Buffer.from(wire(text + ' '.repeat(room - (Buffer.byteLength(JSON.stringify(text)) - 2))))
}

/** Only characters that an nginx configuration can hold in a quoted string (no dollar sign, which starts a variable). */
export const replyText = (bytes: number) => makeText(bytes).slice(0, bytes).trim()

/** The words that the `count` frames of a stream carry, one each; they begin anew where there are fewer. */
export const wordsOf = (count: number): string[] => makeText(count * 8).split(' ')

/** A whole chat reply of about `bytes` bytes. */
export const makeReply = (bytes: number): Buffer =>
  Buffer.from(
    JSON.stringify({
      id: 'chatcmpl-bench0000000000000000000000',
      object: 'chat.completion',
      created: 1_760_000_000,
      model: 'bench-model-2025-08-07',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: replyText(bytes - 560), refusal: null, annotations: [] },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 211,
        completion_tokens: 87,
        total_tokens: 298,
        prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
      },
      service_tier: 'default',
      system_fingerprint: 'fp_bench00000',
    }),
  )

/**
 * The events of one stream as SSE frames: a role chunk, words, a finish chunk, `[DONE]`; `count` frames with content in all.
 * With `usage` they are what OpenAI sends when asked for usage: `"usage":null` on each chunk and one more chunk before the end.
 */
export const makeFrames = (count: number, usage: boolean): Buffer[] => {
  const words = wordsOf(count)
  const chunk = (delta: object, finish: string | null) => ({
    id: 'chatcmpl-bench0000000000000000000000',
    object: 'chat.completion.chunk',
    created: 1_760_000_000,
    model: 'bench-model-2025-08-07',
    service_tier: 'default',
    system_fingerprint: 'fp_bench00000',
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    ...(usage ? { usage: null } : {}),
  })
  const wires: object[] = []
  for (let i = 0; i < count; i++) {
    const first =
      i === 0 ? { role: 'assistant', content: '', refusal: null } : { content: `${words[i % words.length]} ` }
    wires.push(i === count - 1 ? chunk({}, 'stop') : chunk(first, null))
  }
  if (usage) {
    const sums = { prompt_tokens: 211, completion_tokens: count - 2, total_tokens: 209 + count }
    wires.push({ ...chunk({}, null), choices: [], usage: sums })
  }
  return [...wires.map((wire) => `data: ${JSON.stringify(wire)}\n\n`), 'data: [DONE]\n\n'].map((text) =>
    Buffer.from(text),
  )
}

/** What an OpenAI-like vendor adds to each reply; gateways have to read, filter or pass these. */
export const vendorHeaders: Readonly<Record<string, string>> = {
  'x-request-id': 'req_bench000000000000000000000000',
  'openai-version': '2020-10-01',
  'openai-processing-ms': '12',
  'x-ratelimit-limit-requests': '30000',
  'x-ratelimit-remaining-requests': '29999',
  'x-ratelimit-reset-requests': '2ms',
}

/** A reply's wire as far as words are concerned: OpenAI's, Anthropic's or Gemini's. */
interface Spoken {
  type?: string
  choices?: { message?: { content: string }; delta?: { content?: string } }[]
  content?: { text: string }[]
  delta?: { text?: string }
  candidates?: { content: { parts: { text: string }[] }; finishReason?: string }[]
}

const wordsIn = ({ choices, content, delta, candidates }: Spoken): string =>
  choices?.[0]?.message?.content ??
  choices?.[0]?.delta?.content ??
  content?.[0]?.text ??
  delta?.text ??
  candidates?.[0]?.content.parts[0]?.text ??
  ''

/** The words of a reply, read back from its bytes: what must be the same whichever way the reply came, and in whichever dialect. */
export const readWords = (body: Buffer, stream: boolean): string => {
  if (!stream) return wordsIn(JSON.parse(body.toString()) as Spoken)
  let words = ''
  let ended = false
  for (const line of body.toString().split(/\r?\n/)) {
    if (!line.startsWith('data: ')) continue
    if (line === 'data: [DONE]') {
      ended = true
      continue
    }
    const wire = JSON.parse(line.slice(6)) as Spoken
    words += wordsIn(wire)
    // Anthropic's and Gemini's own marks of an end: no [DONE] there.
    ended ||= wire.type === 'message_stop' || wire.candidates?.[0]?.finishReason === 'STOP'
  }
  return ended ? words : `${words} (no end)`
}

/** Whether it is OpenAI's own dialect: what a contender that translates has to answer in. */
export const isOpenAi = (body: Buffer, stream: boolean): boolean => {
  const objectOf = (text: string): unknown => (JSON.parse(text) as { object?: unknown }).object
  if (!stream) return objectOf(body.toString()) === 'chat.completion'
  const data = body
    .toString()
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice(6))
  return data.pop() === '[DONE]' && data.every((text) => objectOf(text) === 'chat.completion.chunk')
}

/** A reply but for what a gateway makes anew each time: the id and the time of a translated one, and the id of a cached one. As in `wrk.lua`. */
export const steady = (body: Buffer): string =>
  body
    .toString()
    .replace(/"id":"[^"]*"/g, '"id":""')
    .replace(/"created":\d+/g, '"created":0')
