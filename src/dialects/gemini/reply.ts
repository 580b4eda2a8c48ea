// A whole Gemini reply to hub events.
import type { ChatEvent } from '../chat.ts'
import type { HubAids } from '../dialect.ts'
import { UpstreamFault } from '../errors.ts'
import { asObject } from '../field.ts'
import { ReplyReader } from './reader.ts'

/** Wire to hub. A list is a stream that was not asked for as server-sent events: its frames in one array. */
export function decodeReply(body: unknown, aids?: HubAids): ChatEvent[] {
  const reader = new ReplyReader(aids)
  const events: ChatEvent[] = []
  for (const item of Array.isArray(body) ? body : [body]) {
    const wire = asObject(item)
    if (!wire) {
      const fault = new UpstreamFault('garbage', 'The upstream answered 200 with a body that is no object.')
      return [...events, ...reader.fail(fault)]
    }
    events.push(...reader.take(wire))
  }
  return [...events, ...reader.complete()]
}
