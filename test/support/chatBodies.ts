// The smallest chat requests, replies and chunks, for tests whose subject is something else.

type Json = Record<string, unknown>

export const CHAT = '/v1/chat/completions'

/** A request to `model`. */
export const ask = (model = 'm', more: Json = {}): Json => ({
  model,
  messages: [{ role: 'user', content: 'hi' }],
  ...more,
})

export const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }

/** A whole reply. */
export const reply = (content: string | null = 'hello', choice: Json = {}, more: Json = {}): Json => ({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1_700_000_000,
  model: 'vendor-model',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content, refusal: null },
      logprobs: null,
      finish_reason: 'stop',
      ...choice,
    },
  ],
  usage,
  ...more,
})

/** A chunk with one choice. */
export const chunk = (delta: Json, finish: string | null = null, more: Json = {}): Json => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 1_700_000_000,
  model: 'vendor-model',
  choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
  ...more,
})

export const roleChunk = chunk({ role: 'assistant', content: '' })
export const finishChunk = (reason = 'stop'): Json => chunk({}, reason)
/** The chunk that comes only when it was asked for. */
export const usageChunk: Json = { ...chunk({}), choices: [], usage }

/** A whole stream: role, the texts, the finish. */
export const chunks = (...texts: string[]): Json[] => [
  roleChunk,
  ...texts.map((content) => chunk({ content })),
  finishChunk(),
]

/** One event of a stream. */
export const event = (data: unknown): string => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`
export const DONE = event('[DONE]')
