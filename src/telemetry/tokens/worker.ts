// The token-counting thread: encodes texts with tiktoken, one job at a time, and may be killed at any moment.
import { parentPort } from 'node:worker_threads'
import { get_encoding, type Tiktoken } from 'tiktoken'

/** What the counting thread is asked. Texts are counted apart and summed: a message boundary never merges tokens. */
export interface CountJob {
  id: number
  encoding: EncodingName
  texts: string[]
}

export interface CountDone {
  id: number
  /** Undefined when the encoding failed. */
  tokens: number | undefined
}

export type EncodingName = 'o200k_base' | 'cl100k_base' | 'p50k_base'

const encodings = new Map<EncodingName, Tiktoken>()

parentPort?.on('message', (job: CountJob) => {
  const done: CountDone = { id: job.id, tokens: countTokens(job) }
  parentPort?.postMessage(done)
})
parentPort?.postMessage('ready')

function countTokens({ encoding, texts }: CountJob): number | undefined {
  try {
    let tiktoken = encodings.get(encoding)
    if (!tiktoken) {
      tiktoken = get_encoding(encoding)
      encodings.set(encoding, tiktoken)
    }
    let tokens = 0
    // `encode_ordinary`: text that looks like a special token is text, and must not throw.
    for (const text of texts) tokens += tiktoken.encode_ordinary(text).length
    return tokens
  } catch {
    return undefined
  }
}
