// One upstream call on the wire: dispatches it, watches its deadlines, and hands its reply over, whole or as a stream.
import type { Transform } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { Target } from '../config/snapshot.ts'
import type { Outbound, ReplyFacts } from '../dialects/dialect.ts'
import { UpstreamFault } from '../dialects/errors.ts'
import { isDocument, isEvents, isJson, passAtOnce, unreadable, withoutMark } from './bodyForm.ts'
import { dialFaultOf } from './dialFault.ts'
import { inflaterFor, looksGzipped } from './inflate.ts'
import type { Lane, LaneStream } from './lane.ts'
import { Pieces } from './pieces.ts'
import type { Caller } from './pools.ts'

type Controller = Dispatcher.DispatchController
type Headers = Readonly<Record<string, string | string[] | undefined>>

/** Bytes kept before the commit point, and after the answer is over: more without anything generated is no reply, and no end of one. */
const MAX_WAITING_BYTES = 1024 * 1024
/** Bytes of an error reply that are read. */
const MAX_ERROR_BYTES = 256 * 1024
/** Bytes of a stream that come with one read of the socket only where more lie there. */
const FLOOD_BYTES = 16 * 1024
/** Milliseconds for usage and the end marker to follow the finish frame, and for its words to follow the status of an error. */
const ENDING_TIMEOUT = 5_000

export interface ExchangeOptions {
  lane: Lane
  target: Target
  outbound: Outbound
  stream: boolean
  timeouts: { firstToken: number; idle: number }
  /** Milliseconds of healthy waiting after which a stream counts as good without content. */
  commitAfter: number
  maxReplyBytes: number
  /** Puts off what is to be done with a whole reply until those of others have come, too. */
  later(judge: () => void): void
}

/**
 * `good` resolves when a whole reply was judged good, or a stream has shown something good; it rejects with an `UpstreamFault`.
 * From then on the owner of a stream listens with `onBytes` and `onFinished`.
 */
export class Exchange implements Caller {
  readonly good: Promise<void>
  status = 0
  headers: Headers = {}
  /** The judged body of a JSON reply. */
  body: Buffer | undefined
  facts: ReplyFacts | undefined
  /** The reply as a stream; undefined for a whole one. */
  stream: LaneStream | undefined
  fault: UpstreamFault | undefined
  /** When the last byte came, by `performance.now()`. */
  endedAt: number | undefined
  /** The timer of the whole request, for whoever ends the stream to clear. */
  deadline: NodeJS.Timeout | undefined
  /** Takes the call back if it waits for a socket, and says whether it did. */
  takeBack: (() => boolean) | undefined
  /** It never had a socket, and never will. */
  takenBack = false
  onOver: (() => void) | undefined
  onBytes: (() => void) | undefined
  onFinished: ((fault: UpstreamFault | undefined) => void) | undefined
  readonly #options: ExchangeOptions
  #controller: Controller | undefined
  /** Stands between the socket and us where the reply is compressed. */
  #inflater: Transform | undefined
  #isInflating = false
  /** The socket broke while bytes were still in the inflater. */
  #broken: Error | undefined
  #resolve!: () => void
  #reject!: (fault: UpstreamFault) => void
  #committed = false
  #ended = false
  #aborted = false
  #paused = false
  #pausedAt = 0
  #givesWay = false
  #heldBackMs = 0
  readonly #pieces = new Pieces()
  /** A reply that has come and waits to be judged. */
  #whole: Buffer | undefined
  /** What came of a stream with the current read of the socket. */
  #arrived: Buffer[] = []
  #waiting = 0
  #progress = 0
  /** The answer is known; usage and the end marker may follow, or what an error says. */
  #isEnding = false
  /** Bytes that have come since. */
  #after = 0
  #timer: NodeJS.Timeout | undefined
  #commitTimer: NodeJS.Timeout | undefined

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.good = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Whoever aborts stops listening.
    this.good.catch(() => {})
    if (options.stream) {
      this.#timer = setTimeout(this.#onDeadline, options.timeouts.firstToken)
    }
  }

  /** Stops the call at once, in any phase. Nothing is reported any more; what a whole reply says of its usage is in `facts` even so. */
  abort(): void {
    this.#judge()
    this.#finish()
    this.#stop(new Error('aborted'))
  }

  /** Stops the call and reports `fault` as its end. */
  fail(fault: UpstreamFault): void {
    // A reply that has come cannot fail any more: it would be paid for and asked for again.
    this.#judge()
    if (this.#ended) return
    this.#end(fault)
    this.#stop(fault)
  }

  #stop(why: Error): void {
    this.#aborted = true
    this.takenBack ||= this.takeBack?.() ?? false
    this.#controller?.abort(why)
  }

  pause(): void {
    if (!this.#paused) this.#pausedAt = performance.now()
    this.#paused = true
    this.#controller?.pause()
    this.#inflater?.pause()
  }

  resume(): void {
    this.#heldBackMs = this.heldBackMs
    this.#paused = false
    this.#timer?.refresh()
    this.#inflater?.resume()
    this.#controller?.resume()
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#aborted) controller.abort(new Error('aborted'))
  }

  onResponseStart(_controller: Controller, status: number, headers: Headers): void {
    if (status < 200 || this.#ended) return
    this.status = status
    this.headers = headers
    if (headers['content-encoding'] !== undefined && !this.#inflate(headers['content-encoding'])) return
    if (!this.#options.stream || status >= 300 || isJson(headers)) {
      // From here on the body must come: a stall after the headers would else hold the request until its total limit.
      const { firstToken, idle } = this.#options.timeouts
      this.#rearm(status < 300 ? firstToken : Math.min(idle, ENDING_TIMEOUT))
      // Another status is the answer, and its words only tell more of it.
      this.#isEnding = status >= 300
      return
    }
    this.stream = this.#options.lane.stream()
    this.facts = this.stream.facts
    this.#commitTimer = setTimeout(this.#commit, this.#options.commitAfter)
  }

  /** False when nobody can. What a status other than 2xx says counts, however its words are wrapped. */
  #inflate(encoding: string | string[]): boolean {
    // In an event of the inflater nobody else would catch it.
    const guarded = (act: () => void): void => {
      try {
        act()
      } catch {
        this.fail(unreadable())
      }
    }
    try {
      this.#inflater = inflaterFor(encoding, {
        onData: (chunk) => guarded(() => this.#takeData(chunk)),
        onEnd: () => guarded(() => (this.#broken ? this.#takeBreak(this.#broken) : this.#takeEnd())),
        onError: (fault) =>
          guarded(() => {
            if (this.#broken) this.#takeBreak(this.#broken)
            else this.fail(this.status < 300 ? fault : this.#refusal())
          }),
      })
    } catch (error) {
      if (this.status >= 300) return true
      this.fail(error as UpstreamFault)
      return false
    }
    return true
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    if (this.#ended) return this.#countAfter(chunk)
    if (this.#inflater !== undefined && !this.#isInflating) {
      this.#isInflating = true
      if (!looksGzipped(this.headers['content-encoding'], chunk)) {
        this.#inflater.destroy()
        this.#inflater = undefined
      }
    }
    if (this.#inflater === undefined) this.#takeData(chunk)
    else this.#inflater.write(chunk)
  }

  /** Who goes on for long after the answer is over has no end. */
  #countAfter(chunk: Buffer): void {
    this.#after += chunk.length
    if (this.#after > MAX_WAITING_BYTES) this.#controller?.abort(new Error('no end of reply'))
  }

  #takeData(chunk: Buffer): void {
    if (this.#ended) return
    const isFirst = !this.#committed && this.#waiting === 0 && this.#arrived.length === 0
    if (isFirst && this.stream && isDocument(this.headers, chunk)) {
      this.stream = this.facts = undefined
      clearTimeout(this.#commitTimer)
    }
    if (this.stream) {
      this.#arrived.push(chunk)
      if (this.#arrived.length === 1) queueMicrotask(this.#takeArrived)
      return
    }
    if (!this.#isEnding) {
      if (this.#pieces.size === 0) this.#rearm(this.#options.timeouts.idle)
      else this.#timer?.refresh()
    }
    const limit = this.status < 300 ? this.#options.maxReplyBytes : MAX_ERROR_BYTES
    if (this.#pieces.size + chunk.length <= limit) this.#pieces.add(chunk)
    else if (this.status < 300)
      this.fail(new UpstreamFault('too_large', `The upstream's reply is larger than ${limit} bytes.`))
    else this.fail(this.#refusal())
  }

  /** What a status other than 2xx means, with as much of its body as has come. */
  #refusal(): UpstreamFault {
    return this.#options.outbound.fault(this.status, this.headers, withoutMark(this.#pieces.whole()))
  }

  onResponseEnd(): void {
    this.#isOver()
    if (this.#inflater === undefined || this.#ended) this.#takeEnd()
    else this.#inflater.end()
  }

  #takeEnd(): void {
    this.#takeArrived()
    if (this.#ended) return clearTimeout(this.#timer)
    this.endedAt = performance.now()
    if (this.stream) {
      this.stream.end()
      if (!this.stream.fault) this.#commit()
      return this.#end(this.stream.fault)
    }
    if (this.status >= 300) return this.#end(this.#refusal())
    if (this.#pieces.size === 0)
      return this.#end(new UpstreamFault('garbage', `The upstream answered ${this.status} without a body.`))
    clearTimeout(this.#timer)
    this.#whole = withoutMark(this.#pieces.whole())
    this.#options.later(this.#judge)
  }

  /** Judges a whole reply that has come; without effect where there is none, or it is judged. */
  readonly #judge = (): void => {
    const body = this.#whole
    if (body === undefined) return
    this.#whole = undefined
    const { lane, stream } = this.#options
    let judged: ReturnType<Lane['whole']>
    try {
      judged = !stream ? lane.whole(body) : isEvents(body) ? passAtOnce(lane, body) : lane.restream(body)
    } catch {
      // Nested deeper than can be written again, say. One vendor's reply must not end all calls.
      judged = unreadable()
    }
    if (judged instanceof UpstreamFault) return this.#end(judged)
    this.body = judged.body
    this.facts = judged.facts
    this.#end(judged.fault)
  }

  /** The socket is another call's. */
  #isOver(): void {
    const { onOver } = this
    this.onOver = undefined
    onOver?.()
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.#isOver()
    if (this.#inflater === undefined || this.#ended) return this.#takeBreak(error)
    this.#broken = error
    this.#inflater.end()
  }

  #takeBreak(error: Error): void {
    this.#takeArrived()
    if (this.#ended) return
    const { stream } = this
    // What is cut off after the finish frame was complete in all that counts.
    if (stream?.finishing && !stream.fault) return this.#takeEnd()
    // What a status other than 2xx says counts, also where its words did not come whole: a retry of a bad request would be in vain.
    if (this.status >= 300) return this.#end(this.#refusal())
    this.#end(dialFaultOf(error, { sent: this.#controller !== undefined, responded: this.status !== 0 }))
  }

  /**
   * Vendors send each event as a chunk of its own, and dozens come with one read of the socket: they are looked at, and written to the
   * client, together. A microtask runs as soon as the read has been handed over.
   */
  readonly #takeArrived = (): void => {
    const chunks = this.#arrived
    if (chunks.length === 0) return
    this.#arrived = []
    if (this.#ended) return
    const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
    if (bytes.length >= FLOOD_BYTES) this.#giveWay()
    try {
      this.#onStreamData(this.stream!, bytes)
    } catch {
      this.fail(unreadable())
    }
  }

  /** Others have their turn before the next read: the system hands over megabytes of one socket, if it has them, before it looks at another. */
  #giveWay(): void {
    if (this.#givesWay) return
    this.#givesWay = true
    this.#controller?.pause()
    setImmediate(() => {
      this.#givesWay = false
      if (!this.#paused) this.#controller?.resume()
    })
  }

  #onStreamData(stream: LaneStream, chunk: Buffer): void {
    stream.push(chunk)
    const wasCommitted = this.#committed
    // Also when the fault came with the same bytes: how the network cuts a reply must not decide what becomes of it.
    if (stream.good) this.#commit()
    if (stream.fault) return this.fail(stream.fault)
    if (!wasCommitted) {
      this.#waiting += chunk.length
      if (!stream.good && this.#waiting - stream.unfinished > MAX_WAITING_BYTES) {
        return this.fail(new UpstreamFault('garbage', 'The upstream sent a megabyte without generating anything.'))
      }
    } else this.onBytes?.()
    if (stream.complete) {
      // The end marker has come: the answer need not wait for the connection to close.
      const fault = this.#judgeEnd(stream)
      this.#end(fault)
      this.#timer = setTimeout(() => this.#controller?.abort(new Error('no end of reply')), ENDING_TIMEOUT).unref()
      return
    }
    if (stream.finishing) {
      // Once: who goes on with comments, or with anything else, after the answer is over would hold it open for ever.
      if (this.#isEnding) this.#countAfter(chunk)
      else this.#rearm(ENDING_TIMEOUT)
      this.#isEnding = true
    } else if (stream.progress !== this.#progress) {
      if (this.#progress === 0) this.#rearm(this.#options.timeouts.idle)
      else this.#timer?.refresh()
    }
    this.#progress = stream.progress
  }

  #judgeEnd(stream: LaneStream): UpstreamFault | undefined {
    stream.end()
    if (!stream.fault) this.#commit()
    return stream.fault
  }

  #rearm(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#onDeadline, ms)
  }

  /** After a stall of our own, timers run before the sockets are read: what came in time may still lie there. */
  readonly #onDeadline = (): void => {
    // A slow client holds the upstream back: that is not the upstream's silence.
    if (this.#paused) return void this.#timer?.refresh()
    const known = this.#heard()
    setImmediate(() => {
      if (!this.#ended && !this.#paused && (this.#isEnding || this.#heard() === known)) this.#expire()
    })
  }

  /** Grows with everything that moves the deadline. */
  #heard(): number {
    return this.#progress + this.#pieces.size + (this.stream ? 0 : this.status)
  }

  /** The time of the whole call is over. */
  expire(fault: UpstreamFault): void {
    this.fail(this.status < 300 ? fault : this.#refusal())
  }

  #expire(): void {
    const { stream } = this
    if (this.status >= 300) return this.fail(this.#refusal())
    if (stream?.finishing) {
      this.#controller?.abort(new Error('no end of reply'))
      return
    }
    this.fail(
      this.#progress > 0 || this.#pieces.size > 0
        ? new UpstreamFault('idle_timeout', `The upstream generated nothing for ${this.#options.timeouts.idle} ms.`)
        : new UpstreamFault(
            'first_token_timeout',
            `The upstream generated nothing in ${this.#options.timeouts.firstToken} ms.`,
          ),
    )
  }

  readonly #commit = (): void => {
    if (this.#committed) return
    this.#committed = true
    clearTimeout(this.#commitTimer)
    this.#resolve()
  }

  #end(fault: UpstreamFault | undefined): void {
    const wasCommitted = this.#committed
    this.#finish()
    this.fault = fault
    if (!wasCommitted) {
      if (fault) this.#reject(fault)
      else this.#commit()
    } else this.onFinished?.(fault)
  }

  /** Milliseconds in which the upstream had to wait for whoever reads the reply. */
  get heldBackMs(): number {
    return this.#paused ? this.#heldBackMs + performance.now() - this.#pausedAt : this.#heldBackMs
  }

  /** True when nothing more comes; `fault` then says how it ended. */
  get ended(): boolean {
    return this.#ended
  }

  #finish(): void {
    this.#ended = true
    clearTimeout(this.#timer)
    clearTimeout(this.#commitTimer)
    this.#inflater?.destroy()
  }
}
