// Hub events to one whole OpenAI chat reply.
import type { Annotation, ChatEvent, TokenLogprob } from '../chat.ts'
import { type CollectedBlock, type CollectedChoice, collect } from '../collect.ts'
import type { Ask, ReplyContext } from '../dialect.ts'
import { writeJson } from '../exactJson.ts'
import { compact } from '../field.ts'
import { type Place, type ReasoningDetail, writeDetail } from './reasoningDetails.ts'
import { writeUsage } from './usage.ts'

type Wire = Record<string, unknown>

/**
 * Hub to wire: the JSON text of a `chat.completion`, complete by OpenAI's published schema.
 * @throws UpstreamFault when the events end in a fault: a failure is never an answer
 */
export function encodeReply(events: readonly ChatEvent[], ask: Ask, context: ReplyContext): string {
  const reply = collect(events)
  if (reply.fault) throw reply.fault
  const legacy = context.chat?.legacyFunctions === true
  return writeJson(
    compact({
      id: reply.id ?? context.id,
      object: 'chat.completion',
      created: reply.created ?? context.created,
      model: reply.model ?? ask.model,
      choices: reply.choices.map((choice) => encodeChoice(choice, legacy)),
      usage: reply.usage && writeUsage(reply.usage),
      service_tier: reply.serviceTier && tierOf(reply.serviceTier),
      system_fingerprint: reply.fingerprint,
    }),
  )
}

const tiers: ReadonlySet<string> = new Set(['auto', 'default', 'flex', 'scale', 'priority', 'fast'])

/** The service tier in OpenAI's words; "standard" is what the others call "default". */
export const tierOf = (tier: string): string | undefined => {
  const lower = tier.toLowerCase()
  return lower === 'standard' ? 'default' : tiers.has(lower) ? lower : undefined
}

function encodeChoice(choice: CollectedChoice, legacy: boolean): Wire {
  const message = encodeMessage(choice, legacy)
  const { finish } = choice
  const reason = finish?.reason ?? 'stop'
  return compact({
    index: choice.index,
    message,
    logprobs: encodeLogprobs(choice.logprobs.content, choice.logprobs.refusal),
    finish_reason: 'function_call' in message && reason === 'tool_calls' ? 'function_call' : reason,
    native_finish_reason: finish?.raw,
    stop_reason: finish?.stopSequence,
  })
}

/** The deprecated `functions` know one call a turn, and an answer to a second could not be told from one to the first. */
function firstCallOnly(blocks: readonly CollectedBlock[]): readonly CollectedBlock[] {
  const first = blocks.findIndex(({ block }) => block.type === 'tool-call')
  return blocks.filter(({ block }, at) => block.type !== 'tool-call' || at === first)
}

function encodeMessage(choice: CollectedChoice, legacy: boolean): Wire {
  const blocks = legacy ? firstCallOnly(choice.blocks) : choice.blocks
  const texts = blocks.filter(({ block }) => block.type === 'text')
  const refusals = blocks.filter(({ block }) => block.type === 'refusal')
  const thoughts = blocks.filter(({ block, text }) => block.type === 'reasoning' && text !== '')
  const calls = blocks.filter(({ block }) => block.type === 'tool-call')
  const message: Wire = {
    role: 'assistant',
    content: texts.length > 0 ? texts.map(({ text }) => text).join('') : null,
    refusal: refusals.length > 0 ? refusals.map(({ text }) => text).join('') : null,
  }
  if (thoughts.length > 0) message.reasoning_content = thoughts.map(({ text }) => text).join('')
  const details = encodeDetails(blocks)
  if (details.length > 0) message.reasoning_details = details
  const [only] = calls
  if (legacy && only) {
    const call = encodeToolCall(only) as { function: unknown }
    message.function_call = call.function
  } else if (calls.length > 0) message.tool_calls = calls.map(encodeToolCall)
  // As OpenAI's own answers are that ended before they said anything; sent back in a history, null is an error there.
  if (texts.length + refusals.length + calls.length === 0) message.content = ''
  for (const { block } of blocks) {
    if (block.type !== 'media') continue
    if (block.kind === 'audio' && 'base64' in block.source) message.audio ??= encodeAudio(block, block.source.base64)
    else message.images = [...((message.images as unknown[] | undefined) ?? []), encodeImage(block)]
  }
  message.annotations = encodeAnnotations(choice.annotations)
  const citations = choice.annotations.filter(({ url }) => url === undefined).map(({ raw }) => raw)
  if (citations.length > 0) message.citations = citations
  return message
}

function encodeDetails(blocks: readonly CollectedBlock[]): ReasoningDetail[] {
  const details: ReasoningDetail[] = []
  const place: Place = { text: 0, calls: 0 }
  for (const collected of blocks) {
    if (collected.block.type === 'text') place.text += collected.text.length
    details.push(...detailsOf(collected, details.length, place))
    if (collected.block.type === 'tool-call') place.calls++
  }
  return details
}

/** What of one finished block must come back verbatim. At most one item. */
export function detailsOf({ block, text, signature }: CollectedBlock, index: number, place: Place): ReasoningDetail[] {
  if (block.type === 'vendor') return [writeDetail(block, index, place)]
  if (block.type === 'reasoning') {
    return [writeDetail({ ...block, text, ...(signature === undefined ? {} : { signature }) }, index, place)]
  }
  const origin = block.type === 'text' || block.type === 'tool-call' ? block.origin : undefined
  const named = origin === undefined ? {} : { origin }
  if (block.type === 'text' && signature !== undefined) {
    return [writeDetail({ signatureOf: { type: 'text', text, signature, ...named } }, index, place)]
  }
  const signed = block.type === 'tool-call' ? (signature ?? block.signature) : undefined
  if (block.type !== 'tool-call' || signed === undefined) return []
  const { id, name } = block
  return [
    writeDetail({ signatureOf: { type: 'tool-call', id, name, input: '', signature: signed, ...named } }, index, place),
  ]
}

function encodeToolCall({ block, text, signature }: CollectedBlock): Wire {
  if (block.type !== 'tool-call') return {}
  const { id, name } = block
  if (block.custom) return { id, type: 'custom', custom: { name, input: text } }
  return { id, type: 'function', function: { name, arguments: text }, ...extraContent(block, signature) }
}

/** Google's own OpenAI endpoint puts a call's thought signature here; the AI SDK keeps it and sends it back. */
export function extraContent(block: { origin?: string; signature?: string }, late?: string): Wire {
  const signature = late ?? block.signature
  if (signature === undefined || block.origin !== 'gemini') return {}
  return { extra_content: { google: { thought_signature: signature } } }
}

/** Citations with an address, as OpenAI's `url_citation`s. */
export function encodeAnnotations(annotations: readonly Annotation[]): Wire[] {
  return annotations.flatMap(({ url, title, start, end, quote }) => {
    if (url === undefined) return []
    const cited = { url, title: title ?? url, start_index: start ?? 0, end_index: end ?? start ?? 0 }
    return [{ type: 'url_citation', url_citation: quote === undefined ? cited : { ...cited, content: quote } }]
  })
}

/** OpenAI's form of log probabilities; null where there are none. */
export function encodeLogprobs(content: readonly TokenLogprob[], refusal: readonly TokenLogprob[]): unknown {
  if (content.length === 0 && refusal.length === 0) return null
  return {
    content: content.length > 0 ? content.map(encodeToken) : null,
    refusal: refusal.length > 0 ? refusal.map(encodeToken) : null,
  }
}

const encodeToken = ({ token, logprob, bytes, top }: TokenLogprob): Wire => ({
  token,
  logprob,
  bytes,
  top_logprobs: top,
})

type MediaStart = CollectedBlock['block'] & { type: 'media' }

const encodeAudio = (block: MediaStart, data: string): Wire => ({
  id: block.id ?? 'audio',
  data,
  expires_at: block.expires ?? 0,
  transcript: block.transcript ?? '',
})

/** Not in OpenAI's chat API, which makes no images: OpenRouter's form. */
export function encodeImage({ source }: MediaStart): Wire {
  const url =
    'base64' in source ? `data:${source.mime};base64,${source.base64}` : 'url' in source ? source.url : source.fileId
  return { type: 'image_url', image_url: { url } }
}
