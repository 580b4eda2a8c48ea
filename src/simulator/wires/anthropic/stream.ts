// A reply as Anthropic's message events.
import type { Asked } from '../../asked.ts'
import type { Choice, Reply, ReplyUsage } from '../../reply.ts'
import type { Script } from '../../script.ts'
import type { Frame } from '../wire.ts'
import { blocksOf, endOf, headOf, usageOf } from './reply.ts'

/** The events from `message_start` to `message_stop`, one generated token an event. */
export function replyFrames(reply: Reply, asked: Asked, script: Script, usage: ReplyUsage | undefined): Frame[] {
  const choice = reply.choices[0] as Choice
  const counts = usage && usageOf(usage)
  // Of the output only the first token is known when the message begins.
  const begun = counts && {
    ...counts,
    output_tokens: Math.min(1, usage.completionTokens),
    output_tokens_details: undefined,
  }
  const open = { content: [], stop_reason: null, stop_sequence: null, stop_details: null }
  const message = { ...headOf(reply), ...open, usage: begun }
  const frames = [frameOf({ type: 'message_start', message }), frameOf({ type: 'ping' })]
  blocksOf(choice, asked, script).forEach(({ opened, deltas }, index) => {
    frames.push(frameOf({ type: 'content_block_start', index, content_block: opened }))
    for (const { delta, tokens } of deltas) frames.push(frameOf({ type: 'content_block_delta', index, delta }, tokens))
    frames.push(frameOf({ type: 'content_block_stop', index }))
  })
  const { cache_creation: _, service_tier: __, inference_geo: ___, ...cumulative } = counts ?? {}
  const end = {
    type: 'message_delta',
    delta: { ...endOf(choice), container: null },
    ...(counts ? { usage: cumulative } : {}),
  }
  frames.push({ ...frameOf(end), final: true })
  if (script.done !== false) frames.push({ ...frameOf({ type: 'message_stop' }), final: true })
  return frames
}

/** A delta that breaks off inside its JSON. */
export function garbageFrame(): Frame {
  const data = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"half a wo'
  return { event: 'content_block_delta', data, tokens: 0 }
}

function frameOf(event: { type: string } & Record<string, unknown>, tokens = 0): Frame {
  return { event: event.type, data: JSON.stringify(event), tokens }
}
