// `turnout budgets`: what may still be spent of a running gateway's budgets.
import type { Command } from 'commander'
import { addServerOptions, askServer, findServer, type ServerFlags } from './adminClient.ts'
import { print, renderTable, toJsonLine } from './output.ts'

interface Budgets {
  data: {
    budget: string
    scope: string
    entity: string | null
    hard: boolean
    window: string
    limit_usd: string
    spent_usd: string
    reserved_usd: string
    left_usd: string
    used_percent: number
    resets_at: string | null
  }[]
  has_more: boolean
}

interface Flags extends ServerFlags {
  budget?: string
  entity?: string
  limit: string
}

/** Exit code 1 when the gateway cannot be reached or says no. */
export function addBudgetsCommand(program: Command): void {
  addServerOptions(
    program
      .command('budgets')
      .description('show what is spent, held and left of each budget, fullest first')
      .option('--budget <name>', 'only this budget')
      .option('--entity <name>', 'only this key, team, route, …')
      .option('-n, --limit <number>', 'lines at most', '1000'),
  ).action(async (flags: Flags) => {
    const query = new URLSearchParams({ limit: flags.limit })
    if (flags.budget !== undefined) query.set('budget', flags.budget)
    if (flags.entity !== undefined) query.set('entity', flags.entity)
    const answer = await askServer<Budgets>(findServer(flags), 'GET', `/budgets?${query}`)
    await print(flags.json ? toJsonLine(answer) : render(answer))
  })
}

function render({ data, has_more }: Budgets): string {
  const rows = data.map((one) => [
    one.hard ? one.budget : `${one.budget} (soft)`,
    one.entity ?? one.scope,
    one.limit_usd,
    one.spent_usd,
    one.reserved_usd,
    one.left_usd,
    one.resets_at ?? 'never',
  ])
  const table = renderTable(['budget', 'of', 'limit', 'spent', 'held', 'left', 'resets'], rows)
  return has_more ? `${table}and more, less full than these: ask for them with --limit, --budget or --entity\n` : table
}
