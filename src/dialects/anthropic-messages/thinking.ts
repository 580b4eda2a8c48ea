// How much to think: OpenAI's efforts and other gateways' budgets, in the words of each Claude model family.
import type { Chat, ReasoningWish } from '../chat.ts'
import { asObject, ownEntry } from '../field.ts'
import type { Losses } from '../loss.ts'
import { effortBudgets, effortOrder, type Family, minBudget } from './families.ts'
import { isThought, type WireMessage, type WireRequest } from './type.ts'

export interface ThinkingAsk {
  chat: Chat
  family: Family
  maxTokens: number
  /** The request makes the model call a tool. */
  calls: boolean
  /** What the operator forces on the target. */
  forced: Readonly<Record<string, unknown>>
  messages: readonly WireMessage[]
}

export interface ThinkingFields {
  thinking?: WireRequest['thinking']
  output: { effort?: string }
  /** Whether the model will think: that limits the sampling parameters. */
  thinks: boolean
}

/** Hub to wire. The loss is named after the field that the wish came by. */
export function encodeThinking(ask: ThinkingAsk, losses: Losses): ThinkingFields {
  const wish = ask.chat.reasoning
  const told = asObject(ask.forced.thinking)
  const thinks = told?.type === 'enabled' || told?.type === 'adaptive'
  if (!wish) return { output: {}, thinks }
  const param = wish.raw && wish.effort === undefined ? wish.raw.name : 'reasoning_effort'
  const { budgets, adaptive } = ask.family.thinking
  if (told) {
    // How much is a parameter of its own where the model decides whether at all: that stays the client's.
    const own = adaptive && !wish.off && wish.effort !== undefined
    return { output: own ? encodeAdaptive(ask.family, wish, param, losses).output : {}, thinks }
  }
  if (wish.off) return { thinking: budgets || adaptive ? { type: 'disabled' } : undefined, output: {}, thinks: false }
  // Where it is to be hidden and nothing more, nobody has asked for any.
  if (wish.effort === undefined && wish.budgetTokens === undefined && !wish.on) return { output: {}, thinks: false }
  if (!budgets && !adaptive) {
    losses.add(param, 'unsupported', 'this model does not think')
    return { output: {}, thinks: false }
  }
  const sampled = thoughtlessSampling(ask.forced)
  if (sampled !== undefined) {
    losses.add(param, 'dropped', `not with the ${sampled} that the target has`)
    return { output: {}, thinks: false }
  }
  if (wish.hide && !ask.family.hidesThoughts) losses.add(param, 'approximated', 'thoughts are shown')
  if (!adaptive || (budgets && wish.budgetTokens !== undefined)) return encodeBudget(ask, wish, param, losses)
  return encodeAdaptive(ask.family, wish, param, losses)
}

/** A sampling parameter of the operator's with which no Claude model thinks. */
function thoughtlessSampling({ temperature, top_p: topP, top_k: topK }: ThinkingAsk['forced']): string | undefined {
  if (typeof temperature === 'number' && temperature !== 1) return 'temperature'
  if (typeof topP === 'number' && topP < 0.95) return 'top_p'
  return typeof topK === 'number' ? 'top_k' : undefined
}

function encodeAdaptive(family: Family, wish: ReasoningWish, param: string, losses: Losses): ThinkingFields {
  const display = family.hidesThoughts && !wish.hide ? { display: 'summarized' as const } : {}
  const asked = wish.effort ?? (wish.budgetTokens === undefined ? undefined : effortOfBudget(wish.budgetTokens))
  if (wish.effort === undefined && asked !== undefined) losses.add(param, 'approximated', `effort '${asked}'`)
  const effort = asked === undefined ? undefined : nearestEffort(asked, family.efforts)
  if (effort !== undefined && effort !== asked) losses.add(param, 'clamped', `effort '${effort}'`)
  if (asked !== undefined && effort === undefined) losses.add(param, 'unsupported', 'an effort that nobody knows')
  return { thinking: { type: 'adaptive', ...display }, output: effort === undefined ? {} : { effort }, thinks: true }
}

/** The highest level that is not above the one asked for, else the lowest there is. */
function nearestEffort(asked: string, levels: readonly string[]): string | undefined {
  const rank = effortOrder.indexOf(asked)
  if (rank === -1) return undefined
  return levels.findLast((level) => effortOrder.indexOf(level) <= rank) ?? levels[0]
}

function effortOfBudget(budget: number): string {
  return Object.entries(effortBudgets).findLast(([, tokens]) => tokens <= budget)?.[0] ?? 'low'
}

/**
 * A budget must leave room for the answer, and the API refuses it together with a forced tool call, after a tool call whose thoughts are
 * missing, and for an answer that is begun (Anthropic's page "Extended thinking"): then there is no thinking in this turn, which is reported.
 */
function encodeBudget(
  { maxTokens, calls, messages }: ThinkingAsk,
  wish: ReasoningWish,
  param: string,
  losses: Losses,
): ThinkingFields {
  const without = (detail: string): ThinkingFields => {
    losses.add(param, 'dropped', detail)
    return { output: {}, thinks: false }
  }
  if (calls) return without('a tool call is forced')
  if (isBegun(messages)) return without('the answer is begun, without a thought')
  if (lacksThoughts(messages)) return without('the history holds tool calls without their thoughts')
  if (maxTokens <= minBudget) return without(`max_tokens leaves no room for ${minBudget} tokens of thought`)
  const asked = wish.budgetTokens ?? ownEntry(effortBudgets, wish.effort ?? 'medium')
  if (asked === undefined) return without('an effort that nobody knows')
  const room = Math.max(minBudget, Math.min(maxTokens - 1, Math.floor(maxTokens * 0.8)))
  const budget = Math.max(minBudget, Math.min(asked, room))
  if (wish.budgetTokens !== undefined && budget !== asked) losses.add(param, 'clamped', `${budget} tokens`)
  return { thinking: { type: 'enabled', budget_tokens: budget }, output: {}, thinks: true }
}

/** Whether the client has written the beginning of the answer: that of a model that thinks is its thought. */
function isBegun(messages: readonly WireMessage[]): boolean {
  const last = messages.at(-1)
  return last?.role === 'assistant' && !beginsWithThought(last)
}

/**
 * Whether the turn that is going on called tools, and no message of it begins with a thought. A model that does not think between its
 * calls has thought once, before the first of them (the same page, "Interleaved thinking").
 */
function lacksThoughts(messages: readonly WireMessage[]): boolean {
  for (let at = messages.length - 1; at >= 0; at--) {
    const message = messages[at]!
    if (message.role === 'assistant' && beginsWithThought(message)) return false
    if (message.role !== 'user' || message.content.every(isResult)) continue
    // The user's words begin another turn, also where they stand beside the answers to calls; those, unless more came after, are of the old one.
    const last = at === messages.length - 1
    if (!last || !message.content.some(isResult)) return !last
  }
  return false
}

const isResult = ({ type }: { type: string }): boolean => type === 'tool_result'

const beginsWithThought = ({ content: [first] }: WireMessage): boolean => first !== undefined && isThought(first)
