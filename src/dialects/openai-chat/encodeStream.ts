// Hub events to an OpenAI chat stream: a valid sequence of chunks whatever order the vendor tells things in.
import type { Annotation, BlockStart, ChatEvent, FinishReason, TokenLogprob, Usage } from '../chat.ts'
import type { Ask, ReplyContext } from '../dialect.ts'
import { errorOf } from '../errors.ts'
import { writeJson } from '../exactJson.ts'
import { detailsOf, encodeAnnotations, encodeImage, encodeLogprobs, extraContent, tierOf } from './encodeReply.ts'
import { encodeErrorFrame } from './error.ts'
import { writeUsage } from './usage.ts'

/** Hub to wire. The usage chunk comes last and only if the client asked for it; `[DONE]` only after an `end`. */
export function encodeStream(ask: Ask, context: ReplyContext): (event: ChatEvent) => string {
  const stream = new ChunkWriter(ask, context)
  return (event) => stream.take(event)
}

interface OpenBlock {
  block: BlockStart
  /** Text so far, kept only where it is needed again at the end: thoughts go out once more with their signature. */
  text: string
  toolIndex: number
}

interface ChoiceState {
  open: Map<number, OpenBlock>
  spoken: boolean
  /** It has a content other than null, a refusal or a call. */
  said: boolean
  calls: number
  details: number
  annotations: Annotation[]
  /** UTF-16 units of text so far. */
  offset: number
  logprobs: { content: TokenLogprob[]; refusal: TokenLogprob[] }
}

class ChunkWriter {
  readonly #ask: Ask
  readonly #context: ReplyContext
  readonly #legacy: boolean
  readonly #choices = new Map<number, ChoiceState>()
  /** The two constant pieces around each chunk's `choices`: id, created and model are the same in all of one stream. */
  #head = ''
  readonly #tail: string
  #usage: Usage | undefined
  #over = false

  constructor(ask: Ask, context: ReplyContext) {
    this.#ask = ask
    this.#context = context
    this.#legacy = context.chat?.legacyFunctions === true
    this.#tail = ask.includeUsage ? ',"usage":null}\n\n' : '}\n\n'
  }

  take(event: ChatEvent): string {
    if (this.#over) return ''
    switch (event.type) {
      case 'start':
        if (this.#head === '') this.#setHead(event)
        return ''
      case 'block-start':
        return this.#start(event.choice ?? 0, event.index, event.block)
      case 'block-delta':
        return this.#delta(event.choice ?? 0, event.index, event.text)
      case 'block-end':
        return this.#end(event.choice ?? 0, event.index, event.signature, event.origin)
      case 'annotations':
        this.#stateOf(event.choice ?? 0).annotations.push(...event.annotations)
        return ''
      case 'logprobs':
        this.#stateOf(event.choice ?? 0).logprobs[event.part].push(...event.tokens)
        return ''
      case 'usage':
        this.#usage = event.usage
        return ''
      case 'finish':
        return this.#finish(event.choice ?? 0, event.reason, event.raw, event.stopSequence)
      case 'end':
        this.#over = true
        return `${this.#usageChunk()}data: [DONE]\n\n`
      case 'fault':
        this.#over = true
        return encodeErrorFrame(errorOf(event.fault))
    }
  }

  #setHead(start: ChatEvent & { type: 'start' }): void {
    const { id, created, model, serviceTier, fingerprint } = start
    const tier = serviceTier === undefined ? undefined : tierOf(serviceTier)
    const facts = {
      id: id ?? this.#context.id,
      object: 'chat.completion.chunk',
      created: created ?? this.#context.created,
      model: model ?? this.#ask.model,
      service_tier: tier,
      system_fingerprint: fingerprint,
    }
    this.#head = `data: ${JSON.stringify(facts).slice(0, -1)},"choices":[`
  }

  #stateOf(choice: number): ChoiceState {
    let state = this.#choices.get(choice)
    if (!state) {
      state = {
        open: new Map(),
        spoken: false,
        said: false,
        calls: 0,
        details: 0,
        annotations: [],
        offset: 0,
        logprobs: { content: [], refusal: [] },
      }
      this.#choices.set(choice, state)
    }
    return state
  }

  /**
   * The role stands in a delta of its own before anything else, as OpenAI sends it: with an empty text where a text begins, and none before
   * a tool call or thoughts. To the AI SDK an empty text is one: it showed an empty part of the answer before each call.
   */
  #hello(choice: number, state: ChoiceState, first?: BlockStart): string {
    if (this.#head === '') this.#setHead({ type: 'start' })
    if (state.spoken) return ''
    state.spoken = true
    const begins = first === undefined || first.type === 'text'
    state.said ||= begins
    return this.#frame(
      choice,
      `"role":"assistant","content":${begins ? '""' : 'null'},"refusal":null`,
      'null',
      'null',
      '',
    )
  }

  /** One chunk of one choice. `delta` is the JSON text of the delta's fields, without its braces. */
  #chunk(choice: number, state: ChoiceState, delta: string, finish = 'null', more = ''): string {
    const hello = this.#hello(choice, state)
    const { content, refusal } = state.logprobs
    let logprobs = 'null'
    if (content.length > 0 || refusal.length > 0) {
      logprobs = JSON.stringify(encodeLogprobs(content, refusal))
      state.logprobs = { content: [], refusal: [] }
    }
    return hello + this.#frame(choice, delta, logprobs, finish, more)
  }

  #frame(choice: number, delta: string, logprobs: string, finish: string, more: string): string {
    return `${this.#head}{"index":${choice},"delta":{${delta}},"logprobs":${logprobs},"finish_reason":${finish}${more}}]${this.#tail}`
  }

  #start(choice: number, index: number, block: BlockStart): string {
    const state = this.#stateOf(choice)
    // As in whole replies, the deprecated `functions` get the first call only: its arguments and another's would become one text.
    if (block.type === 'tool-call' && this.#legacy && state.calls > 0) return ''
    const toolIndex = block.type === 'tool-call' ? state.calls++ : -1
    state.open.set(index, { block, text: '', toolIndex })
    const hello = this.#hello(choice, state, block)
    if (block.type === 'tool-call') {
      state.said = true
      const { id, name } = block
      if (this.#legacy)
        return hello + this.#chunk(choice, state, `"function_call":${JSON.stringify({ name, arguments: '' })}`)
      const call = block.custom
        ? { index: toolIndex, id, type: 'custom', custom: { name, input: '' } }
        : { index: toolIndex, id, type: 'function', function: { name, arguments: '' }, ...extraContent(block) }
      return hello + this.#chunk(choice, state, `"tool_calls":${JSON.stringify([call])}`)
    }
    if (block.type !== 'media') return hello
    if (block.kind !== 'audio' || !('base64' in block.source)) {
      return hello + this.#chunk(choice, state, `"images":${JSON.stringify([encodeImage(block)])}`)
    }
    const { id, transcript, expires, source } = block
    const audio = { id: id ?? 'audio', data: source.base64, transcript: transcript ?? '', expires_at: expires ?? 0 }
    return hello + this.#chunk(choice, state, `"audio":${JSON.stringify(audio)}`)
  }

  #delta(choice: number, index: number, text: string): string {
    const state = this.#stateOf(choice)
    const open = state.open.get(index)
    if (!open) return ''
    const said = JSON.stringify(text)
    switch (open.block.type) {
      case 'text':
        state.said = true
        state.offset += text.length
        return this.#chunk(choice, state, `"content":${said}`)
      case 'refusal':
        state.said = true
        return this.#chunk(choice, state, `"refusal":${said}`)
      case 'reasoning':
        open.text += text
        return this.#chunk(choice, state, `"reasoning_content":${said}`)
      case 'tool-call':
        return this.#chunk(choice, state, this.#inputDelta(open, said))
      default:
        return ''
    }
  }

  #inputDelta(open: OpenBlock, said: string): string {
    if (this.#legacy) return `"function_call":{"arguments":${said}}`
    const custom = open.block.type === 'tool-call' && open.block.custom
    const grown = custom ? `"type":"custom","custom":{"input":${said}}` : `"function":{"arguments":${said}}`
    return `"tool_calls":[{"index":${open.toolIndex},${grown}}]`
  }

  /** What must come back verbatim goes out when it is whole, as one item: clients need not join pieces. */
  #end(choice: number, index: number, signature: string | undefined, origin: string | undefined): string {
    const state = this.#stateOf(choice)
    const open = state.open.get(index)
    if (!open) return ''
    state.open.delete(index)
    const block = origin === undefined ? open.block : ({ ...open.block, origin } as BlockStart)
    const collected = { block, text: open.text, ...(signature === undefined ? {} : { signature }) }
    const details = detailsOf(collected, state.details, {
      text: state.offset,
      calls: open.toolIndex >= 0 ? open.toolIndex : state.calls,
    })
    if (details.length === 0) return ''
    state.details += details.length
    return this.#chunk(choice, state, `"reasoning_details":${writeJson(details)}`)
  }

  /**
   * In one piece, as late as from OpenAI: its SDK for JavaScript puts what a delta has of them in place of what it had (`Object.assign`), so
   * that of several pieces it would keep the last alone.
   */
  #cited({ annotations }: ChoiceState): string {
    const cited = encodeAnnotations(annotations)
    const others = annotations.filter(({ url }) => url === undefined).map(({ raw }) => raw)
    return [
      ...(cited.length > 0 ? [`"annotations":${JSON.stringify(cited)}`] : []),
      ...(others.length > 0 ? [`"citations":${writeJson(others)}`] : []),
    ].join(',')
  }

  #finish(choice: number, reason: FinishReason, raw: string | undefined, stop: string | undefined): string {
    const state = this.#stateOf(choice)
    const told = this.#legacy && reason === 'tool_calls' ? 'function_call' : reason
    const native = raw === undefined ? '' : `,"native_finish_reason":${JSON.stringify(raw)}`
    const sequence = stop === undefined ? '' : `,"stop_reason":${JSON.stringify(stop)}`
    const cited = this.#cited(state)
    const before = cited === '' ? '' : this.#chunk(choice, state, cited)
    const hello = this.#hello(choice, state)
    // As in whole replies: what clients put together of thoughts alone would be null, which is an error at OpenAI in a history.
    const rest = state.said ? '' : '"content":""'
    return before + hello + this.#chunk(choice, state, rest, JSON.stringify(told), native + sequence)
  }

  #usageChunk(): string {
    if (!this.#ask.includeUsage || !this.#usage) return ''
    if (this.#head === '') this.#setHead({ type: 'start' })
    return `${this.#head}],"usage":${JSON.stringify(writeUsage(this.#usage))}}\n\n`
  }
}
