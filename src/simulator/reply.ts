// Makes the reply to a request, once and for every wire: its text, thoughts, tool calls, finish and usage, all from the seed.
import type { Asked, AskedTool } from './asked.ts'
import { valueFor } from './jsonValue.ts'
import { cutAtStop, cutTokens, writeProse, writeThoughts } from './prose.ts'
import { Dice, digest } from './random.ts'
import type { Script } from './script.ts'

/** One call of a tool. `pieces` joined are its arguments as JSON text (or whatever the script gave). */
export interface ReplyCall {
  /** Letters and digits, before which each wire puts its own mark; or the script's own id, which goes out as it is. */
  id: string
  isScripted: boolean
  name: string
  pieces: string[]
}

export interface Choice {
  reasoning: string[]
  text: string[]
  calls: ReplyCall[]
  /** `stop`, `length`, `tool_calls`, `content_filter`, or the script's own word. */
  finish: string
  /** The stop sequence that ended the text. */
  stopSequence?: string | undefined
}

/** Tokens as billed. Inclusive as OpenAI counts: the prompt includes cached tokens, the completion includes reasoning. */
export interface ReplyUsage {
  promptTokens: number
  completionTokens: number
  cachedTokens: number
  /** Written into the cache: for an hour where the second number says so. */
  cacheWriteTokens: number
  cacheWrite1hTokens: number
  reasoningTokens: number
  audioInTokens: number
  audioOutTokens: number
}

export interface Reply {
  /** Letters and digits; each wire puts its own prefix in front. */
  id: string
  model: string
  /** Unix seconds. The same for every reply, because equal requests get equal bytes. */
  created: number
  choices: Choice[]
  usage: ReplyUsage
}

const CREATED = 1_760_000_000
const MAX_AUTO_CALLS = 4

/** `key`: the digest of the seed and of the request's bytes; ids come from it, the text from seed and conversation. */
export function makeReply(asked: Asked, script: Script, seed: number, key: Buffer): Reply {
  const ids = new Dice(key)
  const id = ids.id(29)
  const choices = Array.from({ length: asked.n }, (_, index) => {
    const dice = new Dice(digest(seed, asked.conversation, index))
    // Dice of their own: what follows the thoughts must not depend on whether any are wanted.
    const reasoning =
      asked.thoughts === 'none'
        ? []
        : writeThoughts(script.reasoningTokens ?? 0, new Dice(digest(seed, asked.conversation, index, 'thoughts')))
    return makeChoice(asked, script, reasoning, dice, ids)
  })
  return { id, model: asked.model, created: CREATED, choices, usage: countUsage(asked, script, choices) }
}

/** A reply that says nothing and counts nothing, as failing vendors send under status 200. */
export function emptyReply(asked: Asked, seed: number, key: Buffer): Reply {
  const reply = makeReply(asked, { text: '' }, seed, key)
  for (const choice of reply.choices) choice.calls = []
  for (const choice of reply.choices) choice.finish = 'stop'
  return reply
}

/** A call's id as a vendor writes it: `call_…`, `toolu_…`. */
export const idOf = (call: ReplyCall, mark: string): string => (call.isScripted ? call.id : mark + call.id)

/** Whether thoughts are counted and not shown. */
export const hidesThoughts = (asked: Asked, script: Script): boolean =>
  script.reasoningText === false || asked.thoughts === 'hidden'

/** Tokens generated for one call: its name and each piece of its arguments. */
export function tokensOfCall(call: ReplyCall): number {
  return 1 + call.pieces.length
}

function makeChoice(asked: Asked, script: Script, reasoning: string[], dice: Dice, ids: Dice): Choice {
  if (script.blockReason !== undefined) return { reasoning: [], text: [], calls: [], finish: 'content_filter' }
  const calls = makeCalls(asked, script, dice, ids)
  const { text, stopSequence } =
    calls.length > 0 && script.text === undefined
      ? { text: [], stopSequence: undefined }
      : makeText(asked, script, dice)
  const choice: Choice = { reasoning, text, calls, finish: calls.length > 0 ? 'tool_calls' : 'stop', stopSequence }
  if (asked.maxTokens !== undefined && limit(choice, asked.maxTokens)) choice.finish = 'length'
  if (script.finishReason !== undefined) choice.finish = script.finishReason
  return choice
}

function makeText(asked: Asked, script: Script, dice: Dice): Pick<Choice, 'text' | 'stopSequence'> {
  if (script.text === undefined && (asked.format !== 'text' || script.json)) {
    return { text: cutTokens(JSON.stringify(makeJson(asked, dice))) }
  }
  const pieces = script.text === undefined ? writeProse(asked, script.tokens, dice) : cutTokens(script.text)
  if (asked.stop.length === 0) return { text: pieces }
  const whole = pieces.join('')
  const { text, sequence } = cutAtStop(whole, asked.stop)
  return sequence === undefined ? { text: pieces } : { text: cutTokens(text), stopSequence: sequence }
}

function makeJson(asked: Asked, dice: Dice): unknown {
  if (typeof asked.format === 'object') return valueFor(asked.format.schema, dice, nounsOf(asked.question))
  return { answer: writeProse(asked, undefined, dice).join(''), tokens: dice.between(1, 100), sure: dice.next() < 0.5 }
}

/** Cuts thoughts, text and calls, in this order, to what may be generated. True if something was lost. */
function limit(choice: Choice, maxTokens: number): boolean {
  let left = maxTokens
  let cut = false
  const take = (pieces: string[]): string[] => {
    const kept = pieces.slice(0, Math.max(0, left))
    if (kept.length < pieces.length) cut = true
    left -= kept.length
    return kept
  }
  choice.reasoning = take(choice.reasoning)
  choice.text = take(choice.text)
  const calls: ReplyCall[] = []
  for (const call of choice.calls) {
    if (left < 1) {
      cut = true
      break
    }
    left--
    calls.push({ ...call, pieces: take(call.pieces) })
  }
  choice.calls = calls
  return cut
}

function makeCalls(asked: Asked, script: Script, dice: Dice, ids: Dice): ReplyCall[] {
  if (asked.toolResults.length > 0 || asked.toolChoice === 'none') return []
  if (Array.isArray(script.toolCalls)) {
    return script.toolCalls.map((call) => {
      const input = call.arguments ?? {}
      const text = typeof input === 'string' ? input : JSON.stringify(input)
      const isScripted = call.id !== undefined
      return { id: call.id ?? ids.id(24), isScripted, name: call.name, pieces: cutTokens(text) }
    })
  }
  if (script.toolCalls !== 'auto' && asked.toolChoice !== 'required') return []
  const parallel = asked.parallel && script.parallel !== false
  return chooseTools(asked, parallel).map(({ tool, hints }) => ({
    id: ids.id(24),
    isScripted: false,
    name: tool.name,
    pieces: cutTokens(JSON.stringify(valueFor(tool.schema, dice, hints))),
  }))
}

/** Two tools are called once each; one tool once for each thing the question names ("the weather in Paris and Tokyo"). */
function chooseTools(asked: Asked, parallel: boolean): { tool: AskedTool; hints: string[] }[] {
  const [first, second] = asked.tools
  if (first === undefined) return []
  const nouns = nounsOf(asked.question)
  if (!parallel) return [{ tool: first, hints: nouns }]
  if (second === undefined) {
    if (nouns.length < 2) return [{ tool: first, hints: nouns }]
    return nouns.slice(0, MAX_AUTO_CALLS).map((noun) => ({ tool: first, hints: [noun] }))
  }
  return [first, second].map((tool, i) => {
    const noun = nouns[Math.min(i, nouns.length - 1)]
    return { tool, hints: noun === undefined ? [] : [noun] }
  })
}

/** What a question names: quoted words and capitalised ones that do not open a sentence. */
function nounsOf(question: string): string[] {
  const found = question
    .slice(0, 2000)
    .matchAll(/["“]([^"“”]{1,80})["”]|(?<=[^.!?\s]\s)(\p{Lu}[\p{L}\p{M}'’-]+(?: \p{Lu}[\p{L}\p{M}'’-]+)*)/gu)
  const nouns = new Set<string>()
  for (const match of found) nouns.add((match[1] ?? match[2]) as string)
  return [...nouns].slice(0, 8)
}

function countUsage(asked: Asked, script: Script, choices: Choice[]): ReplyUsage {
  let completionTokens = 0
  let reasoningTokens = 0
  for (const choice of choices) {
    reasoningTokens += choice.reasoning.length
    completionTokens += choice.reasoning.length + choice.text.length
    for (const call of choice.calls) completionTokens += tokensOfCall(call)
  }
  const cachedTokens = script.cachedTokens ?? 0
  return {
    promptTokens: Math.max(asked.promptTokens, cachedTokens),
    completionTokens,
    cachedTokens,
    cacheWriteTokens: 0,
    cacheWrite1hTokens: 0,
    reasoningTokens,
    audioInTokens: asked.audioTokens,
    audioOutTokens: 0,
    ...script.usage,
  }
}
