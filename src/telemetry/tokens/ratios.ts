// Bytes per token, learnt per model from the usage that providers report: for estimates where no tokenizer is at hand.

/** What the bytes are of: a request body (JSON included) or generated text. They have different ratios. */
export type Side = 'prompt' | 'answer'

export interface Ratios {
  /** Remembers that `bytes` of this model's text were `tokens` tokens. O(1), bounded memory; nonsense is ignored. */
  learn(model: string, bytes: number, tokens: number, side?: Side): void
  /** How many tokens `bytes` bytes are, by what was learnt. At least 1 for any byte at all. */
  estimate(model: string, bytes: number, side?: Side): number
  /** Bytes per token as used now. */
  ratio(model: string, side?: Side): number
  readonly size: number
}

/** Starting points, bytes of English per token. Vendors without a public tokenizer are on the low side: rather too many tokens. */
const families: readonly [RegExp, number][] = [
  [/gpt|chatgpt|(^|\/)o[134]/, 4.2],
  [/claude/, 3.4],
  [/gemini|gemma/, 4.1],
  [/llama|deepseek|qwen|mistral|mixtral|grok/, 4],
]
const anyModel = 3.6

const window = 31
const smallest = { bytes: 24, tokens: 6 }
const plausible = { low: 0.25, high: 24 }

interface Memory {
  /** The last ratios in order of arrival, a ring. */
  ring: number[]
  next: number
  /** The same, sorted: the middle one is the answer. A median, because one image or one base64 blob must not move it. */
  sorted: number[]
}

/** `capacity` models (and sides) are remembered; the one not learnt from for longest goes first. */
export function createRatios(capacity = 2_000): Ratios {
  const memories = new Map<string, Memory>()
  const keyOf = (model: string, side: Side): string => (side === 'prompt' ? model : `${model}\n${side}`)
  const ratio = (model: string, side: Side = 'prompt'): number => {
    const memory = memories.get(keyOf(model, side))
    return memory ? (memory.sorted[memory.sorted.length >> 1] as number) : firstGuess(model)
  }

  return {
    learn(model, bytes, tokens, side = 'prompt') {
      if (!(bytes >= smallest.bytes) || !(tokens >= smallest.tokens)) return
      const seen = bytes / tokens
      if (!(seen >= plausible.low && seen <= plausible.high)) return
      const key = keyOf(model, side)
      let memory = memories.get(key)
      // Re-inserted, so that the map's order is the order of use. Two votes for the first guess keep one odd reply from deciding alone.
      if (memory) memories.delete(key)
      else
        memory = {
          ring: [firstGuess(model), firstGuess(model)],
          next: 0,
          sorted: [firstGuess(model), firstGuess(model)],
        }
      remember(memory, seen)
      memories.set(key, memory)
      if (memories.size > capacity) memories.delete(memories.keys().next().value as string)
    },
    estimate: (model, bytes, side = 'prompt') => (bytes > 0 ? Math.max(1, Math.ceil(bytes / ratio(model, side))) : 0),
    ratio,
    get size() {
      return memories.size
    },
  }
}

function remember(memory: Memory, ratio: number): void {
  if (memory.ring.length < window) memory.ring.push(ratio)
  else {
    const oldest = memory.ring[memory.next] as number
    memory.ring[memory.next] = ratio
    memory.next = (memory.next + 1) % window
    memory.sorted.splice(memory.sorted.indexOf(oldest), 1)
  }
  const place = memory.sorted.findIndex((other) => other >= ratio)
  memory.sorted.splice(place < 0 ? memory.sorted.length : place, 0, ratio)
}

function firstGuess(model: string): number {
  const name = model.toLowerCase()
  return families.find(([pattern]) => pattern.test(name))?.[1] ?? anyModel
}
