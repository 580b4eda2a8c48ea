// A whole Anthropic message to hub events.
import type { ChatEvent } from '../chat.ts'
import { UpstreamFault } from '../errors.ts'
import { asObject } from '../field.ts'
import { MessageReader } from './reader.ts'

/** Wire to hub. A 200 that hides an error, or is no message at all, ends in a `fault` event. */
export function decodeReply(body: unknown): ChatEvent[] {
  const reader = new MessageReader()
  const wire = asObject(body)
  return wire
    ? reader.takeAll(wire)
    : reader.fail(new UpstreamFault('garbage', 'The upstream answered 200 with a body that is no object.'))
}
