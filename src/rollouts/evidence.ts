// The evidence of one attempt of a rollout: takes what happens to requests, and says when a guard has seen enough.
import { thresholdOf } from './assignment.ts'
import { CleanWindows, shareAt } from './cleanWindows.ts'
import { Guard, type GuardPlan, planGuards } from './guard.ts'
import { GuardGroup } from './guardGroup.ts'
import { recallHard } from './hardRows.ts'
import { broughtAlong, HardRule } from './hardRule.ts'
import { badEvents, type Size } from './outcome.ts'
import { Patience } from './patience.ts'
import type { RolloutPolicy } from './policy.ts'
import { RateCheck } from './rateCheck.ts'
import type { RowFold } from './rowFold.ts'
import { ShareCheck } from './shareCheck.ts'
import { SizeRoom } from './sizeRoom.ts'
import type { Count } from './tally.ts'
import { type Arrival, type EvidenceRecord, Ticket } from './ticket.ts'
import { UnitTable } from './unitTable.ts'
import { Watermark } from './watermark.ts'

/** Why the canary has to go. */
export type Harm =
  | { readonly cause: 'guard'; readonly guard: Guard }
  | { readonly cause: 'hard'; readonly reason: string }

/** What is known when a reply is over. Sizes in the units of `outcome.ts`. */
export interface Ending {
  /** Bits of bad events. */
  readonly bits: number
  readonly latency?: number | undefined
  readonly cost?: number | undefined
  readonly output_tokens?: number | undefined
}

const lateError = badEvents.late_error.bit
/** Endings of which nothing else can be told: not how long the whole would have taken, nor how it would have ended. */
const broken = lateError | badEvents.client_abort.bit
const slowStart = badEvents.slow_start.bit

/**
 * Holds no clock: times are handed in, those of the requests themselves. One per attempt and process; `merge` brings in what others, or
 * this one before a restart, have counted.
 */
export class Evidence {
  readonly policy: RolloutPolicy
  /** Unix milliseconds. */
  readonly startedAt: number
  readonly shareCheck: ShareCheck
  readonly rateCheck: RateCheck | undefined
  /** Units by which bad events of theirs have counted: bit 0 = seen at all, then one bit a guard, and `#failed`. Empty where the unit is the request. */
  readonly units: UnitTable
  /** Sizes of both arms, for thresholds and for show. */
  readonly sizes: SizeRoom
  /** First attempts that are decided, by arm. */
  canary = 0
  stable = 0
  /** Those of the canary that came since `nextStep`. */
  canaryInStep = 0
  #step = 0
  readonly #isSticky: boolean
  readonly #plans: readonly GuardPlan[]
  readonly #guards: readonly Guard[]
  readonly #atStart: GuardGroup
  readonly #atEnd: GuardGroup
  /** Of `slow_start`, and the rest of those at the start. */
  readonly #ofSlow: GuardGroup
  readonly #ofPrompt: GuardGroup
  readonly #clean: CleanWindows
  /** Guards that a window is kept for, as bits. */
  readonly #windowed: number
  readonly #hard: HardRule
  /** Bit of units that had a first attempt which failed. */
  readonly #failed: number
  readonly #start: Watermark
  readonly #end: Watermark
  /** Those without a first byte that is still to be waited for. */
  readonly #late: Watermark
  /** How long is too long to begin: a whole reply begins at its end. */
  readonly #ofStreams: Patience
  readonly #ofWhole: Patience
  #harm: Harm | undefined

  /** @param startedAt of the attempt, Unix milliseconds: the same in all processes */
  constructor(policy: RolloutPolicy, startedAt: number, units = new UnitTable()) {
    this.policy = policy
    this.startedAt = startedAt
    this.units = units
    const startEpoch = Math.floor(startedAt / policy.epoch)
    this.#plans = planGuards(policy)
    this.#guards = this.#plans.map((plan) => new Guard(plan, startEpoch, policy.minBadEvents))
    const group = (isIn: (plan: GuardPlan) => boolean) => new GuardGroup(this.#guards, isIn)
    this.#atStart = group(({ at }) => at === 'start')
    this.#atEnd = group(({ at }) => at === 'end')
    this.#ofSlow = group(({ at, bit }) => at === 'start' && bit === slowStart)
    this.#ofPrompt = group(({ at, bit }) => at === 'start' && bit !== slowStart)
    const times = this.#plans.filter(({ size }) => size === 'ttft' || size === 'latency')
    const tolerance = Math.max(1, ...times.map(({ margin }) => margin))
    this.#ofStreams = new Patience(policy.slowStart, tolerance)
    this.#ofWhole = new Patience(policy.slowStart, tolerance)
    this.#isSticky = policy.unit !== 'request'
    this.#windowed = this.#isSticky ? this.#plans.reduce((bits, { size }, g) => (size ? bits : bits | (1 << g)), 0) : 0
    this.#clean = new CleanWindows(this.#windowed)
    this.sizes = new SizeRoom(this.#plans)
    this.shareCheck = new ShareCheck(policy.srmAlpha)
    if (policy.sloErrorRate !== undefined) {
      this.rateCheck = new RateCheck(policy.sloErrorRate, policy.alpha, startEpoch)
    }
    this.#hard = new HardRule(policy.hard, policy.hardRun)
    this.#failed = 4 << this.#guards.length
    this.#start = new Watermark(
      (ticket) => ticket.isStarted,
      () => policy.slowStart,
      (ticket) => this.#giveUpStart(ticket),
      (ticket) => this.#releaseStart(ticket),
    )
    this.#end = new Watermark(
      (ticket) => ticket.isEnded,
      () => policy.lateEnd,
      (ticket) => this.#giveUpEnd(ticket),
      (ticket) => this.#count(ticket, this.#atEnd),
    )
    this.#late = new Watermark(
      (ticket) => ticket.isStartSeen || ticket.isEnded,
      (ticket) => ticket.patience,
      (ticket) => this.#seeLateStart(ticket, true),
      (ticket) => this.#count(ticket, this.#ofSlow),
    )
  }

  /** With all that was counted until now; ask again for what comes later. */
  get guards(): readonly Guard[] {
    this.#settle()
    return this.#guards
  }

  /** Set for good as soon as a guard that aborts, or the hard rule, has fired: to be looked at after each call. */
  get harm(): Harm | undefined {
    if (this.#harm) this.#settle()
    return this.#harm
  }

  /** Judged requests whose first attempt, and whose end, is still waited for. */
  get waiting(): { start: number; end: number } {
    return { start: this.#start.waiting, end: this.#end.waiting }
  }

  /** From now on requests come at another step: what is decided of earlier ones is none of its own. */
  nextStep(): void {
    this.#step++
    this.canaryInStep = 0
  }

  /** A request that is put on an arm by its bucket; `canary` of the ticket says on which. */
  admit(arrival: Arrival): Ticket {
    const { now, bucket, weightPpm } = arrival
    const unit = this.#isSticky ? arrival.unit : undefined
    const epoch = Math.floor(now / this.policy.epoch)
    const canary = bucket < thresholdOf(weightPpm)
    const known = unit ? this.units.add(unit.high, unit.low, 1) : 0
    const isForgotten = unit !== undefined && known === 0 && this.units.isFull
    const isFirst = known === 0 && !isForgotten
    // The unit had its first bad event before, or is one of too many.
    const dirty = isForgotten ? this.#windowed : (known >> 1) & this.#windowed
    const looked = this.#isSticky ? this.#clean.take(bucket, weightPpm, dirty) : undefined
    const thresholds = isFirst && this.canary >= this.policy.warmup ? this.sizes.thresholds : undefined
    const ticket = new Ticket(now, weightPpm, canary, epoch, this.#step, unit, isFirst, dirty, looked, thresholds)
    ticket.isWhole = arrival.whole === true
    if (isFirst) this.shareCheck.see(epoch, weightPpm, canary)
    this.#start.push(ticket)
    this.#end.push(ticket)
    return ticket
  }

  /** The first attempt has shown something good. @param ttft milliseconds; undefined = not to be compared */
  begin(ticket: Ticket, now: number, ttft: number | undefined): void {
    this.#expire(ticket, now)
    if (!ticket.canary) this.#patience(ticket).learn(now - ticket.at)
    if (ticket.isSlow && !ticket.isEnded) this.#seeLateStart(ticket, now - ticket.at >= ticket.patience)
    if (!ticket.isStarted) {
      ticket.isStarted = true
      ticket.isLearnt = true
      this.#see(ticket, this.#atStart, 0)
      if (ttft !== undefined) this.#measure(ticket, 'ttft', ttft)
    }
    this.tick(now)
  }

  /**
   * The first attempt failed before anything good came, or its arm's breaker was open. What comes after it is not the arm's.
   * @param bits of `first_attempt_error` and what else it was
   * @param kind of the fault, or `breakerOpen`
   */
  fail(ticket: Ticket, now: number, bits: number, kind: string): void {
    this.#expire(ticket, now)
    if (!ticket.isStarted) {
      ticket.isStarted = true
      ticket.isLearnt = true
      ticket.fault = kind
      ticket.isRepeated = this.#hadFailed(ticket) && broughtAlong.has(kind)
      this.#see(ticket, this.#atStart, bits)
    } else if (!ticket.isEnded) {
      this.#seeLateStart(ticket, now - ticket.at >= ticket.patience)
      this.#see(ticket, this.#atEnd, lateError, lateError)
    }
    ticket.isEnded = true
    this.tick(now)
  }

  /** Nothing is learnt of the first attempt: the client was gone, or what it asked for was its own mistake. */
  leave(ticket: Ticket, now: number, bits = 0): void {
    this.#expire(ticket, now)
    if (!ticket.isStarted) {
      ticket.isStarted = true
      // It would have taken longer than this; and where that is too long already, it was.
      if (!ticket.isWhole) this.#measure(ticket, 'ttft', now - ticket.at, true)
    }
    if (!ticket.isEnded && bits !== 0) this.#see(ticket, this.#atEnd, bits, bits)
    if (now - ticket.at >= ticket.patience) this.#seeLateStart(ticket, true)
    ticket.isEnded = true
    this.tick(now)
  }

  /** The reply is over. Without effect where the end is decided already; so it may be called for every request. */
  end(ticket: Ticket, now: number, ending: Ending): void {
    this.#expire(ticket, now)
    if (!ticket.isStarted) return this.leave(ticket, now, ending.bits)
    if (!ticket.isEnded) {
      ticket.isEnded = true
      const { bits } = ending
      this.#see(ticket, this.#atEnd, bits, bits & broken ? broken : undefined)
      if ((bits & broken) === 0) {
        this.#measure(ticket, 'latency', ending.latency)
        this.#measure(ticket, 'cost', ending.cost)
        this.#measure(ticket, 'output_tokens', ending.output_tokens)
      }
    }
    this.tick(now)
  }

  /** Lets go what waited long enough. To be called by the clock, too: a canary that hangs sends nothing that would call. */
  tick(now: number): void {
    this.#start.advance(now)
    this.#end.advance(now)
    this.#late.advance(now)
  }

  /** What a request adds, once its end is decided: to be kept with its row. */
  recordOf(ticket: Ticket): EvidenceRecord {
    const { epoch, ppm, canary, seen, bad, looked } = ticket
    let marks = seen
    if (ticket.isFirst) marks |= 1 << this.#guards.length
    if (ticket.isLearnt) marks |= 1 << (this.#guards.length + 1)
    if (ticket.isSlow) marks |= 1 << (this.#guards.length + 2)
    if (ticket.isRepeated) marks |= 1 << (this.#guards.length + 3)
    const faulty = ticket.fault === undefined ? bad : bad | (1 << (this.#guards.length + 1))
    if (!looked || bad === 0) return { epoch, ppm, canary, seen: marks, bad: faulty }
    const judged: Record<number, number> = {}
    for (let g = 0; g < this.#guards.length; g++) if (bad & (1 << g)) judged[g] = this.#shareOf(ticket, g)
    return { epoch, ppm, canary, seen: marks, bad: faulty, shares: judged }
  }

  /**
   * Takes up what rows say beside their counts, after a restart: the run of hard faults that was under way; which bad events units have had,
   * and which requests were clean. All of them at once, in the order of the rows; the counts come by `merge`.
   */
  recall(folds: readonly RowFold[]): void {
    const lists = folds.map(({ hard }) => hard)
    const reason = recallHard(this.#hard, this.policy.hard, lists)
    if (reason !== undefined) this.#harm ??= { cause: 'hard', reason }
    if (!this.#isSticky) return
    for (const { units } of folds)
      for (let at = 0; at < units.length; at += 3) this.units.add(units[at]!, units[at + 1]!, units[at + 2]!)
    this.#clean.recall(folds, this.#windowed)
  }

  /** All that was counted. Whole numbers; adding those of several processes gives those of all. */
  counts(): Count[] {
    return [
      ...this.guards.flatMap((guard) => guard.tally.counts(guard.plan.id)),
      ...this.shareCheck.tally.counts('assigned'),
      ...(this.rateCheck?.tally.counts('slo') ?? []),
      {
        guard: 'decided',
        epoch: 0,
        ppm: 0,
        seenStable: this.stable,
        seenCanary: this.canary,
        badStable: 0,
        badCanary: 0,
      },
    ]
  }

  /** Adds what others have counted. Counts of guards that the policy does not have are passed over. */
  merge(counts: Iterable<Count>): void {
    const byId = new Map(this.#guards.map((guard) => [guard.plan.id, guard]))
    for (const count of counts) {
      if (count.guard === 'assigned') this.shareCheck.merge(count)
      else if (count.guard === 'slo') this.rateCheck?.merge(count)
      else if (count.guard === 'decided') {
        this.stable += count.seenStable
        this.canary += count.seenCanary
      } else byId.get(count.guard)?.merge(count)
    }
    for (const guard of this.#guards) if (guard.isHarm()) this.#accuse(guard)
  }

  #shareOf({ looked, ppm }: Ticket, guard: number): number {
    return looked ? shareAt(looked, guard, ppm) : ppm
  }

  #settle(): void {
    for (const group of [this.#atStart, this.#atEnd, this.#ofSlow, this.#ofPrompt]) group.alike.settle()
  }

  /** Whether its unit had a first attempt before that failed; from now on it has. */
  #hadFailed({ unit }: Ticket): boolean {
    return unit !== undefined && (this.units.add(unit.high, unit.low, this.#failed) & this.#failed) !== 0
  }

  /** @param only metrics whose guards look at it; undefined = all of bad events */
  #see(ticket: Ticket, { numbers, events }: GuardGroup, bits: number, only?: number): void {
    if (bits === 0 && only === undefined) {
      ticket.seen |= events & ~ticket.dirty
      return
    }
    for (const g of numbers) {
      const { bit } = this.#plans[g]!
      if (bit === 0 || (only !== undefined && (bit & only) === 0)) continue
      if (ticket.dirty & (1 << g)) continue
      if (bits & bit) {
        const { unit } = ticket
        if (unit && this.units.add(unit.high, unit.low, 2 << g) & (2 << g)) continue
        ticket.bad |= 1 << g
      }
      ticket.seen |= 1 << g
    }
  }

  /** @param isLeast the size is at least this: a bad event where that is too much already, nothing otherwise */
  #measure(ticket: Ticket, size: Size, value: number | undefined, isLeast = false): void {
    if (value === undefined || !ticket.isFirst) return
    if (!isLeast) this.sizes.push(size, ticket.canary, value)
    const { thresholds } = ticket
    if (!thresholds) return
    for (const g of this.sizes.guardsOf(size)) {
      const isBad = (ticket.canary ? value / this.#plans[g]!.margin : value) > thresholds[g]!
      if (isLeast && !isBad) continue
      ticket.seen |= 1 << g
      if (isBad) ticket.bad |= 1 << g
    }
  }

  /** What came too late is too late however seldom the clock looks. */
  #expire(ticket: Ticket, now: number): void {
    if (!ticket.isStarted && now - ticket.at >= this.policy.slowStart) this.#giveUpStart(ticket)
    if (!ticket.isEnded && now - ticket.at >= this.policy.lateEnd) this.#giveUpEnd(ticket)
  }

  #giveUpStart(ticket: Ticket): void {
    ticket.isStarted = true
    ticket.isLearnt = true
    ticket.isSlow = true
    // More of stable is known by now: when it came, perhaps nothing.
    ticket.patience = this.#patience(ticket).with(ticket.canary)
    const isPatient = this.#isPatient(ticket)
    if (isPatient) this.#late.push(ticket)
    this.#see(ticket, isPatient ? this.#ofPrompt : this.#atStart, slowStart)
    if (!ticket.isWhole) this.#measure(ticket, 'ttft', this.policy.slowStart)
  }

  /** Whether `slow_start` is decided later than the order of the others can wait, because stable itself takes long to begin. */
  #isPatient(ticket: Ticket): boolean {
    return ticket.patience > this.policy.slowStart
  }

  /** Of one that was given up, and of which more is known by now. */
  #seeLateStart(ticket: Ticket, isBad: boolean): void {
    if (!ticket.isSlow || ticket.isStartSeen || !this.#isPatient(ticket)) return
    ticket.isStartSeen = true
    this.#see(ticket, this.#ofSlow, isBad ? slowStart : 0)
  }

  /** How long it may take to begin. */
  #patience({ isWhole }: Ticket): Patience {
    return isWhole ? this.#ofWhole : this.#ofStreams
  }

  #giveUpEnd(ticket: Ticket): void {
    this.#seeLateStart(ticket, true)
    ticket.isEnded = true
    this.#measure(ticket, 'latency', this.policy.lateEnd)
  }

  #releaseStart(ticket: Ticket): void {
    this.#count(ticket, this.#isPatient(ticket) ? this.#ofPrompt : this.#atStart)
    if (!ticket.isLearnt) return
    if (ticket.canary) {
      this.canary++
      if (ticket.step === this.#step) this.canaryInStep++
    } else this.stable++
    this.rateCheck?.see(ticket.epoch, ticket.ppm, ticket.canary, ticket.fault !== undefined)
    // One that hangs is no success, and no fault that would tell more.
    if (!ticket.isSlow && !ticket.isRepeated && this.#hard.see(ticket.canary, ticket.fault) && !this.#harm) {
      this.#harm = { cause: 'hard', reason: this.#hard.reason }
    }
  }

  #count(ticket: Ticket, { numbers, all, alike }: GuardGroup): void {
    const { epoch, ppm, canary } = ticket
    const seen = ticket.seen & all
    if (seen === 0) return
    alike.see(epoch, ppm, seen, canary)
    const bad = ticket.bad & seen
    if (bad === 0) return
    for (const g of numbers) {
      if ((bad & (1 << g)) === 0) continue
      const guard = this.#guards[g]!
      if (guard.addBad(epoch, this.#shareOf(ticket, g), canary)) this.#accuse(guard)
    }
  }

  #accuse(guard: Guard): void {
    if (guard.plan.action === 'abort' && !this.#harm) this.#harm = { cause: 'guard', guard }
  }
}
