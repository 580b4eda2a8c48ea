// `turnout ledger`: checks the record of requests, follows it, and takes it out as CSV or JSON lines.
import { createWriteStream, existsSync, linkSync, renameSync, rmSync } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Command, InvalidArgumentError, Option } from 'commander'
import * as z from 'zod'
import { toJson } from '../http/admin/answer.ts'
import { presentRequest } from '../http/admin/present.ts'
import { filterShape, inOrder, outOfOrder } from '../http/admin/requests.ts'
import { formatUsd } from '../pricing/decimal.ts'
import { syncFile } from '../store/backup.ts'
import { printId } from '../store/ledgerId.ts'
import type { StoredRequest } from '../store/requestRead.ts'
import type { Verification } from '../store/verify.ts'
import { addLedgerOptions, findLedger, hashOf, type LedgerFlags, openLedgerReader } from './ledgerFile.ts'
import { checkFlags, print, printAsIs } from './output.ts'

interface TailFlags extends LedgerFlags {
  lines: number
  follow: boolean
  json?: boolean
}

interface ExportFlags extends LedgerFlags {
  format: 'csv' | 'jsonl'
  rows: 'requests' | 'attempts'
  output?: string
  user?: string
  [filter: string]: unknown
}

/** Adds `ledger verify`, `ledger tail` and `ledger export`. All only read, also while a gateway writes. */
export function addLedgerCommand(program: Command): void {
  const ledger = program.command('ledger').description('look at the record of requests, also while the gateway runs')

  addLedgerOptions(
    ledger
      .command('verify')
      .description(
        'check all sums, gaps and strays of the ledger against each other; exit code 1 when anything is wrong',
      ),
  )
    .option('--json', 'print one JSON object')
    .action(async (flags: LedgerFlags & { json?: boolean }) => {
      const place = findLedger(flags)
      const reader = await openLedgerReader(place)
      try {
        const found = await reader.verify()
        if (!found.ok) process.exitCode = 1
        await print(flags.json ? `${toJson({ file: place.file, ...jsonOf(found) })}\n` : render(found))
      } finally {
        await reader.close()
      }
    })

  addLedgerOptions(
    ledger.command('tail').description('print the last requests, then each one as it ends, until interrupted'),
  )
    .addOption(new Option('-n, --lines <number>', 'requests to begin with').argParser(linesOf).default(10))
    .option('--no-follow', 'end after the first lines')
    .option('--json', 'print a JSON object per line')
    .action(tail)

  const take = addLedgerOptions(
    ledger.command('export').description('print all rows as CSV or JSON lines, oldest first, or only those asked for'),
  )
    .addOption(new Option('--format <format>', 'how').choices(['csv', 'jsonl']).default('jsonl'))
    .addOption(
      new Option('--rows <rows>', 'a line per request or per upstream call')
        .choices(['requests', 'attempts'])
        .default('requests'),
    )
    .option('-o, --output <file>', 'write to a new file in place of standard output')
    .option('--user <id>', 'of this end user: the id that the app sent, or its hash (u_…)')
    .option('--from <time>', 'from this day (UTC) or instant on')
    .option('--to <time>', 'up to and including this day, or before this instant')
  for (const name of ['route', 'key', 'team', 'target', 'provider', 'model', 'outcome', 'error', 'status', 'rollout']) {
    take.option(`--${name} <${name}>`, `with this ${name}`)
  }
  take.action(exportRows)
}

async function tail(flags: TailFlags): Promise<void> {
  const reader = await openLedgerReader(findLedger(flags))
  const stopped = new AbortController()
  process.once('SIGINT', () => stopped.abort())
  process.once('SIGTERM', () => stopped.abort())
  const show = (row: StoredRequest): Promise<void> =>
    print(`${flags.json ? toJson(presentRequest(row)) : lineOf(row)}\n`)
  try {
    if (!flags.follow) {
      const { rows } = flags.lines > 0 ? await reader.requests({ limit: flags.lines }) : { rows: [] }
      for (const row of rows.toReversed()) await show(row)
      return
    }
    for await (const row of reader.tail({ limit: flags.lines, signal: stopped.signal })) await show(row)
  } finally {
    await reader.close()
  }
}

async function exportRows(flags: ExportFlags): Promise<void> {
  const { config, envFile, db, format, rows, output, user, ...filter } = flags
  const place = findLedger({ config, envFile, db } as LedgerFlags)
  const asked = checkFlags(z.object(filterShape).refine(inOrder, outOfOrder), filter)
  const hash = user === undefined ? undefined : hashOf(place, user)
  const reader = await openLedgerReader(place)
  try {
    const pieces = reader.export({ ...asked, format, rows, user: hash })
    // A file that is there may be somebody's books.
    if (output !== undefined) await writeNew(output, pieces)
    else for await (const piece of pieces) await printAsIs(piece)
  } finally {
    await reader.close()
  }
}

/** Whole, or not there: until its end it has another name, for a death in the middle leaves what is written. */
async function writeNew(file: string, pieces: AsyncIterable<string>): Promise<void> {
  const part = `${file}.part-${process.pid}`
  try {
    if (existsSync(file)) throw Object.assign(new Error(), { code: 'EEXIST' })
    await pipeline(Readable.from(pieces), createWriteStream(part, { mode: 0o600 }))
    syncFile(part)
    giveName(part, file)
  } catch (error) {
    throw explainOutput(error as NodeJS.ErrnoException, file)
  } finally {
    rmSync(part, { force: true })
  }
}

/** Never over a file that has come meanwhile, where the file system has links. */
function giveName(part: string, file: string): void {
  try {
    linkSync(part, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' || existsSync(file)) throw error
    renameSync(part, file)
  }
}

function explainOutput(error: NodeJS.ErrnoException, file: string): Error {
  if (error.code === 'EEXIST') return new Error(`${file} exists: an export never overwrites a file.`)
  return error.syscall === undefined ? error : new Error(`${file} cannot be written: ${error.code}.`)
}

function linesOf(text: string): number {
  const lines = Number(text)
  if (!Number.isInteger(lines) || lines < 0 || lines > 1000)
    throw new InvalidArgumentError('give a number from 0 to 1000')
  return lines
}

function lineOf(row: StoredRequest): string {
  const cost = row.cost === null ? 'unknown' : `${row.estimated === 1 ? '~' : ''}${formatUsd(row.cost)}`
  return [
    new Date(row.at).toISOString(),
    printId(row.id),
    row.status,
    row.outcome,
    row.route || '-',
    row.key || '-',
    `${row.tokens_in}+${row.tokens_out} tokens`,
    `${cost} USD`,
    row.latency_us === null ? '-' : `${(row.latency_us / 1000).toFixed(1)} ms`,
    row.error,
  ]
    .join('  ')
    .trimEnd()
}

function jsonOf({ cost, ...found }: Verification): object {
  const { ok, requests, attempts, open, counts, problems } = found
  return { ok, requests, attempts, open, cost_usd: formatUsd(cost), cost_nano_usd: cost, counts, problems }
}

function render({ ok, requests, attempts, open, cost, counts, problems }: Verification): string {
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0)
  const lines = problems.map(({ kind, text }) => `${kind.padEnd(6)}  ${text}`)
  if (all > problems.length) lines.push(`and ${all - problems.length} more`)
  const held = `${requests} requests, ${attempts} upstream calls, ${formatUsd(cost)} USD, ${open} in flight`
  lines.push(ok ? `ok: ${held}` : `not sound: ${all} problems in ${held}`)
  return `${lines.join('\n')}\n`
}
