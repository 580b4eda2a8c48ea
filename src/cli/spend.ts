// `turnout spend`: who spent what, from the daily sums.
import type { Command } from 'commander'
import { toJson } from '../http/admin/answer.ts'
import { presentSpend } from '../http/admin/present.ts'
import { spendQuery, spendReply } from '../http/admin/spend.ts'
import type { SpendDimension, SpendLine, SpendReport } from '../store/spend.ts'
import { addLedgerOptions, findLedger, type LedgerFlags, openLedgerReader } from './ledgerFile.ts'
import { checkFlags, print, renderTable } from './output.ts'

interface SpendFlags extends LedgerFlags {
  json?: boolean
  [query: string]: unknown
}

/** Adds `spend`. */
export function addSpendCommand(program: Command): void {
  const command = addLedgerOptions(
    program.command('spend').description('sum up cost and tokens, also while the gateway runs'),
  )
    .option('--by <names>', 'group by day, model, provider, key, team, route: one, or several with commas', 'model')
    .option('--from <day>', 'from this day on (UTC), such as 2026-01-31')
    .option('--to <day>', 'up to and including this day')
    .option('--limit <number>', 'most lines: the dearest, or where `--by` begins with day the oldest', '1000')
    .option('--json', 'print one JSON object, as GET /admin/spend answers')
  for (const name of ['model', 'provider', 'key', 'team', 'route']) {
    command.option(`--${name} <${name}>`, `only this ${name}`)
  }
  command.action(async ({ config, envFile, db, json, ...query }: SpendFlags) => {
    const asked = checkFlags(spendQuery, query)
    const reader = await openLedgerReader(findLedger({ config, envFile, db } as LedgerFlags))
    try {
      const { by, from, to, limit, ...only } = asked
      const report = await reader.spend({ by, from, to, limit, only })
      await print(json ? `${toJson(spendReply(asked, report))}\n` : render(by, report))
    } finally {
      await reader.close()
    }
  })
}

function render(by: readonly SpendDimension[], { lines, total, more }: SpendReport): string {
  const columns = [...by, 'requests', 'failed', 'calls', 'tokens in', 'tokens out', 'USD', 'unpriced']
  const rows = lines.map((line) => [...by.map((name) => line[name] || '-'), ...numbersOf(line)])
  const names = by.map((_, at) => (at === 0 ? 'total' : ''))
  const table = renderTable(columns, [...rows, [...names, ...numbersOf(total)]])
  return more > 0 ? `${table}and ${more} more lines, which the total counts too\n` : table
}

function numbersOf(line: SpendLine): (string | number)[] {
  return [
    line.requests,
    line.failed,
    line.attempts,
    line.input + line.cacheRead + line.cacheWrite5m + line.cacheWrite1h + line.audioIn,
    line.output + line.reasoning + line.audioOut,
    presentSpend(line).cost_usd ?? 'unknown',
    line.unpriced,
  ]
}
