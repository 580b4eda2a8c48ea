// Follows another request's call: what has come of its answer, then the rest as it comes.
import type { ReplyFacts } from '../dialects/dialect.ts'
import { errorOf, Refusal, UpstreamFault } from '../dialects/errors.ts'
import type { CacheEntry } from '../state/cache/entry.ts'
import type { Ending, Flight, Follower } from './cacheFlight.ts'
import { newId, replay, withFraming, withId, withoutExposure } from './cacheReplay.ts'
import { framingOf } from './cacheTurn.ts'
import { type Call, ClientGone, userOf } from './call.ts'
import { mayServe } from './clientModels.ts'
import { lossNames, writeHead } from './headers.ts'
import { type Plan, refusesFallback } from './plan.ts'
import { withoutSecrets } from './refuse.ts'
import { type Settle, wantsCost, withCost } from './relay.ts'

/**
 * True when the request was answered; false when it has to try for itself, because nothing came of the call that it can use.
 * @throws ClientGone; Refusal when the request cannot be recorded
 */
export async function follow(call: Call, plan: Plan, flight: Flight, settle: Settle): Promise<boolean> {
  const since = performance.now()
  if (call.inspected!.ask.stream) return followStream(call, plan, flight, settle, since)
  let entry: CacheEntry | undefined
  try {
    entry = await landing(call, plan, flight)
  } finally {
    call.upstreamMs += performance.now() - since
  }
  return entry !== undefined && replay(call, entry, { status: 'coalesced' }, settle)
}

/**
 * Whether the request may have what the flight brings. Who answers is known late and need not be the target that both wanted: another one
 * must be on the way of this request, too, by its key's list and by its own wish for no fallback. And what a budget of the leader's cut
 * short is for the leader's key and user.
 */
export function mayShare(call: Call, plan: Plan, { served, target, leader }: Flight): boolean {
  if (served === undefined) return true
  if (served.held?.cap !== undefined && !isSameSpender(leader, call)) return false
  const { id } = served.target
  if (id === target.id) return true
  if (refusesFallback(call)) return false
  const chains = [plan.targets, plan.onContextWindow, plan.onContentPolicy]
  return chains.some((chain) => chain.some((each) => each.id === id && mayServe(call, each)))
}

const isSameSpender = (one: Call, other: Call): boolean =>
  one.key?.name === other.key?.name && userOf(one) === userOf(other)

/** The answer when it is whole; undefined when there will be none that the request may have. */
function landing(call: Call, plan: Plan, flight: Flight): Promise<CacheEntry | undefined> {
  return new Promise((resolve, reject) => {
    const shares = (): boolean => mayShare(call, plan, flight)
    const leave = flight.join({
      taken: Infinity,
      wake: () => {
        if (shares()) return
        leave()
        resolve(undefined)
      },
      end: (ending) => resolve(ending.kind === 'landed' && shares() ? ending.entry : undefined),
    })
    goneOr(call, leave, reject)
  })
}

function goneOr(call: Call, leave: () => void, reject: (error: Error) => void): void {
  call.onGone = () => {
    leave()
    reject(new ClientGone())
  }
  if (call.gone) call.onGone()
}

function followStream(call: Call, plan: Plan, flight: Flight, settle: Settle, since: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const live = new LiveFollower(call, plan, flight, since)
    live.end = (ending) => void live.conclude(ending, settle).then(resolve, reject)
    const leave = flight.join(live)
    live.decline = () => {
      leave()
      live.conclude({ kind: 'failed' }, settle).then(resolve, reject)
    }
    goneOr(call, leave, reject)
    live.wake()
  })
}

class LiveFollower implements Follower {
  taken: number
  end!: (ending: Ending) => void
  /** Goes its own way, before it has taken anything. */
  decline!: () => void
  readonly #call: Call
  readonly #plan: Plan
  readonly #flight: Flight
  readonly #since: number
  readonly #id: Buffer
  #begun = false
  #full = false
  #listens = false
  #over = false

  constructor(call: Call, plan: Plan, flight: Flight, since: number) {
    this.#call = call
    this.#plan = plan
    this.#flight = flight
    this.#since = since
    this.#id = newId(call)
    this.taken = flight.first
  }

  readonly wake = (): void => {
    if (this.#flight.contentType === undefined || this.#call.gone) return
    if (!this.#begun && !mayShare(this.#call, this.#plan, this.#flight)) return this.decline()
    this.#begin(this.#flight.contentType)
    this.#write()
  }

  #begin(contentType: string): void {
    if (this.#begun) return
    const call = this.#call
    this.#begun = true
    call.upstreamMs += performance.now() - this.#since
    const turn = call.cache!
    turn.status = 'coalesced'
    turn.age = 0
    if (framingOf(call) !== this.#flight.framing) turn.reason = 'reframed'
    const { target, model, losses } = this.#flight.served!
    turn.source = { target: target.id, provider: target.provider.name, model, dropped: lossNames(losses) }
    withoutExposure(call)
    call.status = 200
    writeHead(call, 200, ['content-type', contentType, 'cache-control', 'no-cache', 'x-accel-buffering', 'no'])
  }

  /** As much as the client takes; at the end of the stream all of it. */
  #write(): void {
    const { res } = this.#call
    const { pieces, first } = this.#flight
    while ((!this.#full || this.#over) && this.taken < first + pieces.length) {
      this.#call.firstTokenAt ??= performance.now()
      this.#full = !res.write(this.#mine(pieces[this.taken++ - first]!))
    }
    // Woken with each piece: one that has no room yet listens already.
    if (!this.#full || this.#over || this.#listens) return
    this.#listens = true
    res.once('drain', () => {
      this.#listens = false
      this.#full = false
      if (this.#over) return
      this.#write()
      this.#flight.trim()
    })
  }

  /** @param told of the whole stream, once its ending is there */
  #mine(piece: Buffer, told?: ReplyFacts): Buffer {
    const { framing, token } = this.#flight
    return withId(withFraming(this.#call, piece, framing, told), token, this.#id)
  }

  async conclude(ending: Ending, settle: Settle): Promise<boolean> {
    const call = this.#call
    if (ending.kind === 'landed' && !this.#begun && ending.entry && mayShare(call, this.#plan, this.#flight)) {
      call.upstreamMs += performance.now() - this.#since
      return replay(call, ending.entry, { status: 'coalesced' }, settle)
    }
    if (!this.#begun) {
      call.upstreamMs += performance.now() - this.#since
      return false
    }
    this.#over = true
    this.#write()
    const turn = call.cache!
    turn.saved = ending.kind === 'landed' ? ending.cost : null
    let fault = faultOf(ending)
    call.error = fault
    call.outcome = fault ? 'partial' : 'ok'
    try {
      await settle(call)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      fault = error
    }
    if (call.gone) throw new ClientGone()
    if (fault) {
      // The vendor's words, which may repeat the credentials of the call that they are an answer to.
      const frame = Buffer.from(call.dialect.inbound!.errorFrame(errorOf(fault)))
      call.res.end(withoutSecrets(this.#flight.leader, frame))
      return true
    }
    const held = ending.kind === 'landed' ? ending.held : []
    const rest = this.#mine(Buffer.concat(held), this.#flight.served!.facts)
    call.res.end(wantsCost(call) ? withCost(call, rest, true) : rest)
    return true
  }
}

function faultOf(ending: Ending): UpstreamFault | Refusal | undefined {
  if (ending.kind === 'landed') return undefined
  return ending.kind === 'broken'
    ? ending.fault
    : new UpstreamFault('cut', 'The call that this request shared broke off.')
}
