// The replies of the two vendors that the hub lane translates: the same words as OpenAI's, in frames shaped like theirs.
import { replyText, wordsOf } from './wire.ts'

interface Event {
  readonly type: string
  readonly [field: string]: unknown
}

/** A whole Anthropic message; its text is that of `makeReply(bytes)`. */
export const makeMessage = (bytes: number): Buffer =>
  Buffer.from(
    JSON.stringify({
      model: claudeModel,
      id: 'msg_bench00000000000000000000',
      type: 'message',
      role: 'assistant',
      content: [{ type: 'text', text: replyText(bytes - 560) }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: { ...promptUsage, output_tokens: 87, service_tier: 'standard' },
    }),
  )

/**
 * One Anthropic stream of `count` frames in all. The vendor pads its data with spaces before the last bracket, writes the ping with a
 * space after its colon and names each event twice: all that is here, because a parser meets it.
 */
export const makeMessageFrames = (count: number): Buffer[] => {
  const around = 6
  const words = wordsOf(count)
  const message = {
    model: claudeModel,
    id: 'msg_bench00000000000000000000',
    type: 'message',
    role: 'assistant',
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { ...promptUsage, output_tokens: 1, service_tier: 'standard' },
  }
  const deltas = Array.from({ length: count - around }, (_, i) => ({
    type: 'content_block_delta',
    index: 0,
    delta: { type: 'text_delta', text: `${words[i % words.length]} ` },
  }))
  const wires: Event[] = [
    { type: 'message_start', message },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'ping' },
    ...deltas,
    { type: 'content_block_stop', index: 0 },
    {
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { ...promptUsage, output_tokens: count - around },
    },
    { type: 'message_stop' },
  ]
  return wires.map((wire, i) => {
    const data = wire.type === 'ping' ? '{"type": "ping"}' : pad(JSON.stringify(wire), i)
    return Buffer.from(`event: ${wire.type}\ndata: ${data}\n\n`)
  })
}

/** A whole Gemini reply with the same text. */
export const makeContent = (bytes: number): Buffer =>
  Buffer.from(JSON.stringify(contentOf(replyText(bytes - 560), 'STOP', 87), null, 2))

/** One Gemini stream of `count` frames: each is a whole reply with a piece of the text, and each tells the usage so far. */
export const makeContentFrames = (count: number): Buffer[] => {
  const words = wordsOf(count)
  return Array.from({ length: count }, (_, i) =>
    Buffer.from(
      `data: ${JSON.stringify(contentOf(`${words[i % words.length]} `, i === count - 1 ? 'STOP' : undefined, i + 1))}\r\n\r\n`,
    ),
  )
}

const claudeModel = 'claude-sonnet-4-5-20250929'

const promptUsage = {
  input_tokens: 211,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
}

const pad = (text: string, i: number): string => `${text.slice(0, -1)}${' '.repeat((i * 7) % 15)}}`

const contentOf = (text: string, finishReason: string | undefined, outputTokens: number) => ({
  candidates: [{ content: { parts: [{ text }], role: 'model' }, finishReason, index: 0 }],
  usageMetadata: {
    promptTokenCount: 211,
    candidatesTokenCount: outputTokens,
    totalTokenCount: 211 + outputTokens,
    promptTokensDetails: [{ modality: 'TEXT', tokenCount: 211 }],
  },
  modelVersion: 'gemini-2.5-flash',
  responseId: 'bench0000000000000000000',
})
