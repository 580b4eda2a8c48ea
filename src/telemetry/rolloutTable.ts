// The metrics of rollouts: a part of the table in metricTable.ts.
import { causes, phases } from '../rollouts/machine.ts'
import type { MetricSpec } from './metricTable.ts'

export const rolloutArms = ['stable', 'canary'] as const
/** By chance, by an operator's header, or tied to the stable arm because the key may not use both. */
export const assignments = ['hash', 'override', 'pinned'] as const
/** `none`: it was not there before. */
export const transitionPhases = ['none', ...phases] as const
export const transitionCauses = causes
/** Who writes: by hand, or by the file and the environment. */
const writers = ['operator', 'file', 'environment'] as const
/** Phases in which the canary gets requests. */
const running = ['stepping', 'paused', 'awaiting'] as const
/** Those in which it may be taken back: what a guard found is in force before it is on record. */
const harmed = [...running, 'stopped', 'completed'] as const
const each = <One>(list: readonly One[], rows: (one: One) => readonly (readonly string[])[]) => list.flatMap(rows)
/**
 * Those that are shown before they happen, so that the first is an increase: what people do, what a rollout does by itself, and every way in
 * which it is taken back. No two are the same.
 */
const transitionsShown: readonly (readonly string[])[] = [
  ...each(writers, (cause) => [
    ['none', 'draft', cause],
    ...each(['draft', 'stopped', 'rolled_back', 'completed'], (from) => [[from, 'stepping', cause]]),
    ['draft', 'rolled_back', cause],
    ...each(['draft', 'stopped'], (from) => [[from, 'stopped', cause]]),
    ...each(running, (from) => each(['stepping', 'completed', 'stopped'], (to) => [[from, to, cause]])),
  ]),
  ...each(['stopped', 'completed', 'draft', 'rolled_back'], (from) => [[from, 'completed', 'operator']]),
  ['completed', 'paused', 'operator'],
  ...each(['stepping', 'awaiting', 'completed'], (to) => [['stepping', to, 'step']]),
  ...each(running, (from) => [[from, 'stopped', 'superseded'], ...each(causes, (cause) => [[from, 'paused', cause]])]),
  ...each(harmed, (from) => each(causes, (cause) => [[from, 'rolled_back', cause]])),
]

export const rolloutMetrics = {
  rolloutInfo: {
    kind: 'gauge',
    name: 'turnout_rollout_info',
    help: 'Always 1; the labels say where a rollout stands and what it moves to what.',
    labels: ['rollout', 'route', 'phase', 'stable', 'canary'],
  },
  rolloutWeight: {
    kind: 'gauge',
    name: 'turnout_rollout_weight_ratio',
    help: "The canary's share in force, from 0 to 1, by rollout.",
    labels: ['rollout'],
  },
  rolloutStateAge: {
    kind: 'gauge',
    name: 'turnout_rollout_state_age_seconds',
    help: 'How long a rollout has been as it is, in seconds.',
    labels: ['rollout'],
  },
  rolloutRequests: {
    kind: 'counter',
    name: 'turnout_rollout_requests_total',
    help: 'Requests of a rollout by arm and by how they came to it: by chance (hash), by an operator (override), tied to it (pinned).',
    labels: ['rollout'],
    closed: [
      ['arm', rolloutArms],
      ['assignment', assignments],
    ],
  },
  rolloutBad: {
    kind: 'counter',
    name: 'turnout_rollout_bad_events_total',
    help: 'Bad events that a guard has counted in the attempt that runs (or was taken back within the hour), by rollout, guard and arm.',
    labels: ['rollout', 'guard', 'arm'],
    read: true,
  },
  rolloutEvidence: {
    kind: 'gauge',
    name: 'turnout_rollout_guard_log_evidence',
    help: 'Natural log of the evidence of a guard: harm = that the canary is worse than allowed, safe = that it is not harmful. Shown for an hour after it was taken back.',
    labels: ['rollout', 'guard', 'direction'],
  },
  rolloutLimit: {
    kind: 'gauge',
    name: 'turnout_rollout_guard_log_limit',
    help: 'Natural log of the evidence at which a guard acts, or is satisfied.',
    labels: ['rollout', 'guard', 'direction'],
  },
  rolloutRatio: {
    kind: 'gauge',
    name: 'turnout_rollout_guard_ratio',
    help: 'Rate of bad events on the canary by that on stable, and a 95 % interval that holds at any time; what is unbounded is not shown.',
    labels: ['rollout', 'guard', 'bound'],
  },
  rolloutUnits: {
    kind: 'gauge',
    name: 'turnout_rollout_units_exposed',
    help: 'Units (requests where that is the unit) that were assigned to the canary in the attempt that runs.',
    labels: ['rollout'],
  },
  rolloutTransitions: {
    kind: 'counter',
    name: 'turnout_rollout_transitions_total',
    help: 'Changes of state of all rollouts, by the phase before, the phase after, and the cause.',
    labels: [],
    closed: [
      ['from', transitionPhases],
      ['to', transitionPhases],
      ['reason', transitionCauses],
    ],
    shown: transitionsShown,
  },
  rolloutAbort: {
    kind: 'histogram',
    name: 'turnout_rollout_abort_propagation_seconds',
    help: 'From the moment that harm was found, or somebody said abort, until no request goes to the canary any more and those that waited for its first byte are taken back, in seconds.',
    labels: [],
    bounds: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
  },
} as const satisfies Record<string, MetricSpec>
