#!/usr/bin/env -S node --max-semi-space-size=64
// The command line: `turnout --help` lists what it can do.
import { Command, CommanderError } from 'commander'
import { ConfigError } from '../config/problem.ts'
import { StoreError } from '../store/driver.ts'
import { version } from '../version.ts'
import { addAlertsCommand } from './alerts.ts'
import { addBackupCommands } from './backup.ts'
import { addCanaryCommand } from './canary.ts'
import { addConfigCommand } from './configCheck.ts'
import { addDemoCommand } from './demo.ts'
import { addDoctorCommand } from './doctor.ts'
import { addLedgerCommand } from './ledger.ts'
import { addOperateCommands } from './operate.ts'
import { addPricesCommand } from './prices.ts'
import { addServeCommand } from './serve.ts'
import { addSimulateCommand } from './simulate.ts'
import { addSpendCommand } from './spend.ts'

const program = new Command('turnout')
  .description('An LLM gateway that moves live traffic between models and providers.')
  .version(version)
  .showHelpAfterError('(--help lists the options)')

addServeCommand(program)
addDemoCommand(program)
addSimulateCommand(program)
addConfigCommand(program)
addDoctorCommand(program)
addPricesCommand(program)
addOperateCommands(program)
addAlertsCommand(program)
addCanaryCommand(program)
addSpendCommand(program)
addLedgerCommand(program)
addBackupCommands(program)

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode
  else {
    const known = error instanceof ConfigError || error instanceof StoreError || !(error instanceof TypeError)
    process.stderr.write(`${known ? (error as Error).message : ((error as Error).stack ?? error)}\n`)
    process.exitCode = 1
  }
}
