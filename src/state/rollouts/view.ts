// How rollouts are told to the outside: metrics, the log, webhooks, the admin API.
import { resolveModel } from '../../config/resolve.ts'
import type { ArmSpec } from '../../config/rolloutTypes.ts'
import { million } from '../../rollouts/assignment.ts'
import { isRunning } from '../../rollouts/machine.ts'
import { evidenceOf } from './evidenceView.ts'
import type { Live } from './live.ts'
import { stableOf } from './reach.ts'
import type { Rollouts, Transition } from './rollouts.ts'
import { baseOf, isSame } from './traffic.ts'

/** Percent with up to four digits behind the point. */
export const percentOf = (ppm: number): number => (ppm * 100) / million

/** What gets the canary's share, or stays: as it was written. */
const namesOf = ({ targets }: ArmSpec): string => (targets.length === 0 ? 'the route' : targets.join(', '))

/** What `turnout_rollout_info` and its like show. @param now Unix milliseconds */
export function shownRollouts(rollouts: Rollouts, now = Date.now()) {
  return rollouts.list().map((live) => ({
    name: live.name,
    route: live.definition.route,
    phase: live.state.phase,
    stable: namesOf(live.definition.stable),
    canary: namesOf(live.definition.canary),
    weightPpm: shareInForce(live, rollouts),
    updatedAt: live.state.updatedAt,
    ...guardsOf(live, now),
  }))
}

/** For how long the evidence is shown that took a canary back: the last scrape before that has seen less. */
const lastWords = 3_600_000

function guardsOf(live: Live, now: number) {
  const { phase, updatedAt } = live.state
  const isTold = isRunning(live.state) || (phase === 'rolled_back' && now - updatedAt < lastWords)
  if (!isTold) return { guards: [], exposed: undefined }
  const evidence = evidenceOf(live)
  return { guards: evidence?.guards ?? [], exposed: evidence?.assigned.canary }
}

/** What stands before a route's own targets: what runs, then what was completed last, which gets all that the one before it leaves. */
export function inForceOn(rollouts: Rollouts, route: string) {
  const { running, promoted = [] } = rollouts.traffic.of(route) ?? {}
  const moves = (live: Live | undefined): live is Live => live !== undefined && shareInForce(live, rollouts) > 0
  const top = moves(running) ? running : undefined
  // One that names its stable side leaves nothing to others.
  const base = top && top.definition.stable.targets.length > 0 ? undefined : promoted.findLast(moves)
  return [top, base].filter(moves).map((live) => ({
    name: live.name,
    canary: namesOf(live.definition.canary),
    percent: percentOf(shareInForce(live, rollouts)),
  }))
}

/** Parts per million that the canary gets now. */
function shareInForce(live: Live, rollouts: Rollouts): number {
  if (isIdle(live, rollouts) !== undefined) return 0
  return live.state.phase === 'completed' ? million : live.weightPpm
}

/** Why a rollout that runs, or was completed, moves nothing at the moment; undefined when it does. */
export function isIdle(live: Live, { snapshot, traffic }: Rollouts): string | undefined {
  const { phase } = live.state
  const runs = isRunning(live.state)
  if (!runs && phase !== 'completed') return `it is ${phase}`
  if (snapshot.bypass) return 'the bypass is on'
  const route = resolveModel(snapshot, live.definition.route)
  if ('nearest' in route) return `the configuration has no route '${live.definition.route}'`
  if (!runs && !live.holds(route)) return "the route's own targets have changed since it was completed"
  const missing = live.missing(snapshot, route)
  if (missing !== undefined) return `the configuration has no target '${missing}'`
  if (runs && isSame(live.arms(snapshot, route, baseOf(snapshot, route, traffic.of(route.name)?.promoted ?? []))))
    return 'both arms ask the same'
  return live.state.weightPpm === 0 ? 'its percentage is 0' : undefined
}

/** By verb, as webhooks name what has happened. */
const types: Readonly<Record<string, string>> = {
  create: 'rollout.created',
  start: 'rollout.started',
  retry: 'rollout.started',
  pause: 'rollout.paused',
  hold: 'rollout.paused',
  resume: 'rollout.resumed',
  'set-weight': 'rollout.weight',
  advance: 'rollout.step',
  approve: 'rollout.step',
  promote: 'rollout.step',
  await: 'rollout.awaiting',
  abort: 'rollout.aborted',
  undo: 'rollout.undone',
  stop: 'rollout.stopped',
}

/** One transition for the log, the metrics and webhooks. */
export function presentTransition({ live, event }: Transition, rollouts: Rollouts) {
  const { verb, from, to, cause, reason, actor, revision, weightPpm, step, attempt } = event
  const percent = percentOf(weightPpm)
  return {
    type: to === 'completed' ? 'rollout.completed' : (types[verb] ?? 'rollout.changed'),
    text: `rollout ${live.name}: ${verb} by ${actor}, now ${to} at ${percent} % (${reason})`,
    from: from === '' ? 'none' : from,
    to,
    cause,
    data: {
      rollout: live.name,
      route: live.definition.route,
      stable: stableOf(rollouts, live),
      canary: live.definition.canary.targets,
      revision,
      verb,
      from: from === '' ? null : from,
      to,
      percent,
      step,
      attempt,
      cause,
      reason,
      actor,
      evidence: event.evidence,
    },
  }
}

/** What webhooks are sent of a transition, and the names of those that its rollout has picked; undefined = all. */
export function messageOf(transition: Transition, rollouts: Rollouts) {
  const { type, text, data } = presentTransition(transition, rollouts)
  const { notify } = transition.live.definition
  const message = { type, at: transition.event.at, data: { summary: text, ...data } }
  return { message, channels: notify.length > 0 ? notify : undefined }
}
