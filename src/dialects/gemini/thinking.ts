// How much to think: OpenAI's efforts and other gateways' budgets, in the words of each Gemini model family.
import type { Chat, ReasoningWish } from '../chat.ts'
import { ownEntry } from '../field.ts'
import type { Losses } from '../loss.ts'
import { effortBudgets, effortLevels, type Family, type Level, levelOrder, type Thinking } from './families.ts'

export interface ThinkingConfig {
  includeThoughts?: boolean
  thinkingBudget?: number
  thinkingLevel?: Level
}

/** Hub to wire; undefined leaves it to the model. The loss is named after the field that the wish came by. */
export function encodeThinking(chat: Chat, { thinking }: Family, losses: Losses): ThinkingConfig | undefined {
  const wish = chat.reasoning
  // Where thoughts are to be hidden and nothing more, nobody has asked for any.
  if (!wish || !(wish.off || wish.on || wish.effort !== undefined || wish.budgetTokens !== undefined)) return undefined
  const param = wish.raw && wish.effort === undefined ? wish.raw.name : 'reasoning_effort'
  if (thinking.by === 'none') {
    if (!wish.off) losses.add(param, 'unsupported', 'this model does not think')
    return undefined
  }
  const shown = wish.off || wish.hide ? {} : { includeThoughts: true }
  if (thinking.by === 'budget') return { ...shown, ...encodeBudget(wish, thinking, param, losses) }
  // Newer models still take a budget, but never together with a level.
  if (wish.budgetTokens !== undefined && !wish.off) return { ...shown, thinkingBudget: wish.budgetTokens }
  return { ...shown, ...encodeLevel(wish, thinking.levels, param, losses) }
}

function encodeBudget(
  wish: ReasoningWish,
  { min, max, off }: Thinking & { by: 'budget' },
  param: string,
  losses: Losses,
): ThinkingConfig {
  if (wish.off) {
    if (!off) losses.add(param, 'approximated', `this model always thinks: ${min} tokens`)
    return { thinkingBudget: off ? 0 : min }
  }
  const asked = wish.budgetTokens ?? (wish.effort === undefined ? undefined : ownEntry(effortBudgets, wish.effort))
  if (asked === undefined) {
    if (wish.effort !== undefined) losses.add(param, 'unsupported', 'an effort that nobody knows')
    return {}
  }
  const budget = Math.min(max, Math.max(min, asked))
  if (wish.budgetTokens !== undefined && budget !== asked) losses.add(param, 'clamped', `${budget} tokens`)
  return { thinkingBudget: budget }
}

function encodeLevel(wish: ReasoningWish, levels: readonly Level[], param: string, losses: Losses): ThinkingConfig {
  const lowest = levels[0]!
  if (wish.off) {
    losses.add(param, 'approximated', `this model always thinks: level ${lowest}`)
    return { thinkingLevel: lowest }
  }
  if (wish.effort === undefined) return {}
  const asked = ownEntry(effortLevels, wish.effort)
  if (asked === undefined) {
    losses.add(param, 'unsupported', 'an effort that nobody knows')
    return {}
  }
  // The level asked for, else the next one up: less thought than asked for is the greater surprise.
  const level = levels.find((name) => levelOrder.indexOf(name) >= levelOrder.indexOf(asked)) ?? levels.at(-1)!
  if (level !== asked || wish.effort === 'xhigh' || wish.effort === 'max')
    losses.add(param, 'clamped', `level ${level}`)
  return { thinkingLevel: level }
}
