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
/**
 * No token is less than a byte of the text that it stands for: a prompt of more has a part that no body shows (a vendor's own instructions),
 * which does not grow with the text. An answer may have thoughts that nobody is shown.
 */
const lowest = { prompt: 1, answer: 0.25 }
const highest = 24

/** `capacity` models are remembered of each side; the one not learnt from for longest goes first. */
export function createRatios(capacity = 2_000): Ratios {
  const sides = { prompt: createSide(capacity), answer: createSide(capacity) }
  const ratio = (model: string, side: Side = 'prompt'): number => sides[side].get(model)?.middle ?? firstGuess(model)
  return {
    learn(model, bytes, tokens, side = 'prompt') {
      if (!(bytes >= smallest.bytes) || !(tokens >= smallest.tokens)) return
      const seen = bytes / tokens
      if (seen >= lowest[side] && seen <= highest) sides[side].touch(model).add(seen)
    },
    estimate: (model, bytes, side = 'prompt') => (bytes > 0 ? Math.max(1, Math.ceil(bytes / ratio(model, side))) : 0),
    ratio,
    get size() {
      return sides.prompt.size + sides.answer.size
    },
  }
}

/** The models of one side, in a list from the one not learnt from for longest to the latest: a map alone would have to be changed for each reply. */
function createSide(capacity: number) {
  const known = new Map<string, Memory>()
  let oldest: Memory | undefined
  let latest: Memory | undefined
  const unlink = (memory: Memory): void => {
    if (memory.before) memory.before.after = memory.after
    else oldest = memory.after
    if (memory.after) memory.after.before = memory.before
    else latest = memory.before
  }
  const append = (memory: Memory): void => {
    memory.before = latest
    memory.after = undefined
    if (latest) latest.after = memory
    else oldest = memory
    latest = memory
  }
  return {
    get: (model: string) => known.get(model),
    /** The model's memory, now the latest. */
    touch(model: string): Memory {
      const found = known.get(model)
      if (found && found === latest) return found
      if (found) unlink(found)
      else if (oldest && known.size >= capacity) {
        known.delete(oldest.model)
        unlink(oldest)
      }
      const memory = found ?? new Memory(model)
      if (!found) known.set(model, memory)
      append(memory)
      return memory
    },
    get size() {
      return known.size
    },
  }
}

/** The last ratios of a model. Their median is the answer, because one image or one base64 blob must not move it. */
class Memory {
  readonly model: string
  before: Memory | undefined = undefined
  after: Memory | undefined = undefined
  /** In order of arrival, a ring. */
  readonly #ring = new Float64Array(window)
  /** The same, sorted. */
  readonly #sorted = new Float64Array(window)
  #count = 0
  #next = 0

  constructor(model: string) {
    this.model = model
    // Two votes for the first guess keep one odd reply from deciding alone.
    const guess = firstGuess(model)
    this.add(guess)
    this.add(guess)
  }

  get middle(): number {
    return this.#sorted[this.#count >> 1]!
  }

  /** Puts `ratio` in the place of the oldest once the ring is full. */
  add(ratio: number): void {
    const sorted = this.#sorted
    let place: number
    if (this.#count < window) place = this.#count++
    else {
      const gone = this.#ring[this.#next]!
      place = 0
      while (sorted[place]! < gone) place++
    }
    // From the place that is free now to the one where the new one belongs.
    for (; place > 0 && sorted[place - 1]! > ratio; place--) sorted[place] = sorted[place - 1]!
    for (; place < this.#count - 1 && sorted[place + 1]! < ratio; place++) sorted[place] = sorted[place + 1]!
    sorted[place] = ratio
    this.#ring[this.#next] = ratio
    this.#next = (this.#next + 1) % window
  }
}

function firstGuess(model: string): number {
  const name = model.toLowerCase()
  return families.find(([pattern]) => pattern.test(name))?.[1] ?? anyModel
}
