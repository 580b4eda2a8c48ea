// All rollouts of a gateway: made, moved by verbs, stored with an event each, and put into force in memory.
import { randomBytes } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { resolveModel } from '../../config/resolve.ts'
import type {
  ChainedEvent,
  CommandKey,
  NewEvent,
  RememberedCommand,
  RolloutDefinition,
  RolloutKeeper,
  RolloutOrigin,
  StoredRollout,
} from '../../config/rolloutTypes.ts'
import type { Route, Snapshot } from '../../config/snapshot.ts'
import type { Decision } from '../../rollouts/index.ts'
import {
  type Command,
  draftState,
  due,
  isRunning,
  RolloutConflict,
  requirePhase,
  type State,
  transit,
} from '../../rollouts/machine.ts'
import { armsOf, eventOf } from './event.ts'
import { evidenceOf } from './evidenceView.ts'
import { Folding, type Folds } from './folding.ts'
import { followFile } from './follow.ts'
import { Live } from './live.ts'
import { isOvertaken, RolloutProblem, requireSeen, type Seen } from './problem.ts'
import { explainUsedUp } from './purse.ts'
import { aim, onTop, requireArms, requireNotAborted, requireReach, routeOf, stableOf } from './reach.ts'
import { specHashOf } from './spec.ts'
import { shareBefore, stageAt } from './stage.ts'
import { type ToggleAllWish, type ToggleWish, toggle, toggleAll } from './toggle.ts'
import { Traffic } from './traffic.ts'
import type { Trial } from './trial.ts'
import { isIdle } from './view.ts'
import { Waited } from './waited.ts'

/** One change of state, for whoever tells of it. */
export interface Transition {
  readonly live: Live
  readonly event: NewEvent
}

export interface RolloutsOptions {
  readonly keeper: RolloutKeeper
  snapshot(): Snapshot
  /** Writes what is stored with a transition, in its transaction: what this throws undoes both. */
  stored?(transition: Transition): void
  /** Told of each transition after it is stored. */
  told?(transition: Transition): void
  /** Told how many milliseconds an abort took from its decision until it was in force. */
  aborted?(ms: number): void
  /** Told of trouble that nobody waits for. */
  trouble?(text: string, error?: unknown): void
  /** Without it a start reads all rows of the attempts that run. */
  readonly folds?: Folds | undefined
  now?: () => number
  /** Of new rollouts; tests hand in their own. */
  seed?: () => string
}

/** What is asked of a rollout, by whom. */
export interface Wish extends Omit<Command, 'base' | 'back'> {
  readonly actor: string
  /** Only if it is as it was seen. */
  readonly seen?: Seen | undefined
  /** Start although its arms were aborted by a guard or a hard rule. */
  readonly force?: boolean | undefined
  /** Of `undo`: the revision to whose step and share it goes back. */
  readonly toRevision?: number | undefined
  /** Remembered with the change, so that the same command acts once. */
  readonly key?: CommandKey | undefined
}

/** Who makes a rollout, and why. */
export interface Maker {
  readonly actor: string
  readonly origin: RolloutOrigin
  readonly reason: string
  readonly key?: CommandKey | undefined
}

/** Changes are queued and made one after the other; each resolves when it is stored. Reads are synchronous. */
export class Rollouts {
  readonly traffic = new Traffic()
  readonly #keeper: RolloutKeeper
  readonly #options: RolloutsOptions
  readonly #now: () => number
  /** By id: the latest of each name, and all that were promoted. */
  readonly #all = new Map<number, Live>()
  readonly #watchers = new Set<(transition: Transition) => void>()
  /** One change at a time: each is made from what the one before has left. */
  #queue: Promise<unknown> = Promise.resolve()
  readonly #stepping = new Set<Live>()
  readonly #waited = new Waited()
  readonly #closing = new AbortController()
  readonly #folding: Folding | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: RolloutsOptions) {
    this.#options = options
    this.#keeper = options.keeper
    this.#now = options.now ?? Date.now
    // Each stream of the control plane listens: ten of them are no leak.
    setMaxListeners(0, this.#closing.signal)
    if (options.folds) this.#folding = new Folding(options.folds, (text, error) => options.trouble?.(text, error))
    for (const stored of this.#keeper.list()) this.#all.set(stored.id, this.#restore(this.#watched(new Live(stored))))
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

  /** What was stored of all that ever were: where chains of events do not hold, what else had a name, how arms ended. */
  get chains(): Pick<RolloutKeeper, 'events' | 'findBreak' | 'idsOf' | 'abortOf'> {
    return this.#keeper
  }

  /** Aborted when the gateway begins to drain: who watches has to let go. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** Ends all watching, so that no stream of it holds up the drain. Everything else goes on. */
  dismiss(): void {
    this.#closing.abort()
  }

  /** Tells of every transition from now on. @returns what ends it */
  watch(watcher: (transition: Transition) => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  /** The rollout of that id, as far as it is the latest of its name. */
  findById(id: number): Live | undefined {
    return this.#all.get(id)
  }

  /** The configuration in force. */
  get snapshot(): Snapshot {
    return this.#options.snapshot()
  }

  findCommand(id: string): RememberedCommand | undefined {
    return this.#keeper.findCommand(id)
  }

  /** Rejects with `LedgerError`. */
  answerCommand(key: CommandKey, live: Live | undefined, reply: unknown): Promise<void> {
    return this.#keeper.answerCommand(key, live?.id, reply)
  }

  /** A new rollout, in draft. @throws RolloutProblem; LedgerError when it cannot be stored */
  create(definition: RolloutDefinition, by: Maker): Promise<Live> {
    return this.inTurn(() => this.make(definition, by))
  }

  /**
   * An abort is in force at once, before it is stored; everything else when it is. One that names a revision is judged by the one of that
   * moment: what another has under way must not leave it in force and refused.
   * @throws RolloutProblem, RolloutConflict; LedgerError when it cannot be stored: then nothing has changed, but for an abort
   */
  async command(name: string, wished: Wish): Promise<Live> {
    const begin = performance.now()
    const { live, wish } = aim(this, name, wished)
    const evidence = evidenceOf(live)
    if (wish.verb !== 'abort' || !isRunning(live.state)) return this.inTurn(() => this.change(live, wish, evidence))
    requireSeen(`'${live.name}'`, live, wish.seen)
    const asked = { ...wish, seen: undefined }
    const at = this.#now()
    this.#halt(live, begin)
    return this.inTurn(() => this.change(live, asked, evidence, at)).catch((error: unknown) => {
      if (error instanceof RolloutConflict || error instanceof RolloutProblem) throw error
      this.#storeAbort(live, asked, evidence, at)
      throw new RolloutProblem('unstored', `'${live.name}' moves nothing any more; to store that is tried on.`)
    })
  }

  /** Looks at the evidence after something was added to it. Harm takes the canary's traffic away before this returns. */
  look(live: Live): void {
    const { trial, state, definition } = live
    if (!trial || live.halted || (trial.evidence.harm === undefined && !definition.budget) || !isRunning(state)) return
    const begin = performance.now()
    if (trial.evidence.harm !== undefined)
      return this.#abort(live, trial.decide(live.weightPpm, definition.course.steps[state.step]), begin)
    const reason = explainUsedUp(live)
    if (reason !== undefined) this.#abort(live, { cause: 'budget', reason }, begin)
  }

  /** What the clock brings: requests that waited long enough, and steps whose time has come. */
  tick(): void {
    const now = this.#now()
    for (const live of this.#all.values()) {
      if (!live.trial || !isRunning(live.state) || live.halted) continue
      live.trial.evidence.tick(now)
      this.#folding?.tick(live, live.trial, now)
      this.look(live)
      if (!live.halted) this.#step(live, live.trial, now)
    }
  }

  /** Begins to look at the clock. */
  start(): void {
    // What the rows of an earlier process have found is in force before the first request comes.
    for (const live of this.#all.values()) this.look(live)
    this.#timer ??= setInterval(() => this.tick(), 250).unref()
  }

  /** Resolves when everything that was asked for is stored. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#closed = true
    await this.#queue
  }

  /** The percentage of a route, whatever it was before. @throws as `command` */
  toggle(wish: ToggleWish): Promise<Live> {
    return this.inTurn(() => toggle(this, wish))
  }

  /** Sets the share of everything that runs; 0 stops toggles and holds the others. Resolves to the names of those that it has changed. */
  toggleAll(wish: ToggleAllWish): Promise<string[]> {
    return this.inTurn(() => toggleAll(this, wish))
  }

  /** Of all rollouts together: rises with each change of any. */
  get revision(): number {
    return this.#keeper.revision()
  }

  /**
   * Takes up what the file and the environment say of canaries: where nobody has said anything yet. What is stored wins; what was made of
   * the file ends with it. Trouble is told, not thrown.
   */
  follow(snapshot: Snapshot): Promise<void> {
    return this.inTurn(() => followFile(this, snapshot, (text) => this.#options.trouble?.(text)))
  }

  /** Resolves when everything that was asked for so far is done. */
  async settled(): Promise<void> {
    await this.#queue
  }

  /** The route of that name, as requests find it. @throws RolloutProblem */
  route(name: string): Route {
    const found = resolveModel(this.snapshot, name)
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

  inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#queue.then(work)
    this.#queue = done.catch(() => {})
    return done
  }

  async make(definition: RolloutDefinition, { actor, origin, reason, key }: Maker): Promise<Live> {
    requireArms(this, definition)
    const before = this.find(definition.name)
    if (before && isRunning(before.state))
      throw new RolloutProblem('conflict', `'${definition.name}' is running. Abort it, or choose another name.`, 'name')
    const now = this.#now()
    // Whoever has seen the one before must not take this one for it.
    const state = { ...draftState(now, before?.state.revision), reason }
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
    const liveOf = (id: number): Live => this.#watched(new Live({ ...made, id }))
    const also = (id: number) => this.#options.stored?.({ live: liveOf(id), event })
    const live = liveOf(await this.#keeper.create(made, event, key, also))
    if (before && before.state.phase !== 'completed') this.#all.delete(before.id)
    this.#all.set(live.id, live)
    this.#tell({ live, event })
    return live
  }

  #watched(live: Live): Live {
    live.look = () => this.look(live)
    return live
  }

  /** The evidence of an attempt that ran when the process before this one ended: that of its rows. */
  #restore(live: Live): Live {
    const { trial, state } = live
    if (!trial || !isRunning(state)) return live
    if (live.definition.budget)
      live.purse.add(state.attempt, this.#keeper.spent(live.id, state.attempt, state.attemptAt))
    const kept = () => this.#keeper.rows(live.id, state.attempt, state.attemptAt)
    live.arrivals = trial.restore(kept()).lastArrival
    if (trial.evidence.harm) trial.tellFirst(kept())
    for (const event of this.#keeper.events(live.id)) if (event.attempt === state.attempt) trial.accepted.take(event)
    return live
  }

  /** What a step's conditions lead to by themselves. One change at a time: until it is stored nothing else is due. */
  #step(live: Live, trial: Trial, now: number): void {
    const begin = performance.now()
    const { state, definition } = live
    if (this.#stepping.has(live)) return
    const decision = trial.decide(live.weightPpm, definition.course.steps[state.step])
    const { action, cause, reason } = decision
    if (action === 'rollback') return this.#abort(live, decision, begin)
    if (state.phase === 'paused') return
    let command: Command | undefined
    if (action === 'pause') {
      command = { verb: 'hold', cause, reason }
    } else {
      const verdict = action === 'advance' ? 'advance' : cause === 'no_data' ? 'no_data' : 'inconclusive'
      const next = due(definition.course, this.#waited.from(state, now), { now, verdict })
      command = next && { reason, ...next }
    }
    // What moves nothing (the bypass is on, an arm has left the configuration, somebody took its share away) is not at its step: it would come back with more.
    if (!command || (command.verb === 'advance' && isIdle(live, this) !== undefined)) return
    this.#stepping.add(live)
    const evidence = evidenceOf(live)
    this.inTurn(() => this.change(live, { ...command, actor: 'turnout', seen: state }, evidence))
      .catch((error) => {
        if (!isOvertaken(error)) this.#options.trouble?.(`the rollout ${live.name} could not go on: ${error.message}`)
      })
      .finally(() => this.#stepping.delete(live))
  }

  /** @param begin when it was decided, by the clock of `performance` */
  #halt(live: Live, begin: number): void {
    const isNews = !live.halted
    live.halt()
    if (isNews) this.#options.aborted?.(performance.now() - begin)
  }

  #abort(live: Live, { cause, reason }: Pick<Decision, 'reason'> & { cause: string }, begin: number): void {
    const evidence = evidenceOf(live)
    const at = this.#now()
    this.#halt(live, begin)
    this.#storeAbort(live, { verb: 'abort', cause: cause as Command['cause'], reason, actor: 'turnout' }, evidence, at)
  }

  /** It is in force already: as soon as the database takes it. */
  #storeAbort(live: Live, wish: Wish, evidence: unknown, at: number): void {
    const store = async (): Promise<void> => {
      for (let wait = 100; !this.#closed; wait = Math.min(5000, wait * 2)) {
        try {
          await this.change(live, wish, evidence, at)
          return
        } catch (error) {
          if (error instanceof RolloutConflict) return
          this.#options.trouble?.(`the abort of ${live.name} is in force, and could not be stored yet`, error)
          await pause(wait, undefined, { ref: false })
        }
      }
    }
    void this.inTurn(store)
  }

  async change(live: Live, wish: Wish, evidence: unknown = evidenceOf(live), now = this.#now()): Promise<Live> {
    const { actor, seen, force, toRevision, key, ...command } = wish
    const from = live.state
    if (live.halted && isRunning(from) && command.verb !== 'abort')
      throw new RolloutConflict(`'${live.name}' is being aborted.`)
    requireSeen(`'${live.name}'`, live, seen)
    const begins = command.verb === 'start' || command.verb === 'retry'
    // Who may not begin anyway is not told to use force.
    if (begins) requirePhase(from, command.verb)
    if (begins && !force) requireNotAborted(this, live.specHash)
    // Before what runs on the route is ended for it.
    if (begins) requireArms(this, live.definition)
    if (command.verb === 'promote' || command.verb === 'approve') requireReach(this, live, command.verb)
    const isBare = begins && live.definition.course.open && command.ppm === undefined
    const ppm = isBare ? shareBefore(this, live) : command.ppm
    const back = toRevision === undefined ? undefined : stageAt(this, live, toRevision)
    const base = routeOf(this, live)?.targets.map(({ id }) => id) ?? []
    // An abort counts from its own moment: it was in force before what another had under way was stored, an end included.
    const inForce = command.verb === 'abort' && live.halted
    const next = transit(live.definition.course, from, { ...command, ppm, base, back, inForce }, now)
    if (next === from) return live
    const to = onTop(this, live, next)
    if (begins) await this.#supersede(live, actor)
    // Whom it is compared with is another as soon as something else is completed there, or the file names others.
    const known =
      to.attempt === from.attempt ? evidence : { ...(evidence as object | null), stable: stableOf(this, live) }
    const event = eventOf(command.verb, from, to, actor, known)
    const also = () => this.#options.stored?.({ live, event })
    if (!(await this.#keeper.change(live.id, from.revision, to, event, key, also)))
      throw new RolloutProblem('stale', `'${live.name}' was changed by another process.`)
    // An abort that came meanwhile stays in force: its own change follows.
    if (begins) live.halted = false
    this.#enforce(live, to)
    live.trial?.accepted.take(event)
    this.#tell({ live, event })
    return live
  }

  #tell(transition: Transition): void {
    this.#options.told?.(transition)
    for (const watcher of this.#watchers) watcher(transition)
  }

  #enforce(live: Live, to: State): void {
    const { attempt } = live.state
    const ends = isRunning(live.state) && !isRunning(to)
    live.state = to
    if (ends) this.#folding?.forget(live, attempt)
    this.traffic.rebuild(this.#all.values())
  }

  /** One at a time on a route: the one that runs there ends. */
  async #supersede(live: Live, actor: string): Promise<void> {
    const other = this.traffic.runningOn(live.definition.route)
    if (!other || other === live) return
    const reason = `superseded by '${live.name}'`
    await this.change(other, { verb: 'stop', cause: 'superseded', reason, actor })
  }
}
