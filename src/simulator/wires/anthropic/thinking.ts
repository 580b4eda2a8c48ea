// Checks how much the model may think, and what does not go together with it.
import { checkChoice, checkNumber, checkObject, fail, isObject, type Wire } from './values.ts'

export interface Thinking {
  thinks: boolean
  /** Thoughts come without their text. */
  hides: boolean
  /** A turn that goes on after a tool call must begin with its thoughts. */
  needsThoughts: boolean
}

const MIN_BUDGET = 1024

/** Throws `WireRefusal`. */
export function readThinking(body: Wire, maxTokens: number): Thinking {
  const wish = body.thinking
  if (wish === undefined) return { thinks: false, hides: false, needsThoughts: false }
  const type = isObject(wish) ? wish.type : undefined
  checkChoice(type, 'thinking.type', ['enabled', 'disabled', 'adaptive'])
  if (type === 'disabled') {
    checkObject(wish, 'thinking.disabled', ['type'])
    return { thinks: false, hides: false, needsThoughts: false }
  }
  const path = `thinking.${type}`
  const enabled = type === 'enabled'
  const fields = checkObject(wish, path, enabled ? ['type', 'budget_tokens', 'display'] : ['type', 'display'])
  const { display } = fields
  if (display !== undefined && display !== null) checkChoice(display, `${path}.display`, ['summarized', 'omitted'])
  if (enabled) {
    if (fields.budget_tokens === undefined) fail(`${path}.budget_tokens`, 'Field required')
    const budget = checkNumber(fields.budget_tokens, `${path}.budget_tokens`, MIN_BUDGET, Infinity, true)
    if (budget >= maxTokens) fail('', '`max_tokens` must be greater than `thinking.budget_tokens`.')
    const choice = isObject(body.tool_choice) ? body.tool_choice.type : undefined
    if (choice === 'any' || choice === 'tool') fail('', 'Thinking may not be enabled when tool_choice forces tool use.')
  }
  return { thinks: true, hides: display === 'omitted', needsThoughts: enabled }
}
