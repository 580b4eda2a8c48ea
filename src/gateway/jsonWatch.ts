// Sees whether what has to be JSON comes as JSON, for the guards of a rollout that look at it: the answer to a request for JSON, and the
// arguments of tool calls.
import type { Target } from '../config/snapshot.ts'
import type { ChatEvent } from '../dialects/chat.ts'
import type { HubLane, JudgedReply, StreamDecoder } from '../dialects/dialect.ts'
import { UpstreamFault } from '../dialects/errors.ts'
import { asObject } from '../dialects/field.ts'
import { FrameSplitter, MOST_BLANK, readFrame } from '../dialects/sse.ts'
import type { Call } from './call.ts'
import type { Lane, LaneStream } from './lane.ts'

/** What of a reply has to be JSON. */
export interface JsonWanted {
  /** The text of the answer. */
  readonly answer: boolean
}

/** Characters of a reply beyond which nobody looks: it would be parsed in one piece, while others wait. */
const LONGEST = 1024 ** 2

/** Undefined where the request wants none: neither a format (https://platform.openai.com/docs/api-reference/chat/create, `response_format`) nor tools. */
export function jsonWanted({ inspected }: Call, { params }: Target): JsonWanted | undefined {
  const wire = asObject(inspected!.wire)
  const { tools, functions } = { ...wire, ...params }
  // A client that asked for JSON parses what it gets, also where the target forces something else.
  const answer = [wire, params].some((fields) => isJsonFormat(fields?.response_format))
  return answer || tools || functions ? { answer } : undefined
}

const isJsonFormat = (format: unknown): boolean => /^json_(?:object|schema)$/.test(String(asObject(format)?.type))

/** A lane that tells in `facts.invalidJson` of what is none. Replies are read a second time for it. */
export function watchJson(lane: Lane, outbound: HubLane, wanted: JsonWanted): Lane {
  const look = (body: Buffer, judged: JudgedReply | UpstreamFault): JudgedReply | UpstreamFault => {
    if (judged instanceof UpstreamFault || judged.fault || body.length > LONGEST) return judged
    const reading = new JsonReading(wanted)
    reading.take(outbound.events(JSON.parse(body.toString('utf8'))))
    judged.facts.invalidJson = reading.invalid
    return judged
  }
  return {
    ...lane,
    stream: () => watched(lane.stream(), outbound.decodeStream(), new JsonReading(wanted)),
    whole: (body) => look(body, lane.whole(body)),
    restream: (body) => look(body, lane.restream(body)),
  }
}

/** What one choice has said so far. */
interface Said {
  answer: string
  /** Of calls, by their blocks. */
  readonly inputs: Map<number, string>
  readonly texts: Set<number>
  refused: boolean
}

/** Judges each choice when it is finished. What was cut by a limit or a filter is no JSON, and guards of their own look at that. */
class JsonReading {
  invalid = false
  readonly #wanted: JsonWanted
  readonly #choices = new Map<number, Said>()
  #length = 0

  constructor(wanted: JsonWanted) {
    this.#wanted = wanted
  }

  take(events: readonly ChatEvent[]): void {
    for (const event of events) {
      if (this.#length > LONGEST) return this.#choices.clear()
      if (event.type === 'block-start') this.#begin(event)
      else if (event.type === 'block-delta') this.#grow(event)
      else if (event.type === 'finish') this.#judge(event)
    }
  }

  #begin({ choice = 0, index, block }: ChatEvent & { type: 'block-start' }): void {
    let said = this.#choices.get(choice)
    if (!said) {
      said = { answer: '', inputs: new Map(), texts: new Set(), refused: false }
      this.#choices.set(choice, said)
    }
    if (block.type === 'text') said.texts.add(index)
    else if (block.type === 'refusal') said.refused = true
    else if (block.type === 'tool-call' && !block.custom) said.inputs.set(index, '')
  }

  #grow({ choice = 0, index, text }: ChatEvent & { type: 'block-delta' }): void {
    const said = this.#choices.get(choice)!
    const input = said.inputs.get(index)
    if (input !== undefined) said.inputs.set(index, input + text)
    else if (this.#wanted.answer && said.texts.has(index)) said.answer += text
    else return
    this.#length += text.length
  }

  #judge({ choice = 0, reason }: ChatEvent & { type: 'finish' }): void {
    const said = this.#choices.get(choice)
    const had =
      reason === 'tool_calls' ? [...(said?.inputs.values() ?? [])] : reason === 'stop' ? this.#answerOf(said) : []
    if (!had.every(isJson)) this.invalid = true
    this.#choices.delete(choice)
  }

  /** A refusal is an answer of its own: https://platform.openai.com/docs/guides/structured-outputs, "Refusals". */
  #answerOf(said: Said | undefined): string[] {
    return this.#wanted.answer && !said?.refused ? [said?.answer ?? ''] : []
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** The same stream, whose frames are also read here. */
function watched(stream: LaneStream, decoder: StreamDecoder, reading: JsonReading): LaneStream {
  const splitter = new FrameSplitter()
  const [push, end] = [stream.push.bind(stream), stream.end.bind(stream)]
  const read = (events: readonly ChatEvent[]): void => {
    reading.take(events)
    stream.facts.invalidJson = reading.invalid
  }
  return Object.assign(stream, {
    push(chunk: Buffer): void {
      push(chunk)
      // What the lane has found fault with may be no frames at all.
      if (stream.fault) return
      splitter.push(chunk, (frame) => {
        if (frame.length > MOST_BLANK) read(decoder.take(readFrame(frame)))
      })
    },
    end(): void {
      end()
      if (stream.fault) return
      const rest = splitter.end()
      if (rest) read(decoder.take(readFrame(rest)))
      read(decoder.end())
    },
  })
}
