// Shared reading of OpenAI chat replies and chunks on the identity lane: is anything generated, is it finished, what did it use.
import type { Usage } from '../chat.ts'
import type { ReplyFacts } from '../dialect.ts'
import { asObject, type Json } from '../usage.ts'
import { finishOf } from './finish.ts'
import { readUsage } from './usage.ts'

export const noFacts = (): ReplyFacts => ({
  id: undefined,
  model: undefined,
  finish: undefined,
  rawFinish: undefined,
  usage: undefined,
  serviceTier: undefined,
  contentBytes: 0,
})

/** Takes over what a reply or chunk tells about itself. The last usage wins: some providers send running totals. */
export function learn(facts: ReplyFacts, wire: Json, told: UsageReader): void {
  if (typeof wire.id === 'string' && wire.id !== '') facts.id ??= wire.id
  if (typeof wire.model === 'string' && wire.model !== '') facts.model ??= wire.model
  if (typeof wire.service_tier === 'string') facts.serviceTier = wire.service_tier
  const usage = told.read(wire)
  if (usage) facts.usage = usage
}

/** Finds the usage of one reply where its vendor puts it: Groq in `x_groq` as well, Moonshot in each choice that has ended. */
export class UsageReader {
  /** What choices have told of themselves, by their number. */
  #byChoice: Map<unknown, Usage> | undefined
  /** What all of them have generated. A choice may tell again and again, and there may be thousands. */
  readonly #sum = { output: 0, reasoning: 0, audioOut: 0 }
  readonly #choices: number

  /** @param choices that will tell of themselves, where it is choices that tell: until all have, what is known is a part */
  constructor(choices = 1) {
    this.#choices = choices
  }

  /** What the reply has used as far as this reply or chunk tells; undefined where it tells nothing. */
  read(wire: Json): Usage | undefined {
    const own = wire.usage ?? asObject(wire.x_groq)?.usage
    if (own !== undefined && own !== null) return readUsage(own)
    if (!Array.isArray(wire.choices)) return undefined
    let last: Usage | undefined
    for (let position = 0; position < wire.choices.length; position++) {
      const choice = asObject(wire.choices[position])
      const usage = readUsage(choice?.usage)
      if (!usage) continue
      last = usage
      this.#count(choice!.index ?? position, usage)
    }
    if (!last) return undefined
    // The prompt is read once for all choices.
    const { size } = this.#byChoice!
    const all = size === 1 ? last : { ...last, ...this.#sum }
    return size < this.#choices ? { ...all, estimated: true } : all
  }

  #count(choice: unknown, usage: Usage): void {
    this.#byChoice ??= new Map()
    const before = this.#byChoice.get(choice)
    this.#byChoice.set(choice, usage)
    for (const name of ['output', 'reasoning', 'audioOut'] as const)
      this.#sum[name] += usage[name] - (before?.[name] ?? 0)
  }
}

export function learnFinish(facts: ReplyFacts, raw: string): void {
  facts.rawFinish = raw
  facts.finish = finishOf(raw)
}

/** The choices of a reply or chunk; `choices: null` and other oddities count as none. */
export function choicesOf(wire: Json): Json[] {
  if (!Array.isArray(wire.choices)) return []
  return wire.choices.map(asObject).filter((choice) => choice !== undefined)
}

/** The bytes of generated content in a message or delta, 0 for one that only carries a role. Structure without text counts 1. */
export function generatedBytes(message: Json | undefined): number {
  if (!message) return 0
  let bytes = textBytes(message.content) + textBytes(message.refusal)
  bytes += textBytes(message.reasoning_content) || textBytes(message.reasoning)
  for (const call of Array.isArray(message.tool_calls) ? message.tool_calls : []) {
    const fn = asObject(asObject(call)?.function)
    bytes += 1 + textBytes(fn?.name) + textBytes(fn?.arguments)
  }
  for (const name of ['function_call', 'audio', 'reasoning_details', 'images', 'annotations'] as const) {
    const value = message[name]
    if (Array.isArray(value) ? value.length > 0 : asObject(value) !== undefined) bytes += 1
  }
  return bytes
}

/** Mistral writes content as a list of parts. */
export function textBytes(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  return Array.isArray(value) && value.length > 0 ? Buffer.byteLength(JSON.stringify(value)) : 0
}

export function hasToolCall(message: Json | undefined): boolean {
  return Array.isArray(message?.tool_calls) && message.tool_calls.length > 0
}
