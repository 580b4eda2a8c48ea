// A Gemini stream to hub events, frame by frame.
import type { ChatEvent } from '../chat.ts'
import { faultOfText } from '../depth.ts'
import type { HubAids, StreamDecoder } from '../dialect.ts'
import { UpstreamFault } from '../errors.ts'
import { parseJson } from '../exactJson.ts'
import { asObject, type Json } from '../field.ts'
import { ReplyReader } from './reader.ts'

/** Wire to hub. There is no end marker: the stream is complete when it closes after every candidate has a finish reason. */
export function decodeStream(aids?: HubAids): StreamDecoder {
  const reader = new ReplyReader(aids)
  return {
    take({ data }): ChatEvent[] {
      const text = data?.trim()
      if (text === undefined || text === '' || text === '[DONE]') return []
      const wire = parse(text)
      if (wire) return reader.take(wire)
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
    const value: unknown = parseJson(text)
    return asObject(Array.isArray(value) ? value[0] : value)
  } catch {
    return undefined
  }
}
