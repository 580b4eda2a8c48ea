// Draws a rollout in a terminal: its share, its steps, each guard between "safe" and "harm", and what is still missing.
import type { EvidenceReport, GuardReport } from '../rollouts/index.ts'
import { sayEvent } from '../state/rollouts/historyText.ts'

export interface ShownRollout {
  name: string
  route: string
  stable: string[]
  canary: string[]
  phase: string
  percent: number
  revision: number
  attempt: number
  step: number
  unit: string
  cause: string
  reason: string
  updated_at: string
  idle: string | null
  plan?: ShownStep[]
  budget?: { spent_usd: string; canary_usd: string | null; exposed: number; exposed_units: number | null }
  evidence?: (EvidenceReport & { canary_in_step: number; waiting: { start: number; end: number } }) | null
}

type ShownStep =
  | { set_weight: number }
  | {
      pause: {
        duration_ms: number
        min_requests: number
        advance: string
        approval: boolean
        max_wait_ms: number | null
      }
    }

/** Its canary has a share: also where it waits for somebody. */
const stands = (phase: string): boolean => phase === 'stepping' || phase === 'paused' || phase === 'awaiting'

/** It has a share, and moves nothing all the same: what has none is told by its phase. */
const isTold = ({ phase, idle }: Pick<ShownRollout, 'phase' | 'idle'>): boolean =>
  idle !== null && (stands(phase) || phase === 'completed')

/** What a verb has led to. */
export function renderOutcome({ name, phase, percent, idle }: ShownRollout): string {
  return `${name}: ${phase} at ${percent} %${isTold({ phase, idle }) ? `; moves nothing: ${idle}` : ''}\n`
}

export function renderRollout(rollout: ShownRollout): string {
  const { name, route, stable, canary, phase, percent, attempt, reason, updated_at, idle } = rollout
  const lines = [
    `${name}   ${percent} %   ${phase}   attempt ${attempt}, revision ${rollout.revision}`,
    `${route}: ${stable.join(', ')}  →  ${canary.join(', ')}   by ${rollout.unit}`,
    `since ${updated_at}: ${reason}`,
  ]
  if (isTold(rollout)) lines.push(`moves nothing: ${idle}`)
  if (rollout.plan && rollout.plan.length > 0) lines.push('', ...renderSteps(rollout))
  if (rollout.budget) lines.push('', renderBudget(rollout.budget))
  if (rollout.evidence) lines.push('', ...renderEvidence(rollout.evidence))
  return `${lines.join('\n')}\n`
}

function renderBudget({ spent_usd, canary_usd, exposed, exposed_units }: NonNullable<ShownRollout['budget']>): string {
  const parts = [
    canary_usd === null ? '' : `$${spent_usd} of $${canary_usd}`,
    exposed_units === null ? '' : `${exposed} of ${exposed_units} units`,
  ]
  return `budget: ${parts.filter((part) => part !== '').join(', ')}`
}

function renderSteps({ plan = [], step, phase, evidence }: ShownRollout): string[] {
  return plan.map((one, index) => {
    const mark = stands(phase) && index === step ? '>' : index < step || phase === 'completed' ? '✓' : ' '
    if ('set_weight' in one) return ` ${mark} set weight ${one.set_weight} %`
    const { duration_ms, min_requests, advance, approval, max_wait_ms } = one.pause
    const so = stands(phase) && index === step && evidence ? ` (${evidence.canary_in_step} so far)` : ''
    const parts = [
      duration_ms > 0 ? `${duration_ms / 1000} s` : '',
      min_requests > 0 ? `${min_requests} canary requests${so}` : '',
      advance,
      approval ? 'approval' : '',
      max_wait_ms === null ? '' : `at most ${max_wait_ms / 1000} s`,
    ]
    return ` ${mark} pause: ${parts.filter((part) => part !== '').join(', ')}`
  })
}

export function renderEvidence({
  guards,
  decided,
  assigned,
  waiting,
}: NonNullable<ShownRollout['evidence']>): string[] {
  const width = Math.max(...guards.map(({ id }) => id.length))
  return [
    `decided: ${decided.stable} stable, ${decided.canary} canary; waited for: ${waiting.start} first bytes, ${waiting.end} ends; ` +
      `assigned: ${assigned.stable} stable, ${assigned.canary} canary`,
    `${''.padEnd(width)}  safe ${'─'.repeat(27)} harm   bad stable / canary   ratio`,
    ...guards.map(
      (guard) => `${guard.id.padEnd(width)}  ${bar(guard)}   ${counts(guard)}   ${ratio(guard)}${missing(guard)}`,
    ),
  ]
}

/** From the limit of safe to the limit of harm; the mark is where the evidence is. */
function bar({ logHarm, logLimit, logSafe, logSafeLimit }: GuardReport): string {
  const half = 17
  const toHarm = Math.max(0, Math.min(1, logHarm / logLimit))
  const toSafe = logSafe === undefined || !logSafeLimit ? 0 : Math.max(0, Math.min(1, logSafe / logSafeLimit))
  const at = half + Math.round((toHarm > toSafe ? toHarm : -toSafe) * half)
  return `|${'·'.repeat(at)}${toHarm >= 1 ? '█' : '●'}${'·'.repeat(2 * half - at)}|`
}

const counts = ({ bad, seen }: GuardReport): string =>
  `${bad.stable} of ${seen.stable} / ${bad.canary} of ${seen.canary}`.padEnd(19)

const figure = (value: number): string => `${Number(value.toPrecision(3))}x`

function ratio({ ratio: { point, lower, upper } }: GuardReport): string {
  if (point === null && lower === 0) return '–'
  return `${point === null ? '∞' : figure(point)} (${figure(lower)} to ${upper === null ? '∞' : figure(upper)})`
}

function missing({ untilSafe, isSafe, untilHarm, isHarm, action }: GuardReport): string {
  if (isHarm) return action === 'watch' ? '   harm (only watched)' : '   harm'
  if (isSafe) return '   safe'
  if (untilSafe?.requests !== undefined) return `   safe in about ${untilSafe.requests} requests, if alike`
  return untilHarm?.requests === undefined ? '' : `   twice as bad: seen in about ${untilHarm.requests} requests`
}

export interface ShownEvent {
  seq: number
  at: string
  actor: string
  verb: string
  to: string
  percent: number
  cause: string
  reason: string
  revision: number
}

/** Why it stands as it does, as one says it in an incident. */
export function renderExplanation(rollout: ShownRollout, events: readonly ShownEvent[]): string {
  const last = events.at(-1)
  if (!last) return `${rollout.name}: nothing has happened.\n`
  const lines = [`${rollout.name}: ${rollout.phase} at ${rollout.percent} %.`, sayEvent({ ...last, by: last.actor })]
  if (isTold(rollout)) lines.push(`It moves nothing: ${rollout.idle}.`)
  const open = rollout.evidence?.guards.filter(({ isSafe }) => isSafe === false) ?? []
  if (rollout.phase === 'stepping' || rollout.phase === 'paused')
    for (const { id, untilSafe } of open)
      if (untilSafe?.requests !== undefined)
        lines.push(`${id}: if the arms are alike, harm is ruled out after about ${untilSafe.requests} more requests.`)
  return `${lines.join('\n')}\n`
}
