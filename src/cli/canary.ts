// `turnout canary`: the percentage of a route that another model gets.
import { type Command, Option } from 'commander'
import { addServerOptions, askServer, findServer, type ServerFlags } from './adminClient.ts'
import { addKeyOption, addRevisionOption, type CommandFlags, headersOf, percentOf } from './commandFlags.ts'
import { print, renderTable, toJsonLine } from './output.ts'

interface Flags extends ServerFlags, CommandFlags {
  target?: string[]
  unit?: string
  reason?: string
  force?: boolean
  all?: number
}

interface Canary {
  route: string
  target: string[] | null
  canary: string[]
  percent: number
  phase: string
  reason: string
  updated_at: string
  idle: string | null
}

/** Exit code 1 when the gateway cannot be reached or says no. */
export function addCanaryCommand(program: Command): void {
  const command = program
    .command('canary')
    .description('show or set the percentage of a route that another model gets')
    .argument('[route]', 'the route; without it all are listed')
    .argument('[percent]', 'from 0 to 100; without it the route is shown', percentOf)
    .option('--target <target...>', 'what gets it: `provider/model`, the id of a target, or `route:NAME`')
    .addOption(
      new Option('--unit <unit>', 'what stays on one side').choices(['request', 'conversation', 'user', 'key']),
    )
    .option('--reason <text>', 'why, for whoever looks next')
    .option('--force', 'also where the target was aborted by what was seen of it, or another rollout runs')
    .addOption(new Option('--all <percent>', 'set everything that runs; 0 takes all traffic back').argParser(percentOf))
  addRevisionOption(command, 'only if the canary, or all of them, are at this revision, which `--json` shows')
  addServerOptions(addKeyOption(command)).action(
    async (route: string | undefined, percent: number | undefined, flags: Flags) => {
      requireSense(route, percent, flags)
      const server = findServer(flags)
      const reason = flags.reason ?? 'by command line'
      if (flags.all !== undefined) {
        const answer = await askServer<{ changed: string[] }>(
          server,
          'PUT',
          '/canary',
          { percent: flags.all, reason },
          headersOf(flags),
        )
        return print(
          flags.json ? toJsonLine(answer) : `${flags.all} %: ${answer.changed.join(', ') || 'nothing was running'}\n`,
        )
      }
      if (route === undefined) {
        const answer = await askServer<{ data: Canary[] }>(server, 'GET', '/canary')
        return print(flags.json ? toJsonLine(answer) : renderAll(answer.data))
      }
      const path = `/routes/${encodeURIComponent(route)}/canary`
      const { target, unit, force } = flags
      const answer =
        percent === undefined
          ? await askServer<Canary>(server, 'GET', path)
          : await askServer<Canary>(server, 'PUT', path, { percent, reason, target, unit, force }, headersOf(flags))
      await print(flags.json ? toJsonLine(answer) : renderOne(answer))
    },
  )
}

/** What is meant for a change must not be taken for a look, nor what is meant for one route for all. @throws Error */
function requireSense(route: string | undefined, percent: number | undefined, flags: Flags): void {
  const { all, target, unit, force, ifRevision, idempotencyKey, reason } = flags
  if (all !== undefined && (route ?? target ?? unit ?? force) !== undefined)
    throw new Error('--all is for everything that runs: leave out the route and what belongs to one, or --all.')
  const ofChange = { target, unit, reason, force, 'if-revision': ifRevision, 'idempotency-key': idempotencyKey }
  const given = Object.entries(ofChange).find(([, value]) => value !== undefined)?.[0]
  if (all === undefined && percent === undefined && given !== undefined)
    throw new Error(`--${given} is for a change: give a route and a percentage, too.`)
}

function renderOne({ route, target, percent, phase, reason, idle }: Canary): string {
  if (target === null) return `${route}: no canary\n`
  const held = idle === null ? '' : `; moves nothing: ${idle}`
  return `${route}: ${percent} % to ${target.join(', ')} (${phase}: ${reason})${held}\n`
}

function renderAll(canaries: readonly Canary[]): string {
  const rows = canaries.map(({ route, canary, percent, phase, reason, updated_at }) => [
    route,
    canary.join(', '),
    `${percent} %`,
    phase,
    reason,
    updated_at,
  ])
  return rows.length === 0 ? 'no canary\n' : renderTable(['route', 'canary', 'share', 'phase', 'reason', 'since'], rows)
}
