// Writes to standard output as fast as it is read, and ends quietly when nobody reads on (`… | head`).
import { once } from 'node:events'
import type * as z from 'zod'

let guarded = false
let failed = 1

/** For every command: where standard output cannot be written the process ends, with the exit code that was found by then. */
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
 * What gives a terminal orders: names come from clients, and a reason may hold whatever somebody wrote. Lines and tabs are ours. Those of
 * direction turn round what stands behind them in the line, sums of money included.
 */
const orders = /(?![\t\n])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu

/** For standard error, too: what a server says of itself may quote others. */
export const withoutOrders = (text: string): string => text.replace(orders, '?')

/**
 * Prints a text for people, or a `toJsonLine`: what would move the cursor is a question mark. Resolves when there is room for more. Set
 * `process.exitCode` before: nothing after it is done when nobody reads.
 * @param failure exit code for when it cannot be written, and the command has found none that says more
 */
export const print = (text: string, failure = 1): Promise<void> => printAsIs(withoutOrders(text), failure)

/** The same for what has to be told as it is kept, and for orders of our own. */
export async function printAsIs(text: string, failure = 1): Promise<void> {
  failed = failure
  if (!process.stdout.write(text)) await once(process.stdout, 'drain')
}

/** A line of JSON: what is no text for a terminal is escaped, and read back as it was. */
export const toJsonLine = (value: unknown): string =>
  `${JSON.stringify(value).replace(orders, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`

/** As `orders`, and line breaks. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const control = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+/g

/** Columns under their names; numbers stand right. */
export function renderTable(columns: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => String(cell).replace(control, ' ')))
  const widths = columns.map((name, at) => Math.max(name.length, ...cells.map((row) => row[at]!.length)))
  const line = (row: readonly string[], right: (at: number) => boolean): string =>
    row
      .map((cell, at) => (right(at) ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
      .join('  ')
      .trimEnd()
  const isNumber = (at: number): boolean =>
    rows.length > 0 && rows.every((row) => /^[\d.,-]+$|^unknown$/.test(String(row[at])) && at > 0)
  return `${[line(columns, isNumber), ...cells.map((row) => line(row, isNumber))].join('\n')}\n`
}

/** Flags through a schema of the admin API: both take the same words. Throws Error that names the flag. */
export function checkFlags<Schema extends z.ZodType>(schema: Schema, flags: Record<string, unknown>): z.output<Schema> {
  const result = schema.safeParse(flags)
  if (result.success) return result.data
  throw new Error(result.error.issues.map((issue) => `--${String(issue.path[0])}: ${issue.message}`).join('\n'))
}
