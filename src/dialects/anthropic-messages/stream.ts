// An Anthropic message stream to hub events, frame by frame.
import type { ChatEvent } from '../chat.ts'
import { faultOfText } from '../depth.ts'
import type { StreamDecoder } from '../dialect.ts'
import { UpstreamFault } from '../errors.ts'
import { parseJson } from '../exactJson.ts'
import { asObject, type Json } from '../field.ts'
import { MessageReader } from './reader.ts'

/** Wire to hub. A stream that ends without `message_stop` is believed only if it said why the model stopped. */
export function decodeStream(): StreamDecoder {
  const reader = new MessageReader()
  return {
    take({ data }): ChatEvent[] {
      const text = data?.trim()
      if (text === undefined || text === '' || text === '[DONE]') return []
      const event = parse(text)
      if (event) return reader.take(event)
      return reader.fail(faultOfText(text, 'The upstream sent an event that is not JSON.'))
    },
    end(): ChatEvent[] {
      if (reader.finished) return reader.complete()
      return reader.fail(new UpstreamFault('cut', 'The upstream closed the stream before the answer was finished.'))
    },
  }
}

function parse(text: string): Json | undefined {
  try {
    return asObject(parseJson(text))
  } catch {
    return undefined
  }
}
