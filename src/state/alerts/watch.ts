// Watches the spending of one rule: by itself for each key, team, route or target, or for all together.
import type { AlertScope } from '../../config/alertTypes.ts'
import { judge, type SpendRule, type Verdict } from './judge.ts'
import { type RingShape, SpendRing, shapes } from './ring.ts'

/** The names of one upstream call, or of several. */
export type SpendNames = Readonly<Partial<Record<AlertScope, string | undefined>>>

/** Things that one rule tells apart; with 3.8 KB each at most 8 MB. */
const MAX_WATCHED = 2_000

export interface Watch {
  rule: SpendRule
  readonly shape: RingShape
  /** Whether the past is known: before that nothing is judged. */
  ready: boolean
  /** Unix milliseconds: what arrived before is read from the ledger. */
  readonly from: number
  /** Calls of names beyond those that are told apart. */
  readonly untold: number
  /** Books a call, or many, and returns what it was counted for; undefined when the rule does not look at it. */
  add(at: number, names: SpendNames, nano: number, requests: number): string | undefined
  /** `recordsFrom`: since when anything is known, Unix milliseconds. */
  verdict(entity: string, at: number, recordsFrom: number): Verdict
  entities(): Iterable<string>
  readonly size: number
}

export function createWatch(rule: SpendRule, from: number, maxWatched = MAX_WATCHED): Watch {
  const shape = shapeFor(rule)
  const rings = new Map<string, SpendRing>()
  /** Of a share: the part. The whole is the ring of all together. */
  const part = rule.kind === 'share' ? new SpendRing(shape, from) : undefined
  // What is counted is the same as long as the watch is: looked up once.
  const only = Object.entries(rule.only) as [AlertScope, string][]
  const per = rule.kind === 'share' ? undefined : rule.per
  const partScope = rule.kind === 'share' ? rule.scope : undefined
  const partName = rule.kind === 'share' ? rule.part : undefined
  let untold = 0
  let sweptAt = Number.NEGATIVE_INFINITY

  function ringOf(entity: string, at: number): SpendRing | undefined {
    const known = rings.get(entity)
    if (known) return known
    if (rings.size >= maxWatched && at - sweptAt >= shape.step) {
      sweptAt = at
      for (const [name, ring] of rings) if (ring.isIdle(at)) rings.delete(name)
    }
    if (rings.size >= maxWatched) return undefined
    const ring = new SpendRing(shape, at)
    rings.set(entity, ring)
    return ring
  }

  return {
    rule,
    shape,
    ready: false,
    from,
    get untold() {
      return untold
    },
    add(at, names, nano, requests) {
      for (const [scope, name] of only) if (names[scope] !== name) return undefined
      const entity = per === undefined ? '' : names[per]
      if (entity === undefined) return undefined
      const ring = ringOf(entity, at)
      if (!ring) {
        untold++
        return undefined
      }
      ring.add(at, nano, requests)
      if (partScope !== undefined && names[partScope] === partName) part!.add(at, nano, requests)
      return entity
    },
    verdict(entity, at, recordsFrom) {
      const ring = rings.get(entity)
      if (!ring) return judge(this.rule, { nano: 0, requests: 0 })
      ring.turn(at)
      part?.turn(at)
      const known = recordsFrom <= at - shape.step * shape.total
      return judge(this.rule, {
        nano: ring.nano,
        requests: ring.requests,
        yesterday: known ? ring.yesterday : undefined,
        part,
      })
    },
    entities: () => rings.keys(),
    get size() {
      return rings.size
    },
  }
}

function shapeFor(rule: SpendRule): RingShape {
  return rule.kind === 'spike' ? shapes.spike : shapes[rule.window]
}

/** What a watch counts. While this is the same, another threshold, cooldown or channel leaves the counts as they are. */
export function countedBy(rule: SpendRule): string {
  const { kind, only } = rule
  const of = kind === 'share' ? [rule.scope, rule.part] : [rule.per]
  return JSON.stringify([kind, kind === 'spike' ? 'spike' : rule.window, Object.entries(only).sort(), ...of])
}

/** Names that must be known to count for a rule. */
export function namesFor(rule: SpendRule): AlertScope[] {
  const only = Object.keys(rule.only) as AlertScope[]
  const own = rule.kind === 'share' ? rule.scope : rule.per
  return own === undefined ? only : [...only, own]
}
