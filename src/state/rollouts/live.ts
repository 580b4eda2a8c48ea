// One rollout in memory: where it stands, and whom it asks in each configuration.
import { findArm } from '../../config/rolloutArm.ts'
import type { RolloutDefinition, RolloutOrigin, StoredRollout } from '../../config/rolloutTypes.ts'
import type { Route, Snapshot, Target } from '../../config/snapshot.ts'
import { thresholdOf } from '../../rollouts/assignment.ts'
import { UnitNames } from '../../rollouts/index.ts'
import { isRunning, type State } from '../../rollouts/machine.ts'
import { CaseTexts } from '../../rollouts/rolloutCase.ts'
import { Purse } from './purse.ts'
import { Trial } from './trial.ts'

/** Whom the two arms ask, best first. */
export interface Arms {
  /** What the rollout names, then what the route asks without it. */
  readonly stable: readonly Target[]
  /** The canary's own targets alone. */
  readonly canary: readonly Target[]
  /** The canary's, then the stable arm's: those that help out when the canary fails. */
  readonly canaryFirst: readonly Target[]
}

/** Why a rollout moves nothing at the moment although it runs. */
export interface Unreachable {
  /** What its arm names and the configuration does not have. */
  readonly missing: string
}

/**
 * A stored rollout with what only memory has of it: arms resolved per configuration, its running attempt, an abort that is not stored yet.
 */
export class Live {
  readonly id: number
  readonly definition: RolloutDefinition
  readonly specHash: string
  readonly seed: string
  /** The ids of its units. */
  readonly units: UnitNames
  readonly origin: RolloutOrigin
  readonly createdBy: string
  readonly createdAt: number
  /** The canary's share in force; 0 from the moment of an abort, before that is stored. */
  weightPpm = 0
  /** Arrivals so far, in the order of their assignment. */
  arrivals = 0
  /** An abort that is in force and perhaps not stored yet. */
  halted = false
  /** What its requests have in common, for their rows. */
  readonly cases = new CaseTexts()
  /** What the canary's requests have cost. */
  readonly purse = new Purse()
  /** The attempt that runs; the last one's, once it is over. */
  trial: Trial | undefined
  /** What was completed on its route right after it. */
  above: Live | undefined
  #state: State
  #arms = new WeakMap<Route, Arms | Unreachable>()
  #labels: Readonly<Record<'stable' | 'canary', string>> = { stable: '', canary: '' }

  constructor(stored: StoredRollout) {
    this.id = stored.id
    this.definition = stored.definition
    this.specHash = stored.specHash
    this.seed = stored.seed
    this.units = new UnitNames(stored.seed)
    this.origin = stored.origin
    this.createdBy = stored.createdBy
    this.createdAt = stored.createdAt
    this.#state = stored.state
    this.state = stored.state
  }

  get name(): string {
    return this.definition.name
  }

  get state(): State {
    return this.#state
  }

  set state(state: State) {
    if (isRunning(state) && (!this.trial || state.attempt !== this.#state.attempt))
      this.trial = new Trial(this.definition, state)
    else this.trial?.follow(state)
    this.#state = state
    this.weightPpm = this.halted || !isRunning(state) ? 0 : state.weightPpm
    const label = (arm: string): string => `${this.name}; arm=${arm}; rev=${state.revision}`
    this.#labels = { stable: label('stable'), canary: label('canary') }
  }

  /** Takes the canary's traffic away at once: what comes now, and what waits for its first byte. */
  halt(): void {
    this.halted = true
    this.weightPpm = 0
    if (this.definition.inFlight === 'finish') return
    for (const withdraw of this.trial?.pending ?? []) withdraw()
  }

  /** Whether requests that have no answer yet are taken back from the canary. */
  get withdraws(): boolean {
    return this.halted && this.definition.inFlight === 'redispatch'
  }

  /** To be called after something was added to the evidence; set by whoever judges it. */
  look: () => void = () => {}

  /** What replies say of it. */
  label(arm: 'stable' | 'canary'): string {
    return this.#labels[arm]
  }

  /** Canary if below: a unit's hash is uniform in [0, 2^32). */
  get threshold(): number {
    return thresholdOf(this.weightPpm)
  }

  /**
   * Whether a promoted canary is still what its route asks: until the route's own targets change. Put back as they were they bring none back that
   * another one has followed since.
   */
  holds(route: Route): boolean {
    for (let live: Live | undefined = this; live; live = live.above) if (!live.isOn(route)) return false
    return true
  }

  /** Whether it was completed on the targets that the route has. */
  isOn(route: Route): boolean {
    const { phase, base } = this.#state
    return phase === 'completed' && base !== undefined && sameTargets(base, route.targets)
  }

  /** @param base the route's own targets, or what was promoted before */
  arms(snapshot: Snapshot, route: Route, base: readonly Target[]): Arms | Unreachable {
    let arms = this.#arms.get(route)
    if (!arms) {
      arms = findArms(snapshot, route, this.definition, base)
      this.#arms.set(route, arms)
    }
    return arms
  }

  /** What its arms name and the configuration does not have. */
  missing(snapshot: Snapshot, route: Route): string | undefined {
    const arms = findArms(snapshot, route, this.definition, route.targets)
    return 'missing' in arms ? arms.missing : undefined
  }

  /** For when what lies below it has changed. */
  forgetArms(): void {
    this.#arms = new WeakMap()
  }
}

function findArms(
  snapshot: Snapshot,
  route: Route,
  definition: RolloutDefinition,
  base: readonly Target[],
): Arms | Unreachable {
  const named = findArm(snapshot, route, definition.stable, base)
  if ('missing' in named) return named
  // Also behind a stable side of its own: a rollout must not take a route's ways out away, nor the only target that a key may use.
  const stable = named === base ? base : behind(named, base)
  const canary = findArm(snapshot, route, definition.canary, base)
  if ('missing' in canary) return canary
  return { stable, canary, canaryFirst: behind(canary, stable) }
}

/** The first list, then of the second what is not in it. */
export function behind(first: readonly Target[], then: readonly Target[]): readonly Target[] {
  const ids = new Set(first.map(({ id }) => id))
  return [...first, ...then.filter(({ id }) => !ids.has(id))]
}

/**
 * Whether it is the file's or the environment's, and these have had the last word on it: neither an operator, nor a guard, nor what took its
 * place. Who lowers the percentage in the file must not leave the old one in force.
 */
export function followsFile({ origin, state: { phase, cause } }: Live): boolean {
  if (!isOfFile(origin)) return false
  return phase === 'draft' || ((phase === 'stepping' || phase === 'stopped') && isOfFile(cause))
}

export const isOfFile = (source: string | undefined): boolean => source === 'file' || source === 'environment'

const sameTargets = (ids: readonly string[], targets: readonly Target[]): boolean =>
  ids.length === targets.length && targets.every(({ id }, at) => ids[at] === id)
