// `turnout trace`: one request as a waterfall, or the last that went wrong.
import type { Command } from 'commander'
import { addServerOptions, askServer, findServer, type ServerFlags } from './adminClient.ts'
import { print, renderTable, toJsonLine } from './output.ts'

interface Step {
  name: string
  start_ms: number
  end_ms: number | null
}

interface Traced {
  trace_id: string
  id: string
  created_at: string
  route: string | null
  status: number
  outcome: string
  error: string | null
  latency_ms: number | null
  steps: Step[]
}

interface Traces {
  data: Traced[]
  has_more: boolean
}

interface TraceFlags extends ServerFlags {
  status?: string
  route?: string
  hours: string
  limit: string
}

export function addTraceCommand(program: Command): void {
  addServerOptions(
    program
      .command('trace')
      .description('show what happened in a request, step by step; without an id list the last traces')
      .argument('[id]', 'id of a trace, or of a request as in x-request-id')
      .option('--status <status>', 'list: `ok`, `error`, or the status of a reply')
      .option('--route <route>', 'list: of this route')
      .option('--hours <number>', 'list: of so many hours', '24')
      .option('-n, --limit <number>', 'list: traces at most', '50'),
  ).action(async (id: string | undefined, flags: TraceFlags) => {
    const server = findServer(flags)
    if (id !== undefined) {
      const answer = await askServer<{ trace_id: string; requests: Traced[] }>(
        server,
        'GET',
        `/traces/${encodeURIComponent(id)}`,
      )
      return print(flags.json ? toJsonLine(answer) : answer.requests.map(renderWaterfall).join('\n'))
    }
    const { status, route, hours, limit } = flags
    const asked = new URLSearchParams({
      hours,
      limit,
      ...(status === undefined ? {} : { status }),
      ...(route === undefined ? {} : { route }),
    })
    const answer = await askServer<Traces>(server, 'GET', `/traces?${asked}`)
    await print(flags.json ? toJsonLine(answer) : renderList(answer))
  })
}

function renderList({ data, has_more }: Traces): string {
  const columns = ['at', 'trace', 'request', 'route', 'status', 'outcome', 'ms', 'error']
  const table = renderTable(
    columns,
    data.map((row) => [
      row.created_at,
      row.trace_id,
      row.id,
      row.route ?? '-',
      row.status,
      row.outcome,
      row.latency_ms ?? '-',
      row.error ?? '-',
    ]),
  )
  return has_more ? `${table}and older ones: ask for them with --limit, --status, --route or --hours\n` : table
}

/** Columns of a bar that is as long as the request. */
const width = 50

export function renderWaterfall({ trace_id, id, route, status, outcome, error, latency_ms, steps }: Traced): string {
  const total = Math.max(latency_ms ?? 0, ...steps.map(({ end_ms }) => end_ms ?? 0), 0.001)
  const longest = Math.max(...steps.map(({ name }) => name.length))
  const column = (ms: number): number => Math.round((ms / total) * width)
  const lines = steps.map(({ name, start_ms, end_ms }) => {
    const end = end_ms ?? total
    const from = Math.min(column(start_ms), width - 1)
    const bar = `${' '.repeat(from)}${'█'.repeat(Math.max(1, column(end) - from))}`.padEnd(width)
    return `  ${name.padEnd(longest)}  ${bar}  ${start_ms.toFixed(1).padStart(9)} ${`+${(end - start_ms).toFixed(1)}`.padStart(10)} ms`
  })
  const head = [
    `trace ${trace_id}  request ${id}`,
    `${route ?? '(no route)'}  ${status} ${outcome}${error ? ` (${error})` : ''}  ${total.toFixed(1)} ms`,
  ]
  return `${[...head, ...lines].join('\n')}\n`
}
