// A reply as OpenAI's `chat.completion.chunk` events.
import type { Asked } from '../../asked.ts'
import { type Choice, idOf, type Reply, type ReplyUsage, tokensOfCall } from '../../reply.ts'
import type { Script } from '../../script.ts'
import type { Frame } from '../wire.ts'
import { FINGERPRINT, logprobOf, usageOf } from './reply.ts'

/** The events from the first chunk to `[DONE]`, one generated token an event. */
export function replyFrames(reply: Reply, asked: Asked, script: Script, usage: ReplyUsage | undefined): Frame[] {
  const head = headOf(reply)
  const separate = usage !== undefined && !script.usageOnChoices
  // With a usage chunk to come, OpenAI puts `"usage":null` on every other chunk.
  const tail = separate ? '],"usage":null}' : ']}'
  const frames: Frame[] = []
  if (script.emptyChoicesFirst) frames.push({ data: promptFilter, tokens: 0 })
  reply.choices.forEach((choice, index) => {
    for (const part of choiceParts(choice, script)) {
      const logprobs = asked.logprobs && part.token !== undefined ? logprobsOf(part.token) : 'null'
      const data = `${head}{"index":${index},"delta":${JSON.stringify(part.delta)},"logprobs":${logprobs},"finish_reason":null}${tail}`
      frames.push({ data, tokens: part.tokens })
    }
    const last = index === reply.choices.length - 1
    const end = usage && script.usageOnChoices && last ? `],"usage":${JSON.stringify(usageOf(usage))}}` : tail
    const finish = JSON.stringify(choice.finish)
    const data = `${head}{"index":${index},"delta":{},"logprobs":null,"finish_reason":${finish}}${end}`
    frames.push({ data, tokens: 0, final: last })
  })
  if (separate) frames.push({ data: `${head}],"usage":${JSON.stringify(usageOf(usage))}}`, tokens: 0, final: true })
  if (script.done !== false) frames.push({ data: '[DONE]', tokens: 0, final: true })
  return frames
}

/** A chunk that breaks off inside its JSON. */
export function garbageFrame(reply: Reply): Frame {
  return { data: `${headOf(reply)}{"index":0,"delta":{"content":"half a wo`, tokens: 0 }
}

interface Part {
  delta: Record<string, unknown>
  tokens: number
  /** The text token, for its log probability. */
  token?: string
}

// Shape of the chunk that Azure OpenAI sends ahead of a stream: no id, no model, no choices.
const promptFilter = JSON.stringify({
  choices: [],
  created: 0,
  id: '',
  model: '',
  object: 'chat.completion.chunk',
  prompt_filter_results: [{ prompt_index: 0, content_filter_results: { hate: { filtered: false, severity: 'safe' } } }],
})

function choiceParts(choice: Choice, script: Script): Part[] {
  const parts: Part[] = []
  if (script.roleChunk === undefined || script.roleChunk === true) {
    const content = choice.calls.length > 0 && choice.text.length === 0 ? null : ''
    parts.push({ delta: { role: 'assistant', content, refusal: null }, tokens: 0 })
  }
  for (const token of choice.reasoning) {
    // Hidden thoughts take their time and send nothing: their tokens are due before the next visible part.
    if (script.reasoningText !== false) parts.push({ delta: { reasoning_content: token }, tokens: 1 })
  }
  for (const token of choice.text) parts.push({ delta: { content: token }, tokens: 1, token })
  choice.calls.forEach((call, index) => {
    const open = (text: string) => ({
      index,
      id: idOf(call, 'call_'),
      type: 'function',
      function: { name: call.name, arguments: text },
    })
    if (script.fragmented === false) {
      parts.push({ delta: { tool_calls: [open(call.pieces.join(''))] }, tokens: tokensOfCall(call) })
      return
    }
    parts.push({ delta: { tool_calls: [open('')] }, tokens: 1 })
    for (const piece of call.pieces) {
      parts.push({ delta: { tool_calls: [{ index, function: { arguments: piece } }] }, tokens: 1 })
    }
  })
  if (script.reasoningText === false) addHidden(parts, choice.reasoning.length)
  const first = parts[0]
  if (script.roleChunk === false && first) first.delta = { role: 'assistant', ...first.delta }
  return parts
}

/** Adds the tokens of hidden thoughts to the first generated part. */
function addHidden(parts: Part[], tokens: number): void {
  const first = parts.find((part) => part.tokens > 0)
  if (first) first.tokens += tokens
}

function headOf(reply: Reply): string {
  const { id, created, model } = reply
  return (
    `{"id":"chatcmpl-${id}","object":"chat.completion.chunk","created":${created},"model":${JSON.stringify(model)},` +
    `"service_tier":"default","system_fingerprint":"${FINGERPRINT}","choices":[`
  )
}

function logprobsOf(token: string): string {
  return JSON.stringify({ content: [logprobOf(token)], refusal: null })
}
