// The token counter: exact counts in a worker thread with a deadline, ratios for everything else; never blocks the event loop.
import { encodingOf } from './encodings.ts'
import { type Countable, chatOverheadOf, countableOf } from './messages.ts'
import { createRatios, type Side } from './ratios.ts'
import { createCountingThread } from './thread.ts'
import type { EncodingName } from './worker.ts'

/** `texts` are counted each for itself, and summed. */
export type CountAsk =
  | { model: string; text: string }
  | { model: string; texts: readonly string[] }
  | { model: string; messages: readonly unknown[] }

export interface Count {
  tokens: number
  /** `exact`: the model's own encoding. `ratio`: bytes divided by what this model's bytes per token have been. */
  method: 'exact' | 'ratio'
  encoding?: EncodingName
  /** Parts that are not in the number: images, audio, files, and what a vendor wraps around tool calls. Absent = none. */
  uncounted?: number
  /** Why a model with a known encoding was answered by ratio. */
  because?: 'deadline' | 'queue-full' | 'too-large' | 'failed'
}

export interface TokenCounter {
  /** Exact where the model's encoding is known and the worker keeps its deadline; else by ratio. Never rejects. */
  count(ask: CountAsk): Promise<Count>
  /** Tokens of `bytes` bytes by ratio: synchronous, O(1), for the hot path. */
  estimate(model: string, bytes: number, side?: Side): number
  /** Teaches the ratio of a model from usage that its provider reported. O(1). Leave out requests with media. */
  learn(model: string, bytes: number, tokens: number, side?: Side): void
  /** Ends the worker. Counts in flight are answered by ratio. */
  close(): Promise<void>
  /** For metrics. `recycled`: workers killed because they missed a deadline. `alive`: there is one now. */
  readonly stats: { exact: number; ratio: number; recycled: number; queued: number; alive: boolean; models: number }
}

export interface TokenCounterOptions {
  /** Milliseconds that the worker may take for one text. */
  deadline?: number
  /** Milliseconds that a count may wait for its turn. */
  maxWait?: number
  /** Counts that may wait. */
  maxQueue?: number
  /** Bytes of text above which no exact count is tried. */
  maxBytes?: number
  /** Milliseconds without work after which the worker is let go, and its memory (about 60 MB) with it. */
  idle?: number
}

/** The token counter of one process, with the worker thread that it counts in. */
export function createTokenCounter(options: TokenCounterOptions = {}): TokenCounter {
  const { deadline = 750, maxWait = 3_000, maxQueue = 64, maxBytes = 8 * 1024 * 1024, idle = 60_000 } = options
  const ratios = createRatios()
  const thread = createCountingThread({ deadline, maxWait, maxQueue, idle })
  const counts = { exact: 0, ratio: 0 }

  return {
    async count(ask) {
      const around = chatOverheadOf(ask.model)
      const { texts, overhead, uncounted } =
        'messages' in ask ? countableOf(ask.messages, around) : plain('text' in ask ? [ask.text] : [...ask.texts])
      const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
      const rest = uncounted > 0 ? { uncounted } : {}
      const byRatio = (because?: Count['because']): Count => {
        counts.ratio++
        const tokens = ratios.estimate(ask.model, bytes) + overhead
        return { tokens, method: 'ratio', ...rest, ...(because ? { because } : {}) }
      }

      const encoding = encodingOf(ask.model)
      if (!encoding || ('messages' in ask && !around)) return byRatio()
      if (bytes > maxBytes) return byRatio('too-large')
      const outcome = await thread.count(encoding, texts)
      if (typeof outcome !== 'number') return byRatio(outcome)
      counts.exact++
      return { tokens: outcome + overhead, method: 'exact', encoding, ...rest }
    },
    estimate: ratios.estimate,
    learn: ratios.learn,
    close: thread.close,
    get stats() {
      const { recycled, queued, alive } = thread
      return { ...counts, recycled, queued, alive, models: ratios.size }
    },
  }
}

const plain = (texts: string[]): Countable => ({ texts, overhead: 0, uncounted: 0 })
