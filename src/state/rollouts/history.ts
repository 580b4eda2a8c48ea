// The account of a rollout from its events: what ran when, at which share, what was known at the end, and what was decided.
import type { ChainedEvent } from '../../config/rolloutTypes.ts'
import { isRunning, type Phase } from '../../rollouts/machine.ts'
import { evidenceOf, type ShownEvidence } from './evidenceView.ts'
import { sayDecision } from './historyText.ts'
import type { Live } from './live.ts'
import { percentOf } from './view.ts'

/** One stage: from one event to the next. Times as ISO 8601, durations in milliseconds. */
export interface Stage {
  readonly revision: number
  readonly at: string
  readonly by: string
  readonly verb: string
  readonly phase: Phase
  readonly percent: number
  readonly step: number
  readonly lasted_ms: number
  readonly reason: string
}

export interface AttemptHistory {
  readonly attempt: number
  readonly started_at: string
  /** Null while it runs. */
  readonly ended_at: string | null
  readonly lasted_ms: number
  readonly stages: readonly Stage[]
  /** As it was when the attempt ended; of one that runs, as it is now. Null where none was kept. */
  readonly evidence: ShownEvidence | null
  readonly decision: string
}

export interface History {
  readonly attempts: readonly AttemptHistory[]
  /** Where it stands now, in plain words. */
  readonly decision: string
  /** Each attempt may spend `each` anew. */
  readonly alpha: { readonly each: number; readonly attempts: number; readonly at_most: number }
}

/** @param events of the rollout, oldest first */
export function historyOf(live: Live, events: readonly ChainedEvent[], now: number): History {
  const numbers = [...new Set(events.map(({ attempt }) => attempt))].filter((attempt) => attempt > 0)
  const attempts = numbers.map((attempt) => attemptOf(live, attempt, events, now))
  const { alpha } = live.definition.policy
  return {
    attempts,
    decision: attempts.at(-1)?.decision ?? 'It has not been started: nothing was decided.',
    alpha: { each: alpha, attempts: attempts.length, at_most: Number(Math.min(1, alpha * attempts.length).toFixed(6)) },
  }
}

function attemptOf(live: Live, attempt: number, all: readonly ChainedEvent[], now: number): AttemptHistory {
  const events = all.filter((event) => event.attempt === attempt)
  const first = events[0]!
  const last = events.at(-1)!
  // The one that ended it: what comes later of the same attempt (an undo) finds nothing running.
  const end = events.find((event) => !isRunning({ phase: event.to }))
  const over = end?.at ?? now
  const stages = events.map((event, index) => stageOf(event, events[index + 1]?.at ?? (end ? event.at : now)))
  const evidence = end ? keptEvidence(end) : evidenceOf(live)
  return {
    attempt,
    started_at: new Date(first.at).toISOString(),
    ended_at: end ? new Date(end.at).toISOString() : null,
    lasted_ms: between(first.at, over),
    stages,
    evidence,
    decision: sayDecision(stages.at(-1)!, isRunning({ phase: last.to }) ? evidence : null),
  }
}

const stageOf = (event: ChainedEvent, until: number): Stage => ({
  revision: event.revision,
  at: new Date(event.at).toISOString(),
  by: event.actor,
  verb: event.verb,
  phase: event.to,
  percent: percentOf(event.weightPpm),
  step: event.step,
  lasted_ms: between(event.at, until),
  reason: event.reason,
})

/** What is known of its last attempt: as it is now, or as its last event has it where a restart came after its end. @param events oldest first */
export function knownOf(live: Live, events: () => readonly ChainedEvent[]): ShownEvidence | null {
  const now = evidenceOf(live)
  const { attempt } = live.state
  if (now || attempt === 0) return now
  return events().reduce<ShownEvidence | null>(
    (last, event) => (event.attempt === attempt ? (keptEvidence(event) ?? last) : last),
    null,
  )
}

/** Whom its last attempt was compared with; undefined where none was begun, or none told so. @param events oldest first */
export function stableThen(events: readonly ChainedEvent[]): readonly string[] | undefined {
  const { attempt } = events.at(-1)!
  const known = events.find((event) => event.attempt === attempt)?.evidence as { stable?: readonly string[] } | null
  return known?.stable
}

/** A clock that was set back makes no time that is less than none. */
const between = (from: number, to: number): number => Math.max(0, to - from)

const keptEvidence = ({ evidence }: ChainedEvent): ShownEvidence | null =>
  typeof evidence === 'object' && evidence !== null && 'guards' in evidence ? (evidence as ShownEvidence) : null
