// `turnout doctor`: looks at everything that has to be right before Turnout can serve, and says what to do where it is not.
import type { Command } from 'commander'
import { type CheckOptions, type Finding, runChecks } from './doctorChecks.ts'
import { toJsonLine } from './output.ts'

interface DoctorFlags extends CheckOptions {
  json?: boolean
}

/** Adds `doctor`. Exit code 1 when anything fails; warnings do not count. */
export function addDoctorCommand(program: Command): void {
  const command = program
    .command('doctor')
    .description('check keys, upstreams, data folder, disk, database, Node, database driver, ports and configuration')
    .option('-c, --config <file>', 'configuration file, found as `serve` finds it unless given')
    .option('--env-file <file>', 'file of environment variables; `.env` is read in any case')
    .option('--json', 'print one JSON object')
    .action(async (flags: DoctorFlags) => {
      const findings = await runChecks(flags)
      const ok = findings.every(({ state }) => state !== 'fail')
      const write = command.configureOutput().writeOut!
      write(flags.json ? toJsonLine({ ok, findings }) : findings.map(render).join(''))
      if (!ok) process.exitCode = 1
    })
}

const render = ({ state, check, message, remedy }: Finding): string =>
  `${state.padEnd(4)}  ${check}: ${message}${remedy === undefined ? '' : ` → ${remedy}`}\n`
