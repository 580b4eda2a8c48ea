// The account of a rollout in plain words, and as a page of Markdown.
import type { GuardReport } from '../../rollouts/index.ts'
import { figure, odds, percent } from '../../rollouts/words.ts'
import type { ShownEvidence } from './evidenceView.ts'
import type { AttemptHistory, History, Stage } from './history.ts'

const did: Readonly<Record<string, string>> = {
  abort: 'Aborted',
  advance: 'Went on',
  approve: 'Approved',
  hold: 'Paused',
  await: 'Waits for approval',
  pause: 'Paused',
  resume: 'Resumed',
  start: 'Started',
  retry: 'Started again',
  stop: 'Stopped',
  'set-weight': 'Set by hand',
  undo: 'Taken back',
  promote: 'Promoted',
  create: 'Created',
}

/** What an event was, as one says it in an incident. @param event `at` as ISO 8601 */
export function sayEvent(event: Pick<Stage, 'at' | 'verb' | 'revision' | 'reason'> & { to: string; by: string }) {
  const { at, verb, to, revision, by, reason } = event
  const what = to === 'completed' ? 'Completed' : (did[verb] ?? verb)
  return `${what} at ${at}, revision ${revision}, by ${by}: ${reason}.`
}

/** @param evidence of an attempt that runs; null for one that is over */
export function sayDecision(last: Stage, evidence: ShownEvidence | null): string {
  const said = sayEvent({ ...last, to: last.phase })
  if (!evidence) return said
  const open = evidence.guards.filter(({ isHarm }) => isHarm)
  const found =
    open.length === 0 ? 'no guard has found harm' : `harm is found by ${open.map(({ id }) => id).join(', ')}`
  return `Nothing is decided yet: it stands at ${last.percent} %, and ${found} in ${evidence.decided.canary} requests of the canary. ${said}`
}

/** What a page begins with. */
export interface Heading {
  readonly rollout: string
  readonly route: string
  readonly stable: readonly string[]
  readonly canary: readonly string[]
  readonly unit: string
  readonly phase: string
  readonly percent: number
  readonly revision: number
  readonly created_at: string
  readonly created_by: string
  /** `unbroken`, or where the chain of events does not hold. */
  readonly chain: string
}

/** A page of Markdown. */
export function writeHistory(heading: Heading, { attempts, decision, alpha }: History): string {
  const { rollout, route, stable, canary, unit, phase, revision, created_at, created_by, chain } = heading
  const events = attempts.reduce((sum, { stages }) => sum + stages.length, 0)
  const each = `Each attempt aborts a healthy canary with a chance of at most ${percent(alpha.each)}`
  const spent =
    alpha.attempts < 2 ? '' : `; its ${alpha.attempts} attempts together of at most ${percent(alpha.at_most)}`
  return `${[
    `# Rollout ${cell(rollout)}`,
    '',
    cell(decision),
    '',
    '| | |',
    '|---|---|',
    `| route | ${cell(route)} |`,
    `| stable | ${cell(stable.join(', '))} |`,
    `| canary | ${cell(canary.join(', '))} |`,
    `| assigned by | ${unit} |`,
    `| made | ${created_at}, by ${cell(created_by)} |`,
    `| now | ${phase} at ${heading.percent} %, revision ${revision} |`,
    ...attempts.flatMap((attempt) => ['', ...writeAttempt(attempt)]),
    '',
    '## What it rests on',
    '',
    `* ${each}${spent}.`,
    `* ${chain === 'unbroken' ? `The chain of its events is unbroken; ${events} of them are shown here.` : `The chain of its events is broken: ${chain}.`}`,
    '* Only requests that were drawn by chance are evidence: not those of the cache, of pinned keys, or by choice of an operator.',
  ].join('\n')}\n`
}

function writeAttempt({ attempt, started_at, ended_at, lasted_ms, stages, evidence, decision }: AttemptHistory) {
  const until = ended_at === null ? `until now (${span(lasted_ms)})` : `to ${ended_at} (${span(lasted_ms)})`
  return [
    `## Attempt ${attempt}`,
    '',
    `From ${started_at} ${until}. ${cell(decision)}`,
    '',
    '| revision | at | by | verb | phase | share | for | reason |',
    '|---|---|---|---|---|---|---|---|',
    ...stages.map(
      (stage) =>
        `| ${stage.revision} | ${stage.at} | ${cell(stage.by)} | ${stage.verb} | ${stage.phase} | ${stage.percent} % | ${span(stage.lasted_ms)} | ${cell(stage.reason)} |`,
    ),
    ...(evidence ? ['', ...writeEvidence(evidence, ended_at === null)] : []),
  ]
}

function writeEvidence({ guards, decided, assigned }: ShownEvidence, runs: boolean): string[] {
  return [
    `Evidence ${runs ? 'now' : 'at its end'}: ${decided.stable} requests of the stable side and ${decided.canary} of the canary were decided ` +
      `(${assigned.stable} and ${assigned.canary} units or requests were assigned).`,
    '',
    '| guard | bad on stable | bad on the canary | ratio | allowed | evidence of harm | limit | verdict |',
    '|---|---|---|---|---|---|---|---|',
    ...guards.map(
      (guard) =>
        `| ${guard.id} | ${guard.bad.stable} of ${guard.seen.stable} | ${guard.bad.canary} of ${guard.seen.canary} | ${ratioOf(guard)} ` +
        `| ${figure(guard.maxRatio)}x | ${odds(guard.logHarm)} | ${odds(guard.logLimit)} | ${verdictOf(guard)} |`,
    ),
  ]
}

function ratioOf({ ratio: { point, lower, upper } }: GuardReport): string {
  if (point === null && lower === 0) return 'unknown'
  const bounds = `${figure(lower)}x to ${upper === null ? 'any' : `${figure(upper)}x`}`
  return `${point === null ? 'unbounded' : `${figure(point)}x`} (${bounds})`
}

function verdictOf({ isHarm, isSafe, action }: GuardReport): string {
  if (isHarm) return action === 'watch' ? 'harm, only watched' : 'harm'
  return isSafe ? 'harm ruled out' : 'no harm found'
}

/** Names and reasons are what people wrote: in a table they may end no cell. */
const cell = (text: string): string => text.replaceAll('|', '\\|').replace(/\s+/g, ' ')

/** `40 s`, `3 min 20 s`, `2 h 5 min`. */
function span(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
}
