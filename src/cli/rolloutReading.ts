// `turnout rollout requests`, `report` and `evidence`: what a rollout has done, as tables and as a page to be filed.
import { type Command, Option } from 'commander'
import type { History } from '../state/rollouts/history.ts'
import { type Heading, writeHistory } from '../state/rollouts/historyText.ts'
import { addServerOptions, askServer, findServer, type ServerFlags } from './adminClient.ts'
import { print, renderTable, toJsonLine } from './output.ts'
import { renderEvidence, type ShownRollout } from './rolloutView.ts'

interface RequestFlags extends ServerFlags {
  arm?: string
  outcome?: string
  assignment?: string
  attempt?: string
  limit?: string
  cursor?: string
}

interface ShownRequest {
  id: string
  created_at: string
  outcome: string
  status: number
  latency_ms: number | null
  bad_events: string[]
  rollout: { arm: string; served_arm: string | null; assignment: string; first_attempt_class: string | null }
}

const pathOf = (name: string, rest: string): string => `/rollouts/${encodeURIComponent(name)}/${rest}`
export function addReadingCommands(rollout: Command): void {
  addServerOptions(
    rollout
      .command('requests')
      .description('list the requests of a rollout, newest first: their arm, and what they were bad for')
      .argument('<name>', 'the rollout, or a route for what moves it')
      .addOption(new Option('--arm <arm>', 'of this arm').choices(['stable', 'canary']))
      .option('--outcome <outcome>', 'with this outcome')
      .addOption(new Option('--assignment <how>', 'assigned so').choices(['hash', 'override', 'pinned']))
      .option('--attempt <n>', 'of this attempt')
      .option('--limit <n>', 'so many, at most 1000')
      .option('--cursor <cursor>', 'the next page: what the one before has named'),
  ).action(async (name: string, flags: RequestFlags) => {
    const { arm, outcome, assignment, attempt, limit, cursor } = flags
    const given = Object.entries({ arm, outcome, assignment, attempt, limit, cursor }).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, value] as [string, string]],
    )
    const query = given.length === 0 ? '' : `?${new URLSearchParams(given)}`
    const answer = await askServer<{ data: ShownRequest[]; next_cursor: string | null }>(
      findServer(flags),
      'GET',
      pathOf(name, `requests${query}`),
    )
    if (flags.json) return print(toJsonLine(answer))
    const rows = answer.data.map((request) => [
      request.id,
      request.created_at,
      request.rollout.arm,
      request.rollout.served_arm ?? '',
      request.rollout.assignment,
      request.outcome,
      request.rollout.first_attempt_class ?? '',
      request.latency_ms === null ? '' : Math.round(request.latency_ms),
      request.bad_events.join(', '),
    ])
    const columns = ['request', 'at', 'arm', 'served', 'by', 'outcome', 'first attempt', 'ms', 'bad for']
    const more = answer.next_cursor === null ? '' : `more: --cursor ${answer.next_cursor}\n`
    await print(rows.length === 0 ? 'no requests\n' : `${renderTable(columns, rows)}${more}`)
  })

  addServerOptions(
    rollout
      .command('report')
      .description('print the account of a rollout as Markdown: each step, the evidence at the end, the decision')
      .argument('<name>', 'the rollout, or a route for what moves it'),
  ).action(async (name: string, flags: ServerFlags) => {
    const answer = await askServer<Heading & History>(findServer(flags), 'GET', pathOf(name, 'report'))
    await print(flags.json ? toJsonLine(answer) : writeHistory(answer, answer))
  })

  addServerOptions(
    rollout
      .command('evidence')
      .description('show the guards of a rollout; of one that is over, as they were when it ended')
      .argument('<name>', 'the rollout, or a route for what moves it'),
  ).action(async (name: string, flags: ServerFlags) => {
    const answer = await askServer<{ rollout: string; evidence: ShownRollout['evidence'] }>(
      findServer(flags),
      'GET',
      pathOf(name, 'evidence'),
    )
    if (flags.json) return print(toJsonLine(answer))
    const { evidence } = answer
    const known = evidence && 'guards' in evidence
    await print(known ? `${renderEvidence(evidence).join('\n')}\n` : `${answer.rollout}: nothing is known yet\n`)
  })
}
