// The hub's request to a Gemini generateContent request body.
import type { Chat } from '../chat.ts'
import type { Encoded, HubAids } from '../dialect.ts'
import { compact, ownEntry } from '../field.ts'
import { Losses } from '../loss.ts'
import { encodeContents } from './contents.ts'
import { type Family, familyOf } from './families.ts'
import { cleanSchemaOf } from './schema.ts'
import { encodeThinking } from './thinking.ts'
import { encodeTools } from './tools.ts'
import type { WireRequest } from './type.ts'

type Wire = Record<string, unknown>

/** The call's path under `…/v1beta`. The stream is asked for as server-sent events: without `alt=sse` it is one JSON array. */
export function pathOf(model: string, stream: boolean): string {
  const name = encodeURIComponent(model.replace(/^models\//, ''))
  return stream ? `/models/${name}:streamGenerateContent?alt=sse` : `/models/${name}:generateContent`
}

/**
 * Hub to wire. The model and whether to stream are in the path.
 * @throws Refusal for content and tools that the API has no form for
 */
export function encodeRequest(chat: Chat, model: string, aids?: HubAids): Encoded {
  const losses = new Losses()
  const family = familyOf(model)
  const { system, contents } = encodeContents(chat, family, aids, losses)
  const tools = encodeTools(chat, family, losses)
  const format = encodeFormat(chat, family, tools.tools !== undefined, losses)
  if (format.instruction !== undefined) {
    if (family.system) system.push({ text: format.instruction })
    else contents.at(-1)?.parts.push({ text: format.instruction })
  }
  const generationConfig = { ...encodeConfig(chat, family, losses), ...format.config }
  const wire: WireRequest = compact({
    contents,
    systemInstruction: system.length > 0 ? { parts: system } : undefined,
    ...tools,
    generationConfig: Object.keys(generationConfig).length > 0 ? generationConfig : undefined,
    safetySettings: chat.extra?.safety_settings ?? chat.extra?.safetySettings,
    cachedContent: chat.extra?.cached_content ?? chat.extra?.cachedContent,
    serviceTier: encodeTier(chat, losses),
  })
  reportRest(chat, losses)
  return { wire, losses: losses.list }
}

function encodeConfig(chat: Chat, family: Family, losses: Losses): Wire {
  return compact({
    temperature: chat.temperature,
    topP: chat.topP,
    topK: chat.topK,
    maxOutputTokens: encodeMaxTokens(chat, family, losses),
    stopSequences: encodeStop(chat, losses),
    candidateCount: encodeCount(chat, losses),
    seed: encodeSeed(chat, losses),
    presencePenalty: chat.presencePenalty,
    frequencyPenalty: chat.frequencyPenalty,
    responseLogprobs: chat.logprobs || undefined,
    logprobs: chat.logprobs && chat.topLogprobs ? chat.topLogprobs : undefined,
    responseModalities: encodeModalities(chat, losses),
    thinkingConfig: encodeThinking(chat, family, losses),
  })
}

function encodeMaxTokens(chat: Chat, { maxOutput }: Family, losses: Losses): number | undefined {
  const asked = chat.maxTokens
  if (asked === undefined || maxOutput === undefined || asked <= maxOutput) return asked
  losses.add(chat.maxTokensName ?? 'max_tokens', 'clamped', `the model's limit is ${maxOutput}`)
  return maxOutput
}

/** At most five are taken. */
function encodeStop({ stop }: Chat, losses: Losses): string[] | undefined {
  const kept = stop?.filter((sequence) => sequence !== '')
  if (!kept || kept.length === 0) return undefined
  if (kept.length > 5) losses.add('stop', 'clamped', 'at most five')
  return kept.slice(0, 5)
}

/** At most eight answers are given. */
function encodeCount({ n }: Chat, losses: Losses): number | undefined {
  if (n === undefined || n === 1) return undefined
  if (n > 8) losses.add('n', 'clamped', 'at most eight')
  return Math.min(n, 8)
}

function encodeSeed({ seed }: Chat, losses: Losses): number | undefined {
  if (seed === undefined || seed === (seed | 0)) return seed
  losses.add('seed', 'dropped', 'more than 32 bits')
  return undefined
}

const modalities: Readonly<Record<string, string>> = { text: 'TEXT', image: 'IMAGE', audio: 'AUDIO' }

function encodeModalities(chat: Chat, losses: Losses): string[] | undefined {
  const asked = chat.modalities
  if (!asked || (asked.length === 1 && asked[0] === 'text')) return undefined
  const known = asked.flatMap((name) => ownEntry(modalities, name) ?? [])
  if (known.length < asked.length) losses.add('modalities', 'unsupported')
  return known.length > 0 ? known : undefined
}

interface Format {
  config: Wire
  /** A sentence for the system instruction, where the format cannot be enforced. */
  instruction?: string
}

/** `response_format`. Models before Gemini 3 refuse an enforced JSON answer beside functions: there the model is told. */
function encodeFormat({ format }: Chat, family: Family, hasTools: boolean, losses: Losses): Format {
  if (!format || format.type === 'text') return { config: {} }
  const isSchema = format.type === 'schema'
  if (hasTools && !family.mixes) {
    losses.add('response_format', 'approximated', 'asked for in the system instruction, as there are tools')
    const fits = isSchema ? ` that fits this JSON Schema: ${JSON.stringify(format.schema)}` : ''
    return { config: {}, instruction: `When you answer, answer with one valid JSON object and nothing else${fits}` }
  }
  const config: Wire = { responseMimeType: 'application/json' }
  if (!isSchema) return { config }
  if (family.jsonSchema) return { config: { ...config, responseJsonSchema: format.schema } }
  const { schema, removed } = cleanSchemaOf(format.schema, undefined, 'response_format')
  if (removed.length > 0) losses.add('response_format', 'approximated', `without ${removed.join(', ')}`)
  return { config: { ...config, responseSchema: schema } }
}

const tiers: Readonly<Record<string, string>> = {
  default: 'standard',
  standard: 'standard',
  flex: 'flex',
  priority: 'priority',
}

function encodeTier({ serviceTier }: Chat, losses: Losses): string | undefined {
  if (serviceTier === undefined || serviceTier === 'auto') return undefined
  const tier = ownEntry(tiers, serviceTier)
  if (tier === undefined) losses.add('service_tier', 'unsupported')
  return tier
}

const understood: ReadonlySet<string> = new Set([
  'safety_settings',
  'safetySettings',
  'cached_content',
  'cachedContent',
])

function reportRest(chat: Chat, losses: Losses): void {
  if (chat.user !== undefined) losses.add('user', 'unsupported')
  if (chat.metadata && Object.keys(chat.metadata).length > 0) losses.add('metadata', 'unsupported')
  if (chat.verbosity !== undefined && chat.verbosity !== 'medium') losses.add('verbosity', 'unsupported')
  if (chat.topLogprobs && !chat.logprobs) losses.add('top_logprobs', 'dropped', 'logprobs is not set')
  losses.addAll(chat.extra, '', understood)
}
