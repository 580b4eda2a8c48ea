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
const replyText = (bytes: number) => makeText(bytes).slice(0, bytes).trim()

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
  const words = makeText(count * 8).split(' ')
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

/** The words of a reply, read back from its bytes: what must be the same whichever way the reply came. */
export const readWords = (body: Buffer, stream: boolean): string => {
  if (!stream) {
    const wire = JSON.parse(body.toString()) as { choices: { message: { content: string } }[] }
    return wire.choices[0]?.message.content ?? ''
  }
  const frames = body.toString().split('\n\n')
  let words = ''
  for (const frame of frames) {
    if (!frame.startsWith('data: ') || frame === 'data: [DONE]') continue
    const wire = JSON.parse(frame.slice(6)) as { choices: { delta: { content?: string } }[] }
    words += wire.choices[0]?.delta.content ?? ''
  }
  return frames.includes('data: [DONE]') ? words : `${words} (no end)`
}
