// Writes to standard output as fast as it is read, and ends quietly when nobody reads on (`… | head`).
import { once } from 'node:events'
import type { z } from 'zod'

let guarded = false

/** Resolves when there is room for more. */
export async function print(text: string): Promise<void> {
  if (!guarded) {
    guarded = true
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0)
      process.stderr.write(`Standard output cannot be written: ${error.code}.\n`)
      process.exit(process.exitCode || 1)
    })
  }
  if (!process.stdout.write(text)) await once(process.stdout, 'drain')
}

/** Line breaks, and what moves a terminal's cursor: a reason may hold whatever somebody wrote. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const control = /[\u0000-\u001f\u007f-\u009f]+/g

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
