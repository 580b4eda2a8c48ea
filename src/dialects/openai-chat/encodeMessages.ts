// Hub messages to the messages of an OpenAI chat request, with a report of what they cannot hold.
import type { Block, CacheMark, MediaBlock, Message, ToolCallBlock } from '../chat.ts'
import { Refusal } from '../errors.ts'
import { ownEntry } from '../field.ts'
import type { Losses } from '../loss.ts'
import { type ReasoningDetail, writeDetail } from './reasoningDetails.ts'

type Wire = Record<string, unknown>

/** What of the source the wire may carry: `own` = it came from this dialect, whose private fields go back as they were. */
export interface EncodeOptions {
  own: boolean
  legacy: boolean
}

/** Hub to wire. One hub message may become several: OpenAI wants one message per tool result. */
export function encodeMessages(messages: readonly Message[], options: EncodeOptions, losses: Losses): Wire[] {
  return messages.flatMap((message, at) => encodeMessage(message, at, options, losses))
}

function encodeMessage(message: Message, at: number, options: EncodeOptions, losses: Losses): Wire[] {
  const results: Wire[] = []
  const rest: Block[] = []
  for (const block of message.blocks) {
    if (block.type !== 'tool-result') {
      rest.push(block)
      continue
    }
    if (block.failed) losses.add('messages.tool_result.is_error', 'approximated', 'sent as a plain result')
    const media = block.blocks.filter((inner) => inner.type === 'media')
    if (media.length > 0) {
      losses.add('messages.tool_result.content', 'approximated', 'media moved to a user message')
      for (const inner of media) rest.push(inner)
    }
    const said = block.blocks.filter((inner) => inner.type !== 'media')
    const content = contentOf(said, at, losses) ?? ''
    const marked = markOf(block.cache)
    if (options.legacy && block.name !== undefined)
      results.push({ role: 'function', name: block.name, content, ...marked })
    else results.push({ role: 'tool', tool_call_id: block.id, content, ...marked })
  }
  const extra = encodeExtra(message, options, losses)
  if (message.role === 'tool' && results.length > 0) {
    if (rest.length > 0) results.push({ role: 'user', content: contentOf(rest, at, losses) ?? '' })
    Object.assign(results[0] ?? {}, extra)
    return results
  }
  const name = message.name === undefined ? {} : { name: message.name }
  if (message.role === 'assistant')
    return [...results, { ...encodeAssistant(rest, at, options, losses), ...name, ...extra }]
  if (rest.length === 0 && results.length > 0) return results
  return [...results, { role: message.role, content: contentOf(rest, at, losses) ?? null, ...name, ...extra }]
}

function encodeExtra(message: Message, { own }: EncodeOptions, losses: Losses): Wire {
  if (!message.extra) return {}
  if (!own) losses.addAll(message.extra, 'messages.')
  const fields = Object.entries(message.extra).filter(([name]) => own && !name.startsWith('content.'))
  for (const name of Object.keys(message.extra))
    if (name.startsWith('content.')) losses.add(`messages.${name}`, 'dropped')
  return Object.fromEntries(fields)
}

function encodeAssistant(blocks: readonly Block[], at: number, options: EncodeOptions, losses: Losses): Wire {
  const message: Wire = { role: 'assistant' }
  const parts: Block[] = []
  const calls: ToolCallBlock[] = []
  const thoughts: string[] = []
  const details: ReasoningDetail[] = []
  let refusal: string | undefined
  let offset = 0
  for (const block of blocks) {
    if (block.type === 'tool-call') {
      if (block.signature !== undefined && options.own) {
        details.push(writeDetail({ signatureOf: block }, details.length, { text: offset, calls: calls.length }))
      }
      calls.push(block)
    } else if (block.type === 'refusal') refusal = (refusal ?? '') + block.text
    else if (block.type === 'reasoning' || block.type === 'vendor') {
      if (!options.own) losses.add('messages.reasoning', 'dropped', 'another vendor cannot verify it')
      else if (block.origin !== undefined)
        details.push(writeDetail(block, details.length, { text: offset, calls: calls.length }))
      else if (block.type === 'reasoning') thoughts.push(block.text)
    } else {
      parts.push(block)
      if (block.type !== 'text') continue
      offset += block.text.length
      if (block.signature !== undefined && options.own)
        details.push(writeDetail({ signatureOf: block }, details.length, { text: offset, calls: calls.length }))
    }
  }
  message.content = contentOf(parts, at, losses, details.length > 0) ?? null
  if (refusal !== undefined) message.refusal = refusal
  if (thoughts.length > 0) message.reasoning_content = thoughts.join('')
  if (details.length > 0) message.reasoning_details = details
  const [only] = calls
  if (options.legacy && only && calls.length === 1) message.function_call = { name: only.name, arguments: only.input }
  else if (calls.length > 0) message.tool_calls = calls.map(encodeToolCall)
  return message
}

function encodeToolCall(call: ToolCallBlock): Wire {
  const { id, name, input } = call
  const said = call.custom
    ? { id, type: 'custom', custom: { name, input } }
    : { id, type: 'function', function: { name, arguments: input } }
  return { ...said, ...markOf(call.cache) }
}

/** A plain string where nothing but text is in it, else a list of parts; undefined for nothing. `flat` joins texts that were cut apart. */
function contentOf(blocks: readonly Block[], at: number, losses: Losses, flat = false): string | Wire[] | undefined {
  if (blocks.length === 0) return undefined
  const plain = blocks.every((block) => block.type === 'text' && !block.cache)
  if (plain && (flat || blocks.length === 1))
    return blocks.map((block) => (block.type === 'text' ? block.text : '')).join('')
  return blocks.flatMap((block, part) => encodePart(block, `messages[${at}].content[${part}]`, losses))
}

function encodePart(block: Block, path: string, losses: Losses): Wire[] {
  switch (block.type) {
    case 'text':
      return [{ type: 'text', text: block.text, ...markOf(block.cache) }]
    case 'refusal':
      return [{ type: 'refusal', refusal: block.text }]
    case 'media':
      return [{ ...encodeMedia(block, path), ...markOf(block.cache) }]
    default:
      losses.add('messages.content', 'dropped', `a block of type ${block.type}`)
      return []
  }
}

function encodeMedia(block: MediaBlock, path: string): Wire {
  const { source } = block
  const detail = block.detail === undefined ? {} : { detail: block.detail }
  const url =
    'base64' in source ? `data:${source.mime};base64,${source.base64}` : 'url' in source ? source.url : undefined
  if (block.kind === 'image' && url !== undefined) return { type: 'image_url', image_url: { url, ...detail } }
  if (block.kind === 'video' && url !== undefined) return { type: 'video_url', video_url: { url, ...detail } }
  if (block.kind === 'audio' && 'base64' in source) {
    return { type: 'input_audio', input_audio: { data: source.base64, format: audioFormat(source.mime) } }
  }
  if (block.kind === 'file') {
    const named = block.name === undefined ? {} : { filename: block.name }
    const from = 'fileId' in source ? { file_id: source.fileId } : { file_data: url }
    return { type: 'file', file: { ...named, ...from } }
  }
  throw new Refusal('unsupported_content', `Invalid '${path}': OpenAI chat takes no ${block.kind} from there.`, path)
}

const formats: Readonly<Record<string, string>> = { mpeg: 'mp3', mp4: 'm4a', L16: 'pcm16', 'x-wav': 'wav' }

function audioFormat(mime: string): string {
  const subtype = mime.split('/')[1]?.split(';')[0] ?? 'wav'
  return ownEntry(formats, subtype) ?? subtype
}

/** Not OpenAI's, but what its compatible gateways take. */
export function markOf(cache: CacheMark | undefined): Wire {
  if (!cache) return {}
  if (cache.breakpoint) return { prompt_cache_breakpoint: { mode: 'explicit' } }
  return { cache_control: { type: 'ephemeral', ...(cache.ttl ? { ttl: cache.ttl } : {}) } }
}
