// A whole OpenAI chat reply to hub events.
import type { ChatEvent } from '../chat.ts'
import type { HubAids } from '../dialect.ts'
import { UpstreamFault } from '../errors.ts'
import { asObject } from '../field.ts'
import { ReplyReader } from './replyReader.ts'

/** Wire to hub. A 200 that hides an error, or is no reply at all, ends in a `fault` event. */
export function decodeReply(body: unknown, aids?: HubAids): ChatEvent[] {
  const reader = new ReplyReader(aids)
  const wire = asObject(body)
  if (!wire)
    return reader.fail(new UpstreamFault('garbage', 'The upstream answered 200 with a body that is no object.'))
  const events = reader.take(wire)
  if (events.at(-1)?.type === 'fault') return events
  return [...events, ...reader.complete()]
}
