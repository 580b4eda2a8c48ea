// What bounds the cost of an Anthropic Messages request, read from its body as it is sent.
import type { CostBounds } from '../dialect.ts'

type Json = Readonly<Record<string, unknown>>

/** Thinking counts within `max_tokens` (docs.anthropic.com/en/docs/build-with-claude/extended-thinking). */
export function boundsOf(wire: unknown): CostBounds {
  const body = wire as Json
  const tools = Array.isArray(body.tools) ? (body.tools as (Json | null)[]) : []
  return {
    maxTokens: typeof body.max_tokens === 'number' && body.max_tokens >= 1 ? body.max_tokens : undefined,
    n: 1,
    serviceTier:
      body.speed === 'fast' ? 'fast' : typeof body.service_tier === 'string' ? tierOf(body.service_tier) : undefined,
    tools: tools.length > 0,
    predicts: false,
    // Tools with a type of their own may run at the vendor: searches are billed by the call, and what they find by the token. A conversation
    // that it shortens itself is read and written once more.
    unbounded:
      isGiven(body.mcp_servers) ||
      isGiven(body.container) ||
      tools.some((tool) => isTyped(tool)) ||
      compacts(body.context_management),
  }
}

/** The API's word for "never the dearer tier". */
const tierOf = (tier: string): string => (tier === 'standard_only' ? 'standard' : tier)

/** `compact_20260112` and what comes after it; other edits only leave things out. */
function compacts(management: unknown): boolean {
  const edits = (management as Json | null | undefined)?.edits
  return Array.isArray(edits) && edits.some((edit: Json | null) => String(edit?.type).startsWith('compact'))
}

const isTyped = (tool: Json | null): boolean => tool?.type !== undefined && tool?.type !== 'custom'

const isGiven = (value: unknown): boolean => value !== undefined && value !== null
