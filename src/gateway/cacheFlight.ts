// An answer on its way that others may join: what has come of it so far, and who waits for it. One call, the leader, fetches it.
import type { Target } from '../config/snapshot.ts'
import type { ReplyFacts } from '../dialects/dialect.ts'
import type { Refusal, UpstreamFault } from '../dialects/errors.ts'
import type { CacheEntry, Framing } from '../state/cache/entry.ts'
import type { Good } from './attempt.ts'
import type { Attempt, Call } from './call.ts'
import { costOf } from './settle.ts'

/** How a flight ended for those who joined: with the answer, broken in the middle of it, or with nothing that they could use. */
export type Ending =
  | {
      readonly kind: 'landed'
      /** Undefined where it was too long to be held. */
      readonly entry: CacheEntry | undefined
      /** The ending of a stream. */
      readonly held: readonly Buffer[]
      /** Nano-USD; null = unknown. */
      readonly cost: number | null
    }
  | { readonly kind: 'broken'; readonly fault: UpstreamFault | Refusal }
  | { readonly kind: 'failed' }

export interface Follower {
  /** How many pieces it has taken; all of them for one that waits for the end. */
  taken: number
  /** More pieces are there, or the stream has begun. */
  readonly wake: () => void
  readonly end: (ending: Ending) => void
}

/** Bytes of unfinished streams that may be held at once, all flights together. */
export interface Room {
  held: number
  /** Those who follow a flight, and flights whose leader's client has left. */
  readonly tally: { followers: number; leaderless: number }
  readonly limit: () => number
}

/** What flights have to do with the world around them; the same for all. */
export interface Tower {
  readonly room: Room
  /** Called once when nobody may join any more. */
  readonly closed: (flight: Flight) => void
  /** Makes an entry of the whole answer; of a stream that was too long to be held the pieces are missing. */
  readonly landed: (
    flight: Flight,
    good: Good,
    contentType: string,
    pieces: readonly Buffer[] | undefined,
  ) => CacheEntry | undefined
}

const nobody: ReadonlySet<Follower> = new Set()
const failed: Ending = { kind: 'failed' }

export class Flight {
  readonly key: string
  readonly framing: Framing
  readonly target: Target
  readonly leader: Call
  /** Milliseconds that its answer may be kept; 0 = not at all. */
  readonly ttl: number
  /** Largest answer that is kept or shared. */
  readonly maxBytes: number
  /** When it began, in the count of removals. */
  readonly born: number
  /** Of a stream that has begun. */
  contentType: string | undefined
  /** Who answers, once that is known: not always the target that was wanted. */
  served: Attempt | undefined
  readonly pieces: Buffer[] = []
  /** The number of the first of them. */
  first = 0
  /** The upstream was stopped because a follower of a long stream lags behind. */
  onRoom: (() => void) | undefined
  readonly #tower: Tower
  /** Undefined until somebody joins: hardly ever does anybody. */
  #joined: Set<Follower> | undefined
  #facts: ReplyFacts | undefined
  #token: Buffer | undefined
  #bytes = 0
  #joinable = true
  #overflown = false
  #leaderless = false
  #over = false

  constructor(
    tower: Tower,
    key: string,
    framing: Framing,
    target: Target,
    leader: Call,
    ttl: number,
    maxBytes: number,
    born: number,
  ) {
    this.#tower = tower
    this.key = key
    this.framing = framing
    this.target = target
    this.leader = leader
    this.ttl = ttl
    this.maxBytes = maxBytes
    this.born = born
  }

  /** Others wait for what the leader fetches. */
  get wanted(): boolean {
    return this.#joined !== undefined && this.#joined.size > 0
  }

  /** Whether a request with this framing loses no time by waiting: a stream cannot be had from a document before all of it is there. */
  suits(framing: Framing): boolean {
    return framing === 'json' || this.framing !== 'json'
  }

  /** Returns how to leave again. */
  join(follower: Follower): () => void {
    const { tally } = this.#tower.room
    this.#joined ??= new Set()
    const joined = this.#joined
    joined.add(follower)
    tally.followers++
    return () => {
      if (joined.delete(follower)) tally.followers--
      this.trim()
      if (this.wanted || !this.leader.gone || this.#over) return
      // Nobody is left: the upstream need not go on.
      this.#close()
      this.leader.onGone?.()
    }
  }

  /** The leader's client is gone. Where nobody else waits nobody shall join what is about to be aborted. */
  leaderLeft(): void {
    if (this.#over) return
    if (!this.wanted) return this.#close()
    this.#leaderless = true
    this.#tower.room.tally.leaderless++
  }

  /** The stream has shown something good. `facts` grow with it. */
  begin(contentType: string, facts: ReplyFacts, served: Attempt): void {
    this.contentType = contentType
    this.served = served
    this.#facts = facts
    if (this.#joined) for (const { wake } of this.#joined) wake()
  }

  /** The vendor's id as it stands in the bytes, with its quotes. */
  get token(): Buffer | undefined {
    this.#token ??= idToken(this.#facts?.id)
    return this.#token
  }

  /** Takes the next pieces of a stream; whoever calls may empty the list. */
  push(pieces: readonly Buffer[]): void {
    if (this.#overflown && !this.wanted) return
    const { room } = this.#tower
    for (const piece of pieces) {
      this.pieces.push(piece)
      this.#hold(piece.length)
    }
    if (!this.#overflown && (this.#bytes > this.maxBytes || room.held > room.limit())) {
      // Too long to be kept, or to be held for whoever may come: it goes on for those who are there.
      this.#overflown = true
      this.#close()
    }
    if (this.#joined) for (const { wake } of this.#joined) wake()
    this.trim()
  }

  /** A long stream is held for nobody but followers that lag behind. Called when one has caught up or left. */
  trim(): void {
    if (!this.#overflown || this.#isLagging()) return
    this.first += this.pieces.length
    this.pieces.length = 0
    this.#hold(-this.#bytes)
    const resume = this.onRoom
    this.onRoom = undefined
    resume?.()
  }

  /** The upstream has to wait until `onRoom`. */
  get congested(): boolean {
    return this.#overflown && this.#isLagging()
  }

  get overflown(): boolean {
    return this.#overflown
  }

  /** A leader that is slow holds the upstream back, unless others wait and there is room for what it has not taken yet. */
  get runsAhead(): boolean {
    return this.wanted && !this.#overflown
  }

  #isLagging(): boolean {
    const total = this.first + this.pieces.length
    for (const { taken } of this.#joined ?? nobody) if (taken < total) return true
    return false
  }

  #hold(bytes: number): void {
    this.#bytes += bytes
    this.#tower.room.held += bytes
  }

  /** The answer is whole and on record. `held` is its ending, or all of a document. */
  land(good: Good, contentType: string, held: readonly Buffer[]): void {
    if (this.#over) return
    this.served = good.attempt
    const whole = this.pieces.length === 0 ? held : [...this.pieces, ...held]
    const entry = this.#tower.landed(this, good, contentType, this.#overflown ? undefined : whole)
    if (!this.wanted) return this.#end(failed)
    // The leader empties its list while the others are still being recorded.
    this.#end({ kind: 'landed', entry, held: [...held], cost: costOf(this.leader) })
  }

  break(fault: UpstreamFault | Refusal): void {
    this.#end({ kind: 'broken', fault })
  }

  /** Whoever waits has to try for itself. Does nothing where it has ended. */
  fail(): void {
    this.#end(failed)
  }

  #end(ending: Ending): void {
    if (this.#over) return
    this.#over = true
    this.#close()
    const { tally } = this.#tower.room
    if (this.#leaderless) tally.leaderless--
    if (this.#joined !== undefined) {
      const followers = [...this.#joined]
      this.#joined.clear()
      tally.followers -= followers.length
      for (const { end } of followers) end(ending)
    }
    this.#hold(-this.#bytes)
  }

  #close(): void {
    if (!this.#joinable) return
    this.#joinable = false
    this.#tower.closed(this)
  }
}

/** An id as JSON has it; undefined where there is none. */
export const idToken = (id: string | undefined): Buffer | undefined =>
  id === undefined ? undefined : Buffer.from(JSON.stringify(id))

/** The flights that may be joined. */
export class Flights {
  /** Lists, because a list can let go of what a table of the Map that is long outgrown still holds: see `Roster`. */
  readonly #byKey = new Map<string, Flight[]>()

  /** @param shares whether whoever asks may have what the flight brings; anything unless given */
  find(key: string, framing: Framing, shares: (flight: Flight) => boolean = () => true): Flight | undefined {
    return this.#byKey.get(key)?.find((flight) => flight.suits(framing) && shares(flight))
  }

  add(flight: Flight): void {
    const found = this.#byKey.get(flight.key)
    if (found === undefined) this.#byKey.set(flight.key, [flight])
    else found.push(flight)
  }

  remove(flight: Flight): void {
    const found = this.#byKey.get(flight.key)
    const at = found?.indexOf(flight) ?? -1
    if (!found || at === -1) return
    found.splice(at, 1)
    if (found.length === 0) this.#byKey.delete(flight.key)
  }
}
