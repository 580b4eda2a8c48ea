// Flags of commands that change something which others may change, too: `--if-revision`, and `--idempotency-key` for scripts that repeat.
import { type Command, InvalidArgumentError, Option } from 'commander'

export interface CommandFlags {
  ifRevision?: number
  idempotencyKey?: string
}

export const addKeyOption = (command: Command): Command =>
  command.option('--idempotency-key <key>', 'the same command with the same key acts once, for scripts that repeat')

/** @param what it is only done to */
export const addRevisionOption = (command: Command, what = 'only if it is at this revision'): Command =>
  command.addOption(new Option('--if-revision <n>', what).argParser(revisionOf))

/** What the flags are called on the wire. */
export function headersOf({ ifRevision, idempotencyKey }: CommandFlags): Record<string, string> {
  return {
    ...(ifRevision === undefined ? {} : { 'if-match': `"${ifRevision}"` }),
    ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
  }
}

/** `5`, `0.5`, `5%`. @throws InvalidArgumentError for what is no percentage, such as `0x10` */
export function percentOf(text: string): number {
  const [, digits] = /^(\d+(?:\.\d+)?)\s*%?$/.exec(text.trim()) ?? []
  const percent = Number(digits ?? Number.NaN)
  if (percent <= 100) return percent
  throw new InvalidArgumentError(`'${text}' is no percentage: give a number from 0 to 100.`)
}

/** @throws Error for what is no whole number; 0 is where there is nothing yet */
export function revisionOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new Error(`'${text}' is no revision.`)
}
