// Turns the pieces of one choice, as vendors send them, into well-formed block events: contiguous indices, one start and end each.
import {
  type Annotation,
  type BlockStart,
  type ChatEvent,
  type FinishReason,
  finishAfter,
  type TokenLogprob,
} from './chat.ts'

/** A tool call that is being written. Several may be open at once; every other kind of block is closed by the next block. */
interface OpenCall {
  index: number
  empty: boolean
  custom: boolean
}

/** Writes the events of one choice. */
export class ChoiceWriter {
  finished = false
  /** Something a client can use was seen: text, thought, call, refusal, media. */
  filled = false
  #next = 0
  #open: { index: number; kind: string; key: unknown } | undefined
  readonly #calls = new Map<string, OpenCall>()
  #called = false
  readonly #emit: (event: ChatEvent) => void
  readonly #choice: { choice?: number }

  constructor(emit: (event: ChatEvent) => void, choice: number) {
    this.#emit = emit
    this.#choice = choice === 0 ? {} : { choice }
  }

  get called(): boolean {
    return this.#called
  }

  /** Adds text to the open block if it is of the same kind and key, else opens a new one. Empty text opens nothing. */
  write(block: BlockStart & { type: 'text' | 'refusal' | 'reasoning' }, text: string, key?: unknown): void {
    if (text === '') return
    this.filled = true
    this.begin(block, key)
    this.#emit({ type: 'block-delta', index: this.#open!.index, ...this.#choice, text })
  }

  /** Opens a block of text although nothing is in it yet, unless one of the same kind and key is open. */
  begin(block: BlockStart & { type: 'text' | 'refusal' | 'reasoning' }, key?: unknown): void {
    if (this.#open?.kind === block.type && this.#open.key === key) return
    this.close()
    this.#open = { index: this.#start(block), kind: block.type, key }
  }

  /** Whether a block of this kind is open. */
  isOpen(kind: string): boolean {
    return this.#open?.kind === kind
  }

  /** Closes the open text, thought or refusal, if any. `origin` tells whose it is, where that is known only now. */
  close(signature?: string, origin?: string): void {
    if (this.#open) this.#end(this.#open.index, signature, origin)
    this.#open = undefined
  }

  /** A block that is complete at once. */
  whole(block: BlockStart): void {
    this.filled = true
    this.close()
    this.#end(this.#start(block))
  }

  /** Opens a tool call. `key` names it in `addInput` and `endCall`; a call under the same key is ended first. */
  beginCall(key: string, block: BlockStart & { type: 'tool-call' }): void {
    this.filled = true
    this.#called = true
    this.endCall(key)
    this.close()
    this.#calls.set(key, { index: this.#start(block), empty: true, custom: block.custom === true })
  }

  addInput(key: string, text: string): void {
    const call = this.#calls.get(key)
    if (!call || text === '') return
    call.empty = false
    this.#emit({ type: 'block-delta', index: call.index, ...this.#choice, text })
  }

  /** Ends a tool call. Models write nothing for tools without parameters: the input is then `{}`, so that it always parses. */
  endCall(key: string, signature?: string): void {
    const call = this.#calls.get(key)
    if (!call) return
    if (call.empty && !call.custom) this.addInput(key, '{}')
    this.#calls.delete(key)
    this.#end(call.index, signature)
  }

  annotate(annotations: Annotation[]): void {
    if (annotations.length > 0) this.#emit({ type: 'annotations', ...this.#choice, annotations })
  }

  logprobs(part: 'content' | 'refusal', tokens: TokenLogprob[]): void {
    if (tokens.length > 0) this.#emit({ type: 'logprobs', ...this.#choice, part, tokens })
  }

  /** Closes everything and says why it ended. Only the first time counts. */
  finish(reason: FinishReason, raw?: string, stopSequence?: string): void {
    if (this.finished) return
    this.finished = true
    this.close()
    for (const key of [...this.#calls.keys()]) this.endCall(key)
    this.#emit({
      type: 'finish',
      ...this.#choice,
      reason: finishAfter(reason, this.#called),
      ...(raw === undefined ? {} : { raw }),
      ...(stopSequence === undefined ? {} : { stopSequence }),
    })
  }

  #start(block: BlockStart): number {
    const index = this.#next++
    this.#emit({ type: 'block-start', index, ...this.#choice, block })
    return index
  }

  #end(index: number, signature?: string, origin?: string): void {
    const told = {
      ...(signature === undefined ? {} : { signature }),
      ...(origin === undefined ? {} : { origin }),
    }
    this.#emit({ type: 'block-end', index, ...this.#choice, ...told })
  }
}

/** The choices of one reply, made when first spoken of. */
export class Choices {
  /** Events written since the last `drain`. */
  #out: ChatEvent[] = []
  readonly #writers = new Map<number, ChoiceWriter>()

  at(index: number): ChoiceWriter {
    let writer = this.#writers.get(index)
    if (!writer) {
      writer = new ChoiceWriter((event) => this.push(event), index)
      this.#writers.set(index, writer)
    }
    return writer
  }

  get all(): ChoiceWriter[] {
    return [...this.#writers.values()]
  }

  push(event: ChatEvent): void {
    this.#out.push(event)
  }

  drain(): ChatEvent[] {
    const events = this.#out
    this.#out = []
    return events
  }
}
