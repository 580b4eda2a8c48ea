// What bounds the cost of an OpenAI chat request, read from its body as it is sent.
import type { CostBounds } from '../dialect.ts'

type Json = Readonly<Record<string, unknown>>

const none: readonly unknown[] = []

/** What bounds the cost of this body. @param wire the parsed JSON object */
export function boundsOf(wire: unknown): CostBounds {
  const body = wire as Json
  const tools: readonly unknown[] = Array.isArray(body.tools) ? body.tools : none
  return {
    maxTokens: capOf(body),
    n: Math.max(1, numberOf(body.n) ?? 1),
    serviceTier: typeof body.service_tier === 'string' ? body.service_tier : undefined,
    tools: tools.length > 0 || (Array.isArray(body.functions) && body.functions.length > 0),
    // Rejected tokens of a prediction are billed as output, beyond what is answered (platform.openai.com/docs/guides/predicted-outputs).
    predicts: isGiven(body.prediction),
    unbounded: isUnbounded(body, tools),
  }
}

/** Some servers go by one of the names and some by the other: the higher cap is the one to count on. */
function capOf(body: Json): number | undefined {
  const cap = Math.max(numberOf(body.max_completion_tokens) ?? 0, numberOf(body.max_tokens) ?? 0)
  return cap >= 1 ? cap : undefined
}

/**
 * Searches and other tools that run at the vendor are billed by the call, and what they find by the token. OpenRouter's `plugins` search
 * too, and its `models` and `route` let it choose another, dearer model.
 */
function isUnbounded(body: Json, tools: readonly unknown[]): boolean {
  if (isGiven(body.web_search_options) || isGiven(body.search_parameters) || isGiven(body.plugins)) return true
  if (Array.isArray(body.models) && body.models.length > 0) return true
  return tools.some((tool) => {
    const type = (tool as Json | null)?.type
    return type !== 'function' && type !== 'custom' && type !== undefined
  })
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null

const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined)
