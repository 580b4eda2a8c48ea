// The life of a rollout as a pure function: which verb leads from which phase to which, and when a step has been waited for long enough.

import { million } from './assignment.ts'

/** `stopped`: ended by hand through the percentage toggle; may start again at any time. */
export const phases = ['draft', 'stepping', 'paused', 'awaiting', 'completed', 'rolled_back', 'stopped'] as const
export type Phase = (typeof phases)[number]

/** What lets a step be passed: no guard has fired (`no_harm`), or harm of the configured size is ruled out (`non_inferior`). */
export type Advance = 'no_harm' | 'non_inferior'

export type Step =
  | { readonly kind: 'weight'; readonly ppm: number }
  | {
      readonly kind: 'wait'
      /** Milliseconds. */
      readonly duration: number
      /** Requests that the canary must have answered for in this step. */
      readonly minRequests: number
      readonly advance: Advance
      readonly approval: boolean
      /** Milliseconds after which what is undecided pauses; undefined = waits for ever. */
      readonly maxWait: number | undefined
    }

/** Where a rollout is to go. `open`: a toggle, which keeps its weight until somebody changes it. */
export interface Course {
  readonly steps: readonly Step[]
  readonly open: boolean
}

/** Why it stands as it does: a closed set, because metrics have it as a label. */
export const causes = [
  'operator',
  'step',
  'guard',
  'hard',
  'inconclusive',
  'no_data',
  'srm',
  'slo',
  'signal',
  'budget',
  'file',
  'environment',
  'superseded',
] as const
export type Cause = (typeof causes)[number]

/** Changed only as a whole, by compare-and-swap on `revision`. */
export interface State {
  /** Rises by one with each transition. */
  readonly revision: number
  readonly phase: Phase
  /** Index into the steps of the one that it stands at. */
  readonly step: number
  /** The canary's share of new units, parts per million. */
  readonly weightPpm: number
  /** 0 = never started. Evidence belongs to an attempt. */
  readonly attempt: number
  /** Revision with which the attempt, and the step, began. */
  readonly attemptRevision: number
  readonly stepRevision: number
  /** Unix milliseconds with which the attempt began. */
  readonly attemptAt: number
  /** Unix milliseconds since when the step is waited for; begins anew when it is resumed. */
  readonly since: number
  readonly cause: Cause
  readonly reason: string
  readonly updatedAt: number
  /** The route's own targets when it was completed: what was completed holds as long as they are the same. */
  readonly base: readonly string[] | undefined
}

export const verbs = [
  'start',
  'pause',
  'resume',
  'set-weight',
  'promote',
  'approve',
  'abort',
  'retry',
  'undo',
  'stop',
  'advance',
  'await',
  'hold',
] as const
export type Verb = (typeof verbs)[number]

export interface Command {
  readonly verb: Verb
  readonly cause: Cause
  readonly reason: string
  /** Of `set-weight`; of `start` and `retry` of a toggle: where it begins. */
  readonly ppm?: number | undefined
  /** Of `promote`: past all steps. */
  readonly full?: boolean | undefined
  /** Of what may complete it: the route's own targets now. */
  readonly base?: readonly string[] | undefined
  /** Of `undo`: where it stood before, to which it goes back; undefined = to the stable side. */
  readonly back?: Stage | undefined
  /** Of `abort`: it was in force before the state came that it is made from; it counts although that is completed. */
  readonly inForce?: boolean | undefined
}

/** Where a rollout stood at a revision. */
export type Stage = Pick<State, 'phase' | 'step' | 'weightPpm'>

/** A verb that the phase does not allow; the message can be shown as it is. */
export class RolloutConflict extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'RolloutConflict'
  }
}

export const draftState = (now: number, revision = 0): State => ({
  revision: revision + 1,
  phase: 'draft',
  step: 0,
  weightPpm: 0,
  attempt: 0,
  attemptRevision: 0,
  stepRevision: 0,
  attemptAt: now,
  since: now,
  cause: 'operator',
  reason: 'created',
  updatedAt: now,
  base: undefined,
})

/** Phases in which the canary may get requests and guards look on. */
export const isRunning = ({ phase }: { readonly phase: Phase }): boolean =>
  phase === 'stepping' || phase === 'paused' || phase === 'awaiting'

const allowed: Readonly<Record<Verb, readonly Phase[]>> = {
  start: ['draft', 'stopped'],
  pause: ['stepping', 'awaiting'],
  resume: ['paused'],
  'set-weight': ['stepping', 'paused', 'awaiting'],
  promote: ['stepping', 'paused', 'awaiting'],
  approve: ['awaiting'],
  // Also where it has been aborted already: several may find the same harm, and all are right.
  abort: ['draft', 'stepping', 'paused', 'awaiting', 'stopped', 'rolled_back'],
  retry: ['rolled_back', 'stopped'],
  undo: ['completed'],
  stop: ['draft', 'stepping', 'paused', 'awaiting', 'stopped'],
  advance: ['stepping'],
  await: ['stepping'],
  hold: ['stepping', 'awaiting'],
}

/** @throws RolloutConflict where the phase does not allow it */
export function requirePhase({ phase }: State, verb: Verb): void {
  if (!allowed[verb].includes(phase)) throw new RolloutConflict(refusalOf(verb, phase))
}

/**
 * The state after a command. The same state comes back where there is nothing to do.
 * @throws RolloutConflict where the phase does not allow it
 */
export function transit(course: Course, state: State, command: Command, now: number): State {
  const { verb, back, inForce } = command
  const isOpen = (verb === 'undo' && back && isRunning(state)) || (verb === 'abort' && inForce)
  if (!isOpen) requirePhase(state, verb)
  const next = (change: Partial<State>): State => ({
    ...state,
    revision: state.revision + 1,
    cause: command.cause,
    reason: command.reason,
    updatedAt: now,
    base: undefined,
    ...change,
  })
  switch (verb) {
    case 'start':
    case 'retry':
      return begin(course, next({}), command, now)
    case 'pause':
    case 'hold':
      return next({ phase: 'paused' })
    case 'resume':
      return next({ phase: 'stepping', since: now })
    case 'set-weight':
      return weigh(course, next({}), command.ppm ?? 0)
    case 'promote':
      return course.open || command.full
        ? complete(next({}), command)
        : enter(course, next({}), state.step + 1, now, command)
    case 'approve':
    case 'advance':
      return enter(course, next({}), state.step + 1, now, command)
    case 'await':
      return next({ phase: 'awaiting' })
    case 'abort':
      return state.phase === 'rolled_back' ? state : next({ phase: 'rolled_back', weightPpm: 0 })
    case 'undo':
      return back && isRunning(back)
        ? goBack(course, state, next({}), back, now)
        : next({ phase: 'rolled_back', weightPpm: 0 })
    case 'stop':
      // Who says it counts: what the file stopped the file begins again, and an operator's word stays.
      return state.phase === 'stopped' && state.cause === command.cause
        ? state
        : next({ phase: 'stopped', weightPpm: 0 })
  }
}

function begin(course: Course, state: State, command: Command, now: number): State {
  const { revision } = state
  const { ppm } = command
  const begun = { ...state, attempt: state.attempt + 1, attemptRevision: revision, attemptAt: now, weightPpm: 0 }
  const entered = enter(course, begun, 0, now, command)
  return ppm === undefined ? entered : { ...entered, weightPpm: ppm }
}

/**
 * To the step and the share that it had before. It stands still there, or its next step would undo what was wanted; a toggle goes on. What was
 * completed begins a new attempt: nothing was compared meanwhile.
 */
function goBack(course: Course, before: State, state: State, { step, weightPpm }: Stage, now: number): State {
  const { revision } = state
  const phase = course.open ? 'stepping' : 'paused'
  const at = { ...state, phase, step, weightPpm, stepRevision: revision, since: now } as const
  return isRunning(before) ? at : { ...at, attempt: before.attempt + 1, attemptRevision: revision, attemptAt: now }
}

/** Goes to a step: weights are set in passing, a wait is stood at. Past the last one it is done, or stays where it is. */
function enter(course: Course, state: State, step: number, now: number, command: Command): State {
  const here = course.steps[step]
  if (here?.kind === 'weight') return enter(course, { ...state, weightPpm: here.ppm }, step + 1, now, command)
  const at = { ...state, step, phase: 'stepping' as const, stepRevision: state.revision, since: now }
  return here || course.open ? at : complete(at, command)
}

const complete = (state: State, { base }: Command): State => ({
  ...state,
  phase: 'completed',
  weightPpm: million,
  base: base ?? [],
})

/** By hand. A toggle goes on with it; a course with steps stands still, or its next step would undo what was wanted. */
function weigh(course: Course, state: State, ppm: number): State {
  if (!course.open) return { ...state, weightPpm: ppm, phase: 'paused' }
  return ppm === 0
    ? { ...state, weightPpm: 0, phase: 'stopped' }
    : { ...state, weightPpm: ppm, phase: 'stepping', stepRevision: state.revision }
}

/** What is known when it is asked whether to go on. */
export interface Progress {
  /** Unix milliseconds. */
  readonly now: number
  /** What the evidence says: it allows the next step, or why it does not. */
  readonly verdict: 'advance' | 'no_data' | 'inconclusive'
}

/** What a step's conditions lead to by themselves; undefined = wait on. Never on no data: that holds. `reason`: in place of the evidence's. */
export function due(
  course: Course,
  state: State,
  { now, verdict }: Progress,
): { verb: 'advance' | 'await' | 'hold'; cause: Cause; reason?: string } | undefined {
  const step = course.steps[state.step]
  if (state.phase !== 'stepping' || step?.kind !== 'wait') return undefined
  const waited = now - state.since
  // A person who approves may do so without any request.
  const isAllowed = verdict === 'advance' || (step.approval && step.minRequests === 0 && step.advance === 'no_harm')
  if (waited >= step.duration && isAllowed)
    return !step.approval
      ? { verb: 'advance', cause: 'step' }
      : verdict === 'advance'
        ? { verb: 'await', cause: 'step' }
        : { verb: 'await', cause: 'step', reason: 'no requests are asked for at this step, only approval' }
  if (step.maxWait === undefined || waited < step.maxWait) return undefined
  // Ready but for its `duration`: that is not indecision.
  return isAllowed ? undefined : { verb: 'hold', cause: verdict === 'no_data' ? 'no_data' : 'inconclusive' }
}

function refusalOf(verb: Verb, phase: Phase): string {
  const from = allowed[verb].map((name) => `'${name}'`).join(', ')
  const hint =
    verb === 'start' && phase === 'rolled_back'
      ? " It was rolled back: 'retry' tries again, with new evidence."
      : verb === 'abort'
        ? " 'undo' takes it back."
        : verb === 'resume' && phase === 'awaiting'
          ? " It waits for 'approve'."
          : ''
  return `'${verb}' is for rollouts that are ${from}; this one is '${phase}'.${hint}`
}
