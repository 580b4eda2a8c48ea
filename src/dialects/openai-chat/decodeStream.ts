// An OpenAI chat stream to hub events, frame by frame.
import type { ChatEvent } from '../chat.ts'
import { faultOfText } from '../depth.ts'
import type { HubAids, StreamDecoder } from '../dialect.ts'
import { UpstreamFault } from '../errors.ts'
import { parseJson } from '../exactJson.ts'
import { asObject, type Json } from '../field.ts'
import { inBandFaultOf } from './fault.ts'
import { ReplyReader } from './replyReader.ts'

/** Wire to hub. Servers that close without `[DONE]` after every choice is finished are believed. */
export function decodeStream(aids?: HubAids): StreamDecoder {
  const reader = new ReplyReader(aids)
  return {
    take({ event, data }): ChatEvent[] {
      const text = data?.trim()
      if (text === undefined || text === '') return event === 'error' ? reader.fail(inBandFaultOf({})) : []
      if (text === '[DONE]') return reader.complete()
      const wire = parse(text)
      if (!wire) return reader.fail(faultOfText(text, 'The upstream sent an event that is not JSON.'))
      if (event === 'error') return reader.fail(inBandFaultOf(wire, Buffer.from(text)))
      return reader.take(wire)
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
