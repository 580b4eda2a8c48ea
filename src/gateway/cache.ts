// The cache's part of the journey: finds an answer, joins a call for the same one, or lets the request fetch it for all.
import type { Target } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import { type CacheEntry, sizeOf } from '../state/cache/entry.ts'
import { exactly } from '../state/cache/pack.ts'
import type { ResponseCache } from '../state/cache/responseCache.ts'
import { type Assigned, becomeEvidence } from './arm.ts'
import type { Good } from './attempt.ts'
import { Flight, Flights, type Tower } from './cacheFlight.ts'
import { follow, mayShare } from './cacheFollow.ts'
import { unfitness, unkept } from './cacheJudge.ts'
import { keyOf, tenantOf } from './cacheKey.ts'
import { replay } from './cacheReplay.ts'
import { framingOf, openTurn } from './cacheTurn.ts'
import { readWishes, type Wishes } from './cacheWishes.ts'
import { type Call, openTwin, userOf } from './call.ts'
import { lossNames, modelFor } from './headers.ts'
import { isStrict } from './lanes.ts'
import { type Plan, reachable } from './plan.ts'
import type { Settle } from './relay.ts'
import { costOf } from './settle.ts'

/** What a request asks of the cache. */
interface Asked {
  readonly key: string
  /** Who is asked first. */
  readonly target: Target
  readonly wishes: Wishes
}

export interface Caching {
  /**
   * True when the request was answered out of the cache, or along with another one. Else it has to be fetched; that is known at once
   * where nothing has to be waited for.
   * @throws (or rejects with) Refusal `not_cached` where the client wants no other answer; `invalid_value` for headers that mean nothing;
   * ClientGone
   */
  serve(call: Call, plan: Plan): boolean | Promise<boolean>
  /** Answers a request whose targets all failed with a stale answer, if there is one that may be used. */
  rescue(call: Call): Promise<boolean>
}

export interface CachingParts {
  readonly cache: ResponseCache
  readonly settle: Settle
  /** Uniform in [0, 1). */
  random(): number
  /** Unix milliseconds. */
  now(): number
  nextId(): number
  /** The installation's hash of an end user's id; without it answers are not found by their users. */
  readonly hashUser: ((user: string) => string) | undefined
  /** Goes the rest of the way with a call of ours, and settles it. Never rejects. */
  travel(call: Call, plan: Plan): Promise<void>
}

/** How often a request joins another's call. When none of them comes to anything it tries for itself, alone. */
const MAX_JOINS = 2
/** Largest share of its life that an answer loses by chance, so that those of one moment do not all end at one moment. */
const JITTER = 0.1
/** Milliseconds that a clock may be set back, and answers are still good. */
const CLOCK_STEP = 60_000
/** Milliseconds until an answer is fetched anew again after that has failed, or brought nothing that may be kept: each try may cost money. */
const REFRESH_PAUSE = 10_000

export function createCaching(parts: CachingParts): Caching {
  const { cache, settle, random, now } = parts
  const flights = new Flights()
  /** Keys whose answers are being fetched anew. */
  const refreshing = new Set<string>()
  const tower: Tower = {
    room: { held: 0, tally: cache, limit: () => cache.size / 2 },
    closed: (flight) => flights.remove(flight),
    landed: keep,
  }

  /** An answer that the request may have. A stale one is given while a new one is fetched, or remembered for when all targets fail. */
  function fromStore(call: Call, asked: Asked): boolean | Promise<boolean> {
    const found = cache.store.get(asked.key)
    if (found === undefined) return false
    return found instanceof Promise
      ? found.then((entry) => entry !== undefined && use(call, asked, entry))
      : use(call, asked, found)
  }

  function use(call: Call, asked: Asked, entry: CacheEntry): boolean | Promise<boolean> {
    const { key, target, wishes } = asked
    const lapsed = lapsedOf(call, entry, wishes)
    if (lapsed === undefined) return false
    if (lapsed < 0) {
      if (!call.repeat && tellsNothing(call, target))
        cache.repeats.remember(call, call.inspected!, {
          route: call.route!,
          target,
          strict: isStrict(call),
          answer: key,
        })
      return replay(call, entry, { status: 'hit' }, settle)
    }
    if (lapsed < call.route!.cache!.staleWhileRevalidate) {
      if (wishes.write && !wishes.only && !refreshing.has(key) && !flights.find(key, 'json')) refresh(call, asked)
      return replay(call, entry, { status: 'stale', reason: 'revalidating' }, settle)
    }
    call.cache!.fallback = entry
    return false
  }

  /** Milliseconds since the time of an answer was over, below 0 before; undefined where the request may not have it at all. */
  function lapsedOf(call: Call, entry: CacheEntry, wishes: Wishes): number | undefined {
    const time = now()
    // Bought while the clock was ahead: nobody knows when, and its time would be over only then.
    if (entry.storedAt - time > CLOCK_STEP) return undefined
    return time - entry.storedAt > wishes.maxAge ? undefined : time - endOf(entry, call)
  }

  /**
   * Makes a request that has to be fetched evidence for its rollout, unless the other arm has the answer, or somebody on the way to it. The
   * arm with the fuller cache has fewer requests that can fail, and would be the better one by that alone. What is asked here was settled
   * before the request was drawn: those that are left were drawn with the same chance.
   */
  function judgeArm(call: Call, plan: Plan, wishes: Wishes): void {
    const { assigned } = call
    if (assigned && !wishes.only && !isOnOther(call, plan, assigned, wishes)) becomeEvidence(call, assigned)
  }

  function isOnOther(call: Call, plan: Plan, { arm, arms }: Assigned, wishes: Wishes): boolean {
    const settings = call.route!.cache!
    const targets = arm === 'canary' ? arms.stable : arms.canaryFirst
    const target = targets[0]!
    if (!wishes.read || unfitness(call.inspected!.wire, target, settings) !== undefined) return false
    const asked = { key: findKey(call, target), target, wishes }
    const found = cache.store.get(asked.key)
    // Not waited for: the turn of the draw would be over.
    if (found instanceof Promise) return true
    const lapsed = found && lapsedOf(call, found, wishes)
    if (lapsed !== undefined && lapsed < settings.staleWhileRevalidate) return true
    return otherOf(call, { ...plan, targets }, asked) !== undefined
  }

  /** Not made within `refresh`: what waits to be called would hold the request's body as long. */
  const refreshed = (key: string): void => void refreshing.delete(key)

  /** Fetches the answer anew, for the cache alone: from nobody else than whose answers are kept, since nobody would get them. */
  function refresh(call: Call, asked: Asked): void {
    const twin = openTwin(call, parts.nextId())
    twin.cache = openTurn('refresh')
    refreshing.add(asked.key)
    lead(twin, asked)
    const alone: Plan = { targets: [asked.target], onContextWindow: [], onContentPolicy: [] }
    void parts.travel(twin, alone).finally(() => {
      if (twin.outcome === 'ok' && twin.cache!.reason === undefined) refreshed(asked.key)
      else setTimeout(refreshed, REFRESH_PAUSE, asked.key).unref()
    })
  }

  function lead(call: Call, { key, target, wishes }: Asked): void {
    const settings = call.route!.cache!
    const ttl = Math.min(settings.ttl, wishes.ttl)
    const flight = new Flight(tower, key, framingOf(call), target, call, ttl, settings.maxEntryBytes, cache.epoch)
    call.cache!.flight = flight
    if (settings.coalesce) flights.add(flight)
  }

  /** Makes an entry of a whole answer, and keeps it if it is good enough. Without pieces it was too long to be held. */
  function keep(flight: Flight, good: Good, contentType: string, pieces: readonly Buffer[] | undefined) {
    const entry = pieces && entryOf(flight, good, contentType, pieces)
    const reason = entry ? judge(flight, good, entry) : 'too_large'
    const { leader } = flight
    leader.cache!.reason = reason
    if (entry && reason === undefined) cache.stored(entry)
    else cache.unkept(leader.route!.name, reason!)
    return entry
  }

  function judge(flight: Flight, { attempt, exchange }: Good, entry: CacheEntry) {
    const { leader, key, born } = flight
    const { framing, body, target, owner } = entry
    // The next one asks whom this one wanted to ask.
    if (target !== flight.target.id) return 'fallback'
    if (cache.wasRemoved({ key, target, route: leader.route!.name, owner }, born)) return 'dropped'
    if (exchange.stream && !exchange.stream.complete) return 'unfinished'
    const answer = { framing, body, facts: attempt.facts!, status: exchange.status, target: attempt.target }
    const bad = unkept(answer, leader.inspected!.ask, leader.dialect, leader.route!.cache!)
    return bad ?? (sizeOf(entry) > cache.size ? 'too_large' : undefined)
  }

  function entryOf(flight: Flight, { attempt }: Good, contentType: string, pieces: readonly Buffer[]): CacheEntry {
    const { leader: call, framing, ttl } = flight
    const facts = attempt.facts!
    const body = exactly(...pieces)
    const storedAt = now()
    const life = Math.ceil(ttl * (1 - JITTER * random()))
    const settings = call.route!.cache!
    return {
      key: flight.key,
      route: call.route!.name,
      target: attempt.target.id,
      provider: attempt.target.provider.name,
      model: attempt.model,
      framing,
      contentType,
      body,
      packed: false,
      replyId: facts.id,
      usage: facts.usage,
      cost: costOf(call),
      dropped: lossNames(attempt.losses),
      owner: ownerOf(call),
      storedAt,
      expiresAt: storedAt + life,
      deadAt: storedAt + life + Math.max(settings.staleIfError, settings.staleWhileRevalidate),
    }
  }

  /** The call of another request that wants the same. */
  function otherOf(call: Call, plan: Plan, { key }: Asked): Flight | undefined {
    if (!call.route!.cache!.coalesce) return undefined
    return flights.find(key, framingOf(call), (flight) => !isOutdated(flight) && mayShare(call, plan, flight))
  }

  /** Answers such as its own were removed since it began: it is for those who waited for it then. */
  function isOutdated({ key, leader, target, born }: Flight): boolean {
    if (born === cache.epoch) return false
    return cache.wasRemoved({ key, route: leader.route!.name, target: target.id, owner: ownerOf(leader) }, born)
  }

  function ownerOf(call: Call): string | undefined {
    const user = userOf(call)
    return user === undefined ? undefined : parts.hashUser?.(user)
  }

  /** Waits for what the store says, and goes along with others as long as that may come to something. */
  async function wait(call: Call, plan: Plan, asked: Asked, first: boolean | Promise<boolean>): Promise<boolean> {
    if (first !== false && (await first)) return true
    for (let joins = 0; joins < MAX_JOINS && !asked.wishes.only; joins++) {
      const flight = otherOf(call, plan, asked)
      if (!flight) break
      if (await follow(call, plan, flight, settle)) return true
      if (await fromStore(call, asked)) return true
    }
    return fetchIt(call, asked)
  }

  /** False: the answer has to be fetched. For others, too, if it may be kept. */
  function fetchIt(call: Call, asked: Asked): false {
    if (asked.wishes.only) throw notCached()
    if (asked.wishes.write) lead(call, asked)
    return false
  }

  return {
    serve(call, plan) {
      // Before the turn: what is refused for a faulty header has missed nothing.
      const wishes = readWishes(call.req.headers)
      const turn = openTurn()
      call.cache = turn
      const route = call.route!
      const settings = route.cache!
      const target = reachable(call, plan.targets)[0]
      if (!target) return false
      turn.reason =
        !wishes.read && !wishes.write && !wishes.only
          ? 'skip'
          : call.snapshot.bypass
            ? 'switched_off'
            : unfitness(call.inspected!.wire, target, settings)
      if (turn.reason !== undefined) {
        turn.status = 'bypass'
        if (wishes.only) throw notCached(turn.reason)
        judgeArm(call, plan, wishes)
        return false
      }
      const key = knownKey(call, target) ?? findKey(call, target)
      turn.key = key
      const asked = { key, target, wishes }
      const found = wishes.read && fromStore(call, asked)
      // An answer is on its way to the client: nothing else will be tried.
      if (turn.entry) return found
      // Who waits is no evidence, whatever comes of that: it would be one only where others had failed.
      if (found !== false || (wishes.read && otherOf(call, plan, asked))) return wait(call, plan, asked, found)
      judgeArm(call, plan, wishes)
      return fetchIt(call, asked)
    },
    async rescue(call) {
      const entry = call.cache?.fallback
      if (!entry || now() - endOf(entry, call) >= call.route!.cache!.staleIfError) return false
      return replay(call, entry, { status: 'stale', reason: 'error' }, settle)
    },
  }
}

/** Of a request that came before and asks the same target in the same way. */
function knownKey(call: Call, target: Target): string | undefined {
  const { repeat } = call
  return repeat &&
    repeat.target === target &&
    repeat.route === call.route &&
    repeat.strict === isStrict(call) &&
    tellsNothing(call, target)
    ? repeat.answer
    : undefined
}

function findKey(call: Call, target: Target): string {
  return keyOf(
    {
      tenant: tenantOf(call.key, call.route!.cache!.scope),
      route: call.route!.name,
      dialect: call.dialect.name,
      target,
      model: modelFor(target, call),
      headers: passedHeaders(call, target),
      strict: isStrict(call),
    },
    call.inspected!,
  )
}

/** What the client's headers say to the target. */
function passedHeaders({ req }: Call, { provider }: Target): string[] {
  if (provider.passHeaders.length === 0) return noHeaders
  return provider.passHeaders.map((name) => String(req.headers[name] ?? ''))
}

/** When its time is over: a route's `ttl` that was lowered since counts for what was kept before, too. */
const endOf = ({ storedAt, expiresAt }: CacheEntry, { route }: Call): number =>
  Math.min(expiresAt, storedAt + route!.cache!.ttl)

const noHeaders: string[] = []

/** None of the client's headers reaches the target. */
function tellsNothing({ req }: Call, { provider }: Target): boolean {
  for (const name of provider.passHeaders) if (req.headers[name] !== undefined) return false
  return true
}

const notCached = (reason?: string): Refusal =>
  new Refusal(
    'not_cached',
    `The cache has no answer to this request${reason === undefined ? '' : ` (${reason})`}, and the client wants no other.`,
  )
