#!/usr/bin/env -S node --max-semi-space-size=64 --min-semi-space-size=32 --no-allocation-site-pretenuring --
// The command line: `turnout --help` lists what it can do.
import { setDefaultAutoSelectFamilyAttemptTimeout } from 'node:net'
import { Command, CommanderError } from 'commander'
import { ConfigError } from '../config/problem.ts'
import { StoreError } from '../store/driver.ts'
import { version } from '../version.ts'
import { withoutControls } from './output.ts'
import { addServeCommand } from './serve.ts'

// For all that is asked beside the upstreams (key sets, webhooks, what `doctor` looks at): of several addresses Node gives each but the last
// 250 ms, which are less than a far server takes.
setDefaultAutoSelectFamilyAttemptTimeout(1_250)

const program = new Command('turnout')
  .description('An LLM gateway that moves live traffic between models and providers.')
  .version(version)
  .showHelpAfterError('(--help lists the options)')

addServeCommand(program)
// `serve` does not wait for the code of all other commands.
if (process.argv[2] !== 'serve') (await import('./commands.ts')).addOtherCommands(program)

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode
  else {
    const known = error instanceof ConfigError || error instanceof StoreError || !(error instanceof TypeError)
    const { message, stack } = error as Error
    process.stderr.write(withoutControls(`${known ? message + adviceOn(message) : (stack ?? error)}\n`))
    process.exitCode = 1
  }
}

/** SQLite says no more of a page that it finds damaged while it reads, in a thread or in this one. */
function adviceOn(message: string): string {
  return message === 'database disk image is malformed'
    ? ': the database is damaged. `turnout ledger verify` says what of it, `turnout restore FILE` puts a backup in its place.'
    : ''
}
