// The hub's request to an Anthropic Messages request body.
import type { Chat } from '../chat.ts'
import type { Encoded, HubAids } from '../dialect.ts'
import { asObject, compact } from '../field.ts'
import { Losses } from '../loss.ts'
import { type Family, familyOf } from './families.ts'
import { encodeTurns } from './messages.ts'
import { encodeSampling } from './sampling.ts'
import { encodeThinking } from './thinking.ts'
import { encodeFormat, encodeTools } from './tools.ts'
import type { CacheControl, WireRequest } from './type.ts'

/**
 * Hub to wire. Always for API version 2023-06-01: from 2026-10-21 on Anthropic's models refuse `temperature`, `top_p` and `top_k`.
 * @throws Refusal for content and tools that the API has no form for
 */
export function encodeRequest(chat: Chat, model: string, { forced = {} }: HubAids = {}): Encoded {
  const losses = new Losses()
  const family = familyOf(model)
  const { system, messages } = encodeTurns(chat, losses)
  const maxTokens = typeof forced.max_tokens === 'number' ? forced.max_tokens : encodeMaxTokens(chat, family, losses)
  const format = encodeFormat(chat, family, losses)
  const tools = encodeTools(chat, family, format.tool, messages, losses)
  const choice = asObject(forced.tool_choice)?.type ?? tools.tool_choice?.type
  const calls = choice === 'any' || choice === 'tool'
  // The API refuses both together: the operator's counts.
  if (calls && !forced.tool_choice && asObject(forced.thinking)?.type === 'enabled') {
    const detail = 'auto: no call is forced with the thinking that the target has'
    losses.add(format.tool ? 'response_format' : 'tool_choice', 'approximated', detail)
    const { disable_parallel_tool_use } = tools.tool_choice!
    tools.tool_choice = compact({ type: 'auto' as const, disable_parallel_tool_use })
  }
  const ask = { chat, family, maxTokens, calls, forced, messages }
  const thinking = encodeThinking(ask, losses)
  const output = { ...format.output, ...thinking.output }
  const wire: WireRequest = compact({
    model,
    max_tokens: maxTokens,
    system: encodeSystem(system, format.instruction),
    messages,
    ...tools,
    stream: chat.stream,
    stop_sequences: encodeStop(chat, losses),
    ...encodeSampling(ask, thinking.thinks, losses),
    thinking: thinking.thinking,
    output_config: Object.keys(output).length > 0 ? output : undefined,
    metadata: encodeMetadata(chat, losses),
    service_tier: encodeTier(chat, losses),
    cache_control: chat.extra?.cache_control,
  })
  limitCacheMarks(wire, losses)
  reportRest(chat, losses)
  return { wire, losses: losses.list, headers: { 'anthropic-version': '2023-06-01' } }
}

function encodeSystem(system: WireRequest['system'], instruction: string | undefined): WireRequest['system'] {
  const blocks = [...(system ?? []), ...(instruction === undefined ? [] : [{ type: 'text', text: instruction }])]
  return blocks.length > 0 ? blocks : undefined
}

function encodeMaxTokens(chat: Chat, family: Family, losses: Losses): number {
  const asked = chat.maxTokens
  if (asked === undefined) return family.maxOutput
  if (!family.limitKnown || asked <= family.maxOutput) return asked
  losses.add(chat.maxTokensName ?? 'max_tokens', 'clamped', `the model's limit is ${family.maxOutput}`)
  return family.maxOutput
}

/** A sequence of nothing but white space is refused. */
function encodeStop({ stop }: Chat, losses: Losses): string[] | undefined {
  const kept = stop?.filter((sequence) => sequence.trim() !== '')
  if (kept?.length !== stop?.length) losses.add('stop', 'dropped', 'sequences of white space')
  return kept?.length ? kept : undefined
}

/** The one field of metadata there is names the end user. */
function encodeMetadata(chat: Chat, losses: Losses): { user_id: string } | undefined {
  const { user_id: inMetadata, ...others } = chat.metadata ?? {}
  if (Object.keys(others).length > 0) losses.add('metadata', 'unsupported')
  const safety = chat.extra?.safety_identifier
  const user = chat.user ?? (typeof safety === 'string' ? safety : undefined) ?? inMetadata
  if (user === undefined) return undefined
  if (typeof user === 'string' && user.length <= 512) return { user_id: user }
  losses.add('user', 'dropped', typeof user === 'string' ? 'longer than 512 characters' : 'it is no text')
  return undefined
}

function encodeTier({ serviceTier: tier }: Chat, losses: Losses): 'auto' | 'standard_only' | undefined {
  if (tier === undefined) return undefined
  if (tier === 'default' || tier === 'standard' || tier === 'standard_only') return 'standard_only'
  if (tier === 'priority') losses.add('service_tier', 'approximated', 'auto: priority where the account has it')
  else if (tier !== 'auto') {
    losses.add('service_tier', 'unsupported')
    return undefined
  }
  return 'auto'
}

/** At most four blocks may be marked; the earliest marks of the conversation go, as the later ones cover them. */
function limitCacheMarks(wire: WireRequest, losses: Losses): void {
  type Marked = { cache_control?: CacheControl }
  const marked = (items: readonly Marked[] = []) => items.filter((item) => item.cache_control !== undefined)
  const fixed = [...marked(wire.tools), ...marked(wire.system)]
  const inTurns = wire.messages.flatMap(({ content }) => [
    ...content.flatMap((block) => (Array.isArray(block.content) ? marked(block.content as Marked[]) : [])),
    ...marked(content),
  ])
  const surplus = fixed.length + inTurns.length + (wire.cache_control ? 1 : 0) - 4
  if (surplus <= 0) return
  losses.add('cache_control', 'clamped', 'at most four marks')
  for (const block of [...inTurns, ...fixed].slice(0, surplus)) delete block.cache_control
}

const understood: ReadonlySet<string> = new Set(['safety_identifier', 'cache_control'])

function reportRest(chat: Chat, losses: Losses): void {
  if (chat.n !== undefined && chat.n > 1) losses.add('n', 'unsupported', 'one answer is given')
  if (chat.seed !== undefined) losses.add('seed', 'unsupported')
  if (chat.logprobs) losses.add('logprobs', 'unsupported')
  if (chat.topLogprobs) losses.add('top_logprobs', 'unsupported')
  if (chat.verbosity !== undefined && chat.verbosity !== 'medium') losses.add('verbosity', 'unsupported')
  if (chat.modalities?.some((modality) => modality !== 'text')) losses.add('modalities', 'unsupported')
  if (chat.webSearch?.contextSize !== undefined) losses.add('web_search_options', 'approximated', 'search_context_size')
  losses.addAll(chat.extra, '', understood)
}
