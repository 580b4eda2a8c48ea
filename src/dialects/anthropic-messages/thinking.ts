// How much to think: OpenAI's efforts and other gateways' budgets, in the words of each Claude model family.
import type { Chat, ReasoningWish } from '../chat.ts'
import { ownEntry } from '../field.ts'
import type { Losses } from '../loss.ts'
import { effortBudgets, effortOrder, type Family, minBudget } from './families.ts'
import type { WireMessage, WireRequest } from './type.ts'

export interface ThinkingAsk {
  chat: Chat
  family: Family
  maxTokens: number
  /** The request makes the model call a tool. */
  forced: boolean
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
  if (!wish) return { output: {}, thinks: false }
  const param = wish.raw && wish.effort === undefined ? wish.raw.name : 'reasoning_effort'
  const { budgets, adaptive } = ask.family.thinking
  if (wish.off) return { thinking: budgets || adaptive ? { type: 'disabled' } : undefined, output: {}, thinks: false }
  if (!budgets && !adaptive) {
    losses.add(param, 'unsupported', 'this model does not think')
    return { output: {}, thinks: false }
  }
  if (wish.hide && !ask.family.hidesThoughts) losses.add(param, 'approximated', 'thoughts are shown')
  if (!adaptive || (budgets && wish.budgetTokens !== undefined)) return encodeBudget(ask, wish, param, losses)
  return encodeAdaptive(ask.family, wish, param, losses)
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
 * A budget must leave room for the answer, and the API refuses it together with a forced tool call and after a tool call whose
 * thoughts are missing (Anthropic's page "Extended thinking"): then there is no thinking in this turn, which is reported.
 */
function encodeBudget(
  { maxTokens, forced, messages }: ThinkingAsk,
  wish: ReasoningWish,
  param: string,
  losses: Losses,
): ThinkingFields {
  const without = (detail: string): ThinkingFields => {
    losses.add(param, 'dropped', detail)
    return { output: {}, thinks: false }
  }
  if (forced) return without('a tool call is forced')
  if (lacksThoughts(messages)) return without('the history holds tool calls without their thoughts')
  if (maxTokens <= minBudget) return without(`max_tokens leaves no room for ${minBudget} tokens of thought`)
  const asked = wish.budgetTokens ?? ownEntry(effortBudgets, wish.effort ?? 'medium')
  if (asked === undefined) return without('an effort that nobody knows')
  const room = Math.max(minBudget, Math.min(maxTokens - 1, Math.floor(maxTokens * 0.8)))
  const budget = Math.max(minBudget, Math.min(asked, room))
  if (wish.budgetTokens !== undefined && budget !== asked) losses.add(param, 'clamped', `${budget} tokens`)
  return { thinking: { type: 'enabled', budget_tokens: budget }, output: {}, thinks: true }
}

/** Whether the turn that is going on called tools, and began without a thought. */
function lacksThoughts(messages: readonly WireMessage[]): boolean {
  const [before, last] = messages.slice(-2)
  if (last?.role !== 'user' || before?.role !== 'assistant') return false
  if (!last.content.some(({ type }) => type === 'tool_result')) return false
  const first = before.content[0]?.type
  return first !== 'thinking' && first !== 'redacted_thinking'
}
