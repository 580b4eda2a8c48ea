// Writes to standard output as fast as it is read, and ends quietly when nobody reads on (`… | head`).
import { once } from 'node:events'
import type * as z from 'zod'
import { terminalControls } from '../telemetry/terminalControls.ts'

let guarded = false
let failed = 1

/** For every command: ends the process when standard output cannot be written, with the exit code set by then. */
export function guardOutput(): void {
  if (guarded) return
  guarded = true
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // Who reads no further may ask for the exit code all the same.
    if (error.code === 'EPIPE') process.exit()
    process.stderr.write(`Standard output cannot be written: ${error.code}.\n`)
    process.exit(process.exitCode || failed)
  })
}

/**
 * Terminal controls as question marks, but for line breaks and tabs: names come from clients, and a reason may hold whatever somebody wrote.
 * For standard error, too: what a server says of itself may quote others.
 */
export const withoutControls = (text: string): string =>
  text.replace(terminalControls, (char) => (char === '\t' || char === '\n' ? char : '?'))

/**
 * Prints text for people, or a `toJsonLine`, with terminal controls replaced by question marks. Resolves when there is room for more. Set
 * `process.exitCode` before: when nobody reads any more (a closed pipe) the process ends here.
 * @param failure exit code for when the text cannot be written and `process.exitCode` is not set
 */
export const print = (text: string, failure = 1): Promise<void> => printAsIs(withoutControls(text), failure)

/** The same without replacing anything: for output that must be exact, and for escape sequences of our own. */
export async function printAsIs(text: string, failure = 1): Promise<void> {
  failed = failure
  if (!process.stdout.write(text)) await once(process.stdout, 'drain')
}

/** A line of JSON. Terminal controls are escaped, so that a reader of JSON gets the text as it was. */
export const toJsonLine = (value: unknown): string =>
  `${JSON.stringify(value).replace(terminalControls, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`

const runsOfControls = new RegExp(`${terminalControls.source}+`, 'gu')

/** A table with a header line. A column in which every cell is a number is aligned to the right; the first never is. */
export function renderTable(columns: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => String(cell).replace(runsOfControls, ' ')))
  const widths = columns.map((name, at) => cells.reduce((most, row) => Math.max(most, row[at]!.length), name.length))
  const right = columns.map(
    (_, at) => at > 0 && rows.length > 0 && rows.every((row) => /^[\d.,-]+$|^unknown$/.test(String(row[at]))),
  )
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => (right[at] ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
      .join('  ')
      .trimEnd()
  return `${[columns, ...cells].map(line).join('\n')}\n`
}

/** Checks flags against a schema of the admin API, so that both accept the same values. Throws an Error that names the flag. */
export function checkFlags<Schema extends z.ZodType>(schema: Schema, flags: Record<string, unknown>): z.output<Schema> {
  const result = schema.safeParse(flags)
  if (result.success) return result.data
  throw new Error(result.error.issues.map((issue) => `--${String(issue.path[0])}: ${issue.message}`).join('\n'))
}
