// The breaker of one target: counts its faults, opens, lets one probe through, closes. The port behind which opossum keeps the state.
import CircuitBreaker from 'opossum'
import type { BreakerSettings } from '../config/snapshot.ts'

export type { BreakerSettings } from '../config/snapshot.ts'

export type BreakerState = 'closed' | 'open' | 'half_open' | 'disabled'

/** How a call that was let through ended, for the breaker: `none` says nothing about the target (the client left, its own bad request). */
export type Verdict = 'good' | 'count' | 'hard' | 'none'

/** The right to make one call. Hand it back with `settle`, once. */
export interface Permit {
  readonly probe: boolean
  /** Which closed period it belongs to: a success from before an opening must not close it. */
  readonly generation: number
}

export interface Transition {
  readonly from: BreakerState
  readonly to: BreakerState
  /** Fault kind, `probe`, `operator`, `restored`. */
  readonly reason: string
  /** Unix milliseconds until which it stays open; undefined when closed. */
  readonly until: number | undefined
}

export interface BreakerReport {
  readonly state: BreakerState
  readonly until: number | undefined
  readonly reason: string | undefined
  readonly consecutive: number
  readonly lastFault: { kind: string; at: number } | undefined
}

/** Slices of the window in which calls are counted. */
const SLICES = 10

// opossum counts for statistics of its own; nobody reads them. One controller that never turns keeps it from running a timer a target.
const stillController = new CircuitBreaker(async () => {}, { timeout: false, enableSnapshots: false })
stillController.shutdown()
// Every target listens to it: a warning of Node's about that would mean nothing.
stillController.setMaxListeners(0)

/** A circuit breaker: closed, open, half-open (one probe), or disabled by an operator. Synchronous; it never makes a call itself. */
export class Breaker {
  readonly #settings: () => BreakerSettings
  readonly #now: () => number
  readonly #tell: (transition: Transition) => void
  readonly #circuit: CircuitBreaker
  #permits: Permit
  #probing = false
  #lastResortAt = Number.NEGATIVE_INFINITY
  #disabled: string | undefined
  #until: number | undefined
  /** Milliseconds that it opened for. */
  #wait = 0
  #reason: string | undefined
  #consecutive = 0
  #lastFault: { kind: string; at: number } | undefined
  /** Per slice of time: its number, calls, faults. */
  readonly #slices = new Float64Array(SLICES * 3)

  /** @param now Unix milliseconds */
  constructor(settings: () => BreakerSettings, tell: (transition: Transition) => void, now: () => number = Date.now) {
    this.#settings = settings
    this.#tell = tell
    this.#now = now
    this.#permits = { probe: false, generation: 0 }
    this.#circuit = new CircuitBreaker(async () => {}, {
      timeout: false,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      rotateBucketController: stillController,
      resetTimeout: 1,
    })
    // opossum's timer says when the wait is over; all other transitions are ours.
    this.#circuit.on('halfOpen', () =>
      this.#tellOf({ from: 'open', to: 'half_open', reason: 'waited', until: undefined }),
    )
  }

  get state(): BreakerState {
    if (this.#disabled !== undefined) return 'disabled'
    if (this.#circuit.opened) return 'open'
    return this.#circuit.halfOpen ? 'half_open' : 'closed'
  }

  /** The right to call, or undefined: open, switched off, or its one probe is under way. */
  admit(): Permit | undefined {
    if (this.#disabled !== undefined) return undefined
    if (this.#circuit.closed) return this.#permits
    if (this.#circuit.opened || this.#probing) return undefined
    return this.#probe()
  }

  /** One probe at a time, at most one a second, although the wait is not over: for when no other target is left. */
  lastResort(): Permit | undefined {
    if (this.#disabled !== undefined || this.#probing || this.#circuit.closed) return undefined
    if (Math.abs(this.#now() - this.#lastResortAt) < 1000) return undefined
    this.#lastResortAt = this.#now()
    return this.#probe()
  }

  /** @param kind the fault's kind, for the report */
  settle(permit: Permit, verdict: Verdict, kind = ''): void {
    const isCurrent = permit.generation === this.#permits.generation
    if (permit.probe && isCurrent) this.#probing = false
    if (verdict === 'none') return
    if (verdict === 'good') {
      this.#count(false)
      if (permit.probe && isCurrent && !this.#circuit.closed) this.#close('probe')
      else if (this.#circuit.closed && isCurrent) this.#consecutive = 0
      return
    }
    this.#lastFault = { kind, at: this.#now() }
    // What began before the opening, or before an operator's reset, tells nothing new; what fails as a probe opens it again.
    if (!isCurrent) return
    this.#count(true)
    this.#consecutive++
    const settings = this.#settings()
    if (settings.autoDisableAfter > 0 && this.#consecutive >= settings.autoDisableAfter)
      this.disable('autoDisableAfter')
    else if (verdict === 'hard') this.#open(settings.unhealthyFor, kind)
    else if (permit.probe || this.#consecutive >= settings.failures || this.#tooMany(settings))
      this.#open(settings.openFor, kind)
  }

  /** Milliseconds until a call may be made again; 0 when one may now. */
  wait(): number {
    if (this.#disabled !== undefined) return Number.POSITIVE_INFINITY
    // Nobody knows how long the probe takes: soon.
    if (this.#probing && this.#circuit.halfOpen) return 1000
    // Never more than all of it, which its timer holds to: the clock may have been set back.
    return this.#circuit.opened ? Math.min(this.#wait, Math.max(0, (this.#until ?? 0) - this.#now())) : 0
  }

  disable(reason: string): void {
    const from = this.state
    if (from === 'disabled') return
    this.#disabled = reason
    this.#tell({ from, to: 'disabled', reason, until: undefined })
  }

  /** Forgets everything: closed, no faults. */
  reset(reason: string): void {
    const from = this.state
    this.#disabled = undefined
    this.#probing = false
    // Calls that hang since the trouble that is over now must not shut it again.
    this.#permits = { probe: false, generation: this.#permits.generation + 1 }
    this.#slices.fill(0)
    this.#shut()
    if (from !== 'closed') this.#tell({ from, to: 'closed', reason, until: undefined })
  }

  /** Takes up the state that a run before this one left: probing may begin after `wait` milliseconds. */
  restore(saved: { state: BreakerState; reason: string }, wait: number): void {
    if (saved.state === 'disabled') this.#disabled = saved.reason
    else if (saved.state !== 'closed') this.#open(wait, saved.reason)
  }

  report(): BreakerReport {
    return {
      state: this.state,
      // Switched off it stays until somebody switches it on, whatever its faults would have been left alone for.
      until: this.state === 'open' ? this.#until : undefined,
      reason: this.#disabled ?? (this.state === 'closed' ? undefined : this.#reason),
      consecutive: this.#consecutive,
      lastFault: this.#lastFault,
    }
  }

  /** Stops its timer. */
  close(): void {
    this.#circuit.shutdown()
  }

  #probe(): Permit {
    this.#probing = true
    return { probe: true, generation: this.#permits.generation }
  }

  #open(wait: number, reason: string): void {
    const from = this.state
    // opossum does not start its wait anew when it is open already.
    if (this.#circuit.opened) this.#circuit.close()
    ;(this.#circuit as unknown as { options: { resetTimeout: number } }).options.resetTimeout = Math.max(1, wait)
    this.#permits = { probe: false, generation: this.#permits.generation + 1 }
    this.#wait = Math.ceil(wait)
    this.#until = this.#now() + this.#wait
    this.#reason = reason
    this.#circuit.open()
    this.#tellOf({ from, to: 'open', reason, until: this.#until })
  }

  #close(reason: string): void {
    const from = this.state
    this.#slices.fill(0)
    this.#shut()
    this.#tellOf({ from, to: 'closed', reason, until: undefined })
  }

  /** What happens behind the switch (a wait that ends, calls under way) changes nothing: stored, it would undo the switch at a restart. */
  #tellOf(transition: Transition): void {
    if (this.#disabled === undefined) this.#tell(transition)
  }

  #shut(): void {
    this.#consecutive = 0
    this.#until = undefined
    this.#reason = undefined
    this.#circuit.close()
  }

  #count(failed: boolean): void {
    const slice = Math.floor(this.#now() / (this.#settings().window / SLICES))
    const at = (slice % SLICES) * 3
    const slices = this.#slices
    if (slices[at] !== slice) {
      slices[at] = slice
      slices[at + 1] = 0
      slices[at + 2] = 0
    }
    slices[at + 1]!++
    if (failed) slices[at + 2]!++
  }

  #tooMany({ percent, volume, window }: BreakerSettings): boolean {
    const oldest = Math.floor(this.#now() / (window / SLICES)) - SLICES
    let calls = 0
    let faults = 0
    for (let at = 0; at < this.#slices.length; at += 3) {
      if (this.#slices[at]! <= oldest) continue
      calls += this.#slices[at + 1]!
      faults += this.#slices[at + 2]!
    }
    return calls >= volume && faults * 100 >= percent * calls
  }
}
