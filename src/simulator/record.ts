// What the simulator remembers: exact totals, and the last calls one by one, each with what it delivered and would bill.
import { type Call, readHeaders, type Totals } from './call.ts'
import type { Progress } from './delivery.ts'
import type { Plan } from './plan.ts'
import type { FaultKind } from './script.ts'

/** What is known of a request when its answer begins. */
export interface Arrival {
  wire: string
  method: string
  path: string
  model: string
  stream: boolean
  rawHeaders: readonly string[]
  body: Buffer
  plan: Plan
}

const KEPT_CALLS = 1000
const KEPT_BODY_BYTES = 64 * 1024 * 1024
const KEPT_MODELS = 1000

interface Waiter {
  test(call: Call): boolean
  found(call: Call): void
}

type ModelSums = Map<string, { requests: number; promptTokens: number; completionTokens: number }>

/** Sums since the last reset. A call adds to those it began under, so a reset leaves no half of it behind. */
interface Sums {
  totals: Omit<Totals, 'byModel'>
  models: ModelSums
}

/** A call in progress: what its delivery reports to. */
export interface Entry {
  readonly call: Call
  readonly plan: Plan
  readonly sums: Sums
}

/** The ring of calls and the totals. */
export class Ledger {
  readonly #keepBodies: boolean
  #calls: Call[] = []
  #sums: Sums = noSums()
  #bodies: Call[] = []
  #bodyBytes = 0
  readonly #waiters = new Set<Waiter>()

  constructor(keepBodies: boolean) {
    this.#keepBodies = keepBodies
  }

  /** Oldest first. */
  get calls(): readonly Call[] {
    return this.#calls.slice(-KEPT_CALLS)
  }

  totals(): Totals {
    const { totals, models } = this.#sums
    const byModel = Object.fromEntries([...models].map(([name, sums]) => [name, { ...sums }]))
    return { ...totals, byStatus: { ...totals.byStatus }, byModel }
  }

  /** Forgets all calls and starts the totals at 0. Calls that run on are no longer counted. */
  reset(): void {
    this.#calls = []
    this.#bodies = []
    this.#bodyBytes = 0
    this.#sums = noSums()
  }

  open(arrival: Arrival): Entry {
    const sums = this.#sums
    const { plan } = arrival
    const call: Call = {
      n: ++sums.totals.requests,
      id: plan.id,
      wire: arrival.wire,
      method: arrival.method,
      path: arrival.path,
      model: arrival.model,
      stream: arrival.stream,
      status: 0,
      outcome: 'running',
      fault: plan.fault,
      promptTokens: 0,
      completionTokens: 0,
      cachedTokens: 0,
      reasoningTokens: 0,
      chunks: 0,
      bytes: 0,
      ...readHeaders(arrival.rawHeaders),
      startedAt: Date.now(),
      endedAt: undefined,
    }
    if (call.stream) sums.totals.streams++
    sums.totals.running++
    if (this.#keepBodies) this.#keepBody(call, arrival.body)
    this.#calls.push(call)
    // Cut rarely and in one go: shifting the array on each request would cost more than the request.
    if (this.#calls.length >= KEPT_CALLS * 2) this.#calls = this.#calls.slice(-KEPT_CALLS)
    this.#notify(call)
    return { call, plan, sums }
  }

  /** Takes over what has been delivered so far, for those who wait for it. */
  update(entry: Entry, progress: Progress): void {
    copyProgress(entry, progress)
    this.#notify(entry.call)
  }

  /** To be called once, when the response has closed. `whole`: all of the plan was handed to the system. */
  settle(entry: Entry, progress: Progress, whole: boolean): void {
    const { call, plan } = entry
    copyProgress(entry, progress)
    // A broken ending never counts as written by Node: that it was carried out is what matters there.
    const carriedOut = plan.ending === 'end' ? whole : progress.ended
    call.outcome = carriedOut ? (plan.fault === undefined ? 'completed' : 'faulted') : 'aborted'
    call.endedAt = Date.now()
    bill(entry, progress, carriedOut)
    addUp(entry)
    this.#notify(call)
  }

  /** Counts a request that followed a scripted redirect. */
  follow(): void {
    this.#sums.totals.redirectsFollowed++
  }

  /** Resolves with the first call, past or to come, for which the predicate holds; rejects after so many milliseconds. */
  waitFor(predicate: (call: Call) => boolean, timeoutMs: number): Promise<Call> {
    const past = this.calls.find(predicate)
    if (past) return Promise.resolve(past)
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        test: predicate,
        found: (call) => {
          this.#waiters.delete(waiter)
          clearTimeout(timer)
          resolve(call)
        },
      }
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter)
        const seen = this.calls.slice(-5).map((call) => `${call.method} ${call.path} ${call.status} ${call.outcome}`)
        reject(new Error(`No such call within ${timeoutMs} ms. The last calls: ${seen.join(', ') || 'none'}.`))
      }, timeoutMs)
      this.#waiters.add(waiter)
    })
  }

  #notify(call: Call): void {
    if (this.#waiters.size === 0) return
    for (const waiter of this.#waiters) if (waiter.test(call)) waiter.found(call)
  }

  #keepBody(call: Call, body: Buffer): void {
    // A copy: the bytes lie in a larger slab of the socket's, which would be kept alive with them.
    call.body = Buffer.from(body)
    this.#bodies.push(call)
    this.#bodyBytes += body.length
    while (this.#bodies.length > KEPT_CALLS || this.#bodyBytes > KEPT_BODY_BYTES) {
      const oldest = this.#bodies.shift() as Call
      this.#bodyBytes -= oldest.body?.length ?? 0
      delete oldest.body
    }
  }
}

function noSums(): Sums {
  const totals = {
    requests: 0,
    streams: 0,
    running: 0,
    completed: 0,
    aborted: 0,
    faulted: 0,
    promptTokens: 0,
    completionTokens: 0,
    cachedTokens: 0,
    reasoningTokens: 0,
    chunks: 0,
    bytes: 0,
    redirectsFollowed: 0,
    byStatus: {},
  }
  return { totals, models: new Map() }
}

function copyProgress({ call, plan }: Entry, progress: Progress): void {
  if (progress.started) call.status = plan.status
  call.chunks = progress.chunks
  call.bytes = progress.bytes
}

/** Faults after which only what was generated until then is billed. */
const BREAKING: ReadonlySet<FaultKind | undefined> = new Set([
  'cut',
  'truncate',
  'stall',
  'reset',
  'midStreamError',
  'garbageSse',
])

/** A reply that ended bills what it reports; one that broke off its prompt and what was generated; one that never began nothing. */
function bill({ call, plan }: Entry, progress: Progress, carriedOut: boolean): void {
  const { usage } = plan
  if (usage === undefined) return
  const ended = carriedOut && !BREAKING.has(plan.fault)
  const generated = progress.generated()
  if (!ended && generated === 0) return
  call.promptTokens = usage.promptTokens
  call.cachedTokens = usage.cachedTokens
  call.completionTokens = ended ? usage.completionTokens : generated
  call.reasoningTokens = ended ? usage.reasoningTokens : Math.min(usage.reasoningTokens, generated)
}

function addUp({ call, sums }: Entry): void {
  const { totals, models } = sums
  totals.running--
  totals[call.outcome]++
  totals.promptTokens += call.promptTokens
  totals.completionTokens += call.completionTokens
  totals.cachedTokens += call.cachedTokens
  totals.reasoningTokens += call.reasoningTokens
  totals.chunks += call.chunks
  totals.bytes += call.bytes
  totals.byStatus[call.status] = (totals.byStatus[call.status] ?? 0) + 1
  if (call.model === '') return
  const name = models.has(call.model) || models.size < KEPT_MODELS ? call.model : '(others)'
  const model = models.get(name) ?? { requests: 0, promptTokens: 0, completionTokens: 0 }
  model.requests++
  model.promptTokens += call.promptTokens
  model.completionTokens += call.completionTokens
  models.set(name, model)
}
