// What bounds the cost of a Gemini request, read from its body as it is sent.
import type { CostBounds } from '../dialect.ts'

type Json = Readonly<Record<string, unknown>>

/** Thoughts count within `maxOutputTokens`: a cap that they eat up ends in `MAX_TOKENS` without an answer. */
export function boundsOf(wire: unknown): CostBounds {
  const body = wire as Json
  const config = (body.generationConfig ?? {}) as Json
  const tools = Array.isArray(body.tools) ? (body.tools as (Json | null)[]) : []
  const { maxOutputTokens, candidateCount } = config
  return {
    maxTokens: typeof maxOutputTokens === 'number' && maxOutputTokens >= 1 ? maxOutputTokens : undefined,
    n: typeof candidateCount === 'number' ? Math.max(1, candidateCount) : 1,
    serviceTier: typeof body.serviceTier === 'string' ? body.serviceTier : undefined,
    tools: tools.length > 0,
    predicts: false,
    // Searches and code run at Google; a cached content is a prompt of a length that the request does not show.
    unbounded: (body.cachedContent ?? undefined) !== undefined || tools.some((tool) => hasOwnTools(tool)),
  }
}

const hasOwnTools = (tool: Json | null): boolean =>
  Object.keys(tool ?? {}).some((name) => name !== 'functionDeclarations' && name !== 'function_declarations')
