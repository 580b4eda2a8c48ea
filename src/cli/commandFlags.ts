// Flags of commands that change something which others may change, too: `--if-revision`, and `--idempotency-key` for scripts that repeat.
import { type Command, Option } from 'commander'

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

/** @throws Error for what is no whole number; 0 is where there is nothing yet */
export function revisionOf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new Error(`'${text}' is no revision.`)
}
