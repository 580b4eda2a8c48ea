// All rollouts of a gateway: made, moved by verbs, stored with an event each, and put into force in memory.
import { randomBytes } from 'node:crypto'
import { defaults } from '../../config/defaults.ts'
import { resolveModel } from '../../config/resolve.ts'
import { assignBy } from '../../config/rolloutSettings.ts'
import type {
  ArmSpec,
  ChainedEvent,
  NewEvent,
  RolloutDefinition,
  RolloutKeeper,
  RolloutOrigin,
  StoredRollout,
} from '../../config/rolloutTypes.ts'
import type { Route, Snapshot } from '../../config/snapshot.ts'
import { type Command, draftState, isRunning, RolloutConflict, type State, transit } from '../../rollouts/machine.ts'
import type { UnitKind } from '../../rollouts/unit.ts'
import { Live } from './live.ts'
import { RolloutProblem } from './problem.ts'
import { specHashOf } from './spec.ts'
import { baseOf, isReachable, Traffic } from './traffic.ts'

/** One change of state, for whoever tells of it. */
export interface Transition {
  readonly live: Live
  readonly event: NewEvent
}

export interface RolloutsOptions {
  readonly keeper: RolloutKeeper
  snapshot(): Snapshot
  /** Told of each transition after it is stored. */
  told?(transition: Transition): void
  /** Told of trouble that nobody waits for. */
  trouble?(text: string, error?: unknown): void
  now?: () => number
  /** Of new rollouts; tests hand in their own. */
  seed?: () => string
}

/** What is asked of a rollout, by whom. */
export interface Wish extends Omit<Command, 'base'> {
  readonly actor: string
  /** Only if it is at this revision. */
  readonly ifRevision?: number | undefined
  /** Start although its arms were aborted by a guard or a hard rule. */
  readonly force?: boolean | undefined
}

export interface ToggleWish {
  readonly route: string
  /** What gets the percentage; undefined = what got it last. */
  readonly canary: ArmSpec | undefined
  readonly percent: number
  readonly unit?: UnitKind | undefined
  readonly force?: boolean | undefined
  readonly reason: string
  readonly actor: string
  readonly origin?: RolloutOrigin | undefined
}

/** A toggle's name, so that the same route always has the same. */
export const toggleName = (route: string): string => `canary:${route}`

export class Rollouts {
  readonly traffic = new Traffic()
  readonly #keeper: RolloutKeeper
  readonly #options: RolloutsOptions
  readonly #now: () => number
  /** By id: the latest of each name, and all that were promoted. */
  readonly #all = new Map<number, Live>()
  /** One change at a time: each is made from what the one before has left. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(options: RolloutsOptions) {
    this.#options = options
    this.#keeper = options.keeper
    this.#now = options.now ?? Date.now
    for (const stored of this.#keeper.list()) this.#all.set(stored.id, new Live(stored))
    this.traffic.rebuild(this.#all.values())
  }

  /** The latest of each name, by name. */
  list(): Live[] {
    const byName = new Map<string, Live>()
    for (const live of this.#all.values()) byName.set(live.name, live)
    return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  find(name: string): Live | undefined {
    let found: Live | undefined
    for (const live of this.#all.values()) if (live.name === name) found = live
    return found
  }

  events(live: Live): ChainedEvent[] {
    return this.#keeper.events(live.id)
  }

  /** Where its chain of events does not hold; undefined when it does. */
  findBreak(live: Live): string | undefined {
    return this.#keeper.findBreak(live.id)
  }

  /** A new rollout, in draft. @throws RolloutProblem; LedgerError when it cannot be stored */
  create(definition: RolloutDefinition, by: { actor: string; origin: RolloutOrigin; reason: string }): Promise<Live> {
    return this.#inTurn(() => this.#create(definition, by))
  }

  /** @throws RolloutProblem, RolloutConflict; LedgerError when it cannot be stored: then nothing has changed */
  command(name: string, wish: Wish): Promise<Live> {
    return this.#inTurn(() => this.#command(this.#need(name), wish))
  }

  /** The percentage of a route, whatever it was before. @throws as `command` */
  toggle(wish: ToggleWish): Promise<Live> {
    return this.#inTurn(() => this.#toggle(wish))
  }

  /** Sets the share of everything that runs; 0 stops toggles and holds the others. Resolves to those that it has changed. */
  toggleAll(percent: number, actor: string, reason: string): Promise<Live[]> {
    return this.#inTurn(async () => {
      const changed: Live[] = []
      for (const live of this.list().filter((one) => isRunning(one.state))) {
        const ppm = Math.round(percent * 10_000)
        const verb = live.definition.course.open && ppm === 0 ? 'stop' : 'set-weight'
        changed.push(await this.#command(live, { verb, cause: 'operator', reason, ppm, actor }))
      }
      return changed
    })
  }

  /**
   * Takes up what the file and the environment say of canaries: where nobody has said anything yet. What is stored wins; what was made of
   * the file ends with it. Trouble is told, not thrown.
   */
  follow(snapshot: Snapshot): Promise<void> {
    return this.#inTurn(async () => {
      for (const route of snapshot.routes.values()) {
        try {
          await this.#followRoute(route)
        } catch (error) {
          this.#options.trouble?.(`the canary of the route ${route.name}: ${(error as Error).message}`)
        }
      }
    })
  }

  /** Resolves when everything that was asked for so far is done. */
  async settled(): Promise<void> {
    await this.#queue
  }

  /** The route of that name, as requests find it. @throws RolloutProblem */
  route(name: string): Route {
    const found = resolveModel(this.#options.snapshot(), name)
    if ('nearest' in found) {
      const hint =
        found.nearest.length > 0 ? ` Did you mean ${found.nearest.map((near) => `'${near}'`).join(', ')}?` : ''
      throw new RolloutProblem('unknown', `There is no route '${name.slice(0, 128)}'.${hint}`, 'route')
    }
    // Whoever names one model must not move all that its pattern stands for.
    if (found.name !== name)
      throw new RolloutProblem('invalid', `'${name}' is served by the route '${found.name}': name that one.`, 'route')
    return found
  }

  async #followRoute(route: Route): Promise<void> {
    const stored = this.find(toggleName(route.name))
    const { canary } = route
    const isOurs = stored?.origin === 'file' || stored?.origin === 'environment'
    if (!canary) {
      if (!isOurs || !isRunning(stored.state)) return
      const reason = 'the file names no canary any more'
      await this.#command(stored, { verb: 'stop', cause: 'file', reason, actor: 'file' })
      return
    }
    const isNews = stored === undefined || (isOurs && !sameArm(stored.definition.canary, canary.canary))
    if (!isNews || (canary.percent === 0 && stored === undefined)) return
    await this.#toggle({
      route: route.name,
      canary: canary.canary,
      percent: canary.percent,
      unit: canary.unit,
      reason: `the ${canary.origin} says so`,
      actor: canary.origin,
      origin: canary.origin,
    })
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#queue.then(work)
    this.#queue = done.catch(() => {})
    return done
  }

  #need(name: string): Live {
    const live = this.find(name)
    if (live) return live
    throw new RolloutProblem('unknown', `There is no rollout '${name.slice(0, 128)}'.`, 'name')
  }

  async #create(
    definition: RolloutDefinition,
    { actor, origin, reason }: { actor: string; origin: RolloutOrigin; reason: string },
  ): Promise<Live> {
    this.#requireArms(definition)
    const before = this.find(definition.name)
    if (before && isRunning(before.state))
      throw new RolloutProblem('conflict', `'${definition.name}' is running. Abort it, or choose another name.`, 'name')
    const now = this.#now()
    const state = { ...draftState(now), reason }
    const made: Omit<StoredRollout, 'id'> = {
      definition,
      specHash: specHashOf(definition),
      seed: this.#options.seed?.() ?? randomBytes(8).toString('hex'),
      origin,
      createdBy: actor,
      createdAt: now,
      state,
    }
    const event = eventOf('create', undefined, state, actor, { arms: armsOf(definition) })
    const id = await this.#keeper.create(made, event)
    const live = new Live({ ...made, id })
    if (before && before.state.phase !== 'completed') this.#all.delete(before.id)
    this.#all.set(id, live)
    this.#options.told?.({ live, event })
    return live
  }

  /** @throws RolloutProblem when an arm names what the configuration does not have, or both arms are the same */
  #requireArms(definition: RolloutDefinition): void {
    const snapshot = this.#options.snapshot()
    const route = this.route(definition.route)
    const base = baseOf(snapshot, route, this.traffic.of(route.name)?.promoted ?? [])
    const arms = new Live({ definition, state: draftState(0) } as StoredRollout).arms(snapshot, route, base)
    if (!isReachable(arms))
      throw new RolloutProblem('invalid', `There is no target '${arms.missing.slice(0, 128)}'.`, 'target')
    const same = arms.canary.map(({ id }) => id).join('\n') === arms.stable.map(({ id }) => id).join('\n')
    if (same) throw new RolloutProblem('invalid', 'Both arms are the same: there is nothing to move.', 'target')
  }

  async #command(live: Live, wish: Wish, evidence: unknown = null): Promise<Live> {
    const { actor, ifRevision, force, ...command } = wish
    const from = live.state
    if (ifRevision !== undefined && ifRevision !== from.revision)
      throw new RolloutProblem('stale', `'${live.name}' is at revision ${from.revision} now: look at it and repeat.`)
    const begins = command.verb === 'start' || command.verb === 'retry'
    if (begins && !force) this.#refuseAborted(live)
    const route = this.#routeOf(live)
    const base = route?.targets.map(({ id }) => id) ?? []
    const to = transit(live.definition.course, from, { ...command, base }, this.#now())
    if (to === from) return live
    if (begins) await this.#supersede(live, actor)
    const event = eventOf(command.verb, from, to, actor, evidence)
    if (!(await this.#keeper.change(live.id, from.revision, to, event)))
      throw new RolloutProblem('stale', `'${live.name}' was changed by another process.`)
    // An abort that came meanwhile stays in force: its own change follows.
    if (begins) live.halted = false
    this.#enforce(live, to)
    this.#options.told?.({ live, event })
    return live
  }

  #enforce(live: Live, to: State): void {
    live.state = to
    this.traffic.rebuild(this.#all.values())
  }

  /** @throws RolloutConflict where the same arms were aborted by what was seen of them */
  #refuseAborted(live: Live): void {
    const aborted = this.#keeper.abortOf(live.specHash)
    if (!aborted) return
    throw new RolloutConflict(
      `These arms were aborted at ${new Date(aborted.at).toISOString()} (${aborted.reason}). To try them again all the same, use force.`,
    )
  }

  /** One at a time on a route: the one that runs there ends. */
  async #supersede(live: Live, actor: string): Promise<void> {
    const other = this.traffic.runningOn(live.definition.route)
    if (!other || other === live) return
    const reason = `superseded by '${live.name}'`
    await this.#command(other, { verb: 'stop', cause: 'superseded', reason, actor })
  }

  #routeOf(live: Live): Route | undefined {
    const found = resolveModel(this.#options.snapshot(), live.definition.route)
    return 'nearest' in found ? undefined : found
  }

  async #toggle(wish: ToggleWish): Promise<Live> {
    const { percent, actor, reason, force } = wish
    const route = this.route(wish.route)
    const ppm = Math.round(percent * 10_000)
    const command = {
      cause: wish.origin === undefined ? 'operator' : (wish.origin as 'file'),
      reason,
      ppm,
      actor,
      force,
    } as const
    const running = this.traffic.runningOn(route.name)
    const last = this.find(toggleName(route.name))
    const canary = wish.canary ?? running?.definition.canary ?? last?.definition.canary ?? route.canary?.canary
    if (!canary)
      throw new RolloutProblem('invalid', `The route '${route.name}' has no canary yet: name a target.`, 'target')
    const unit = wish.unit ?? running?.definition.assign.unit ?? last?.definition.assign.unit
    const isSame = (live: Live): boolean =>
      sameArm(live.definition.canary, canary) && live.definition.assign.unit === unit
    if (running && isSame(running)) {
      const stops = ppm === 0 && running.definition.course.open
      return this.#command(running, { ...command, verb: stops ? 'stop' : 'set-weight' })
    }
    if (running && running.name !== toggleName(route.name) && !force)
      throw new RolloutProblem(
        'conflict',
        `The rollout '${running.name}' moves this route to another target. Abort it first, or use force.`,
      )
    if (last && isSame(last) && !isRunning(last.state)) {
      const { phase } = last.state
      if (phase === 'completed' && last.holds(route) && percent === 100) return last
      if (phase === 'completed' && last.holds(route)) await this.#command(last, { ...command, verb: 'undo' })
      if (last.state.phase !== 'completed') {
        if (ppm === 0) return last
        return this.#command(last, { ...command, verb: last.state.phase === 'rolled_back' ? 'retry' : 'start' })
      }
    }
    const definition: RolloutDefinition = {
      name: toggleName(route.name),
      route: route.name,
      stable: { targets: [] },
      canary,
      assign: assignBy(unit ?? route.canary?.unit ?? defaults.rollouts.unit),
      course: { steps: [], open: true },
    }
    this.#requireArms(definition)
    if (running) await this.#command(running, { verb: 'stop', cause: 'superseded', reason: 'another canary', actor })
    const made = await this.#create(definition, { actor, origin: wish.origin ?? 'toggle', reason })
    return ppm === 0 ? made : this.#command(made, { ...command, verb: 'start' })
  }
}

function eventOf(
  verb: NewEvent['verb'],
  from: State | undefined,
  to: State,
  actor: string,
  evidence: unknown,
): NewEvent {
  const { revision, phase, step, weightPpm, attempt, cause, reason, updatedAt } = to
  return {
    revision,
    at: updatedAt,
    actor,
    verb,
    from: from?.phase ?? '',
    to: phase,
    step,
    weightPpm,
    attempt,
    cause,
    reason,
    evidence,
  }
}

const armsOf = ({ route, stable, canary }: RolloutDefinition): object => ({ route, stable, canary })

const sameArm = (a: ArmSpec, b: ArmSpec): boolean => JSON.stringify(a) === JSON.stringify(b)
