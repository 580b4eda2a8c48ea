// All commands but `serve`: a new one is added here.
import type { Command } from 'commander'
import { addAlertsCommand } from './alerts.ts'
import { addBackupCommands } from './backup.ts'
import { addBlocksCommand } from './blocks.ts'
import { addBudgetsCommand } from './budgets.ts'
import { addCacheCommand } from './cache.ts'
import { addCanaryCommand } from './canary.ts'
import { addConfigCommand } from './configCheck.ts'
import { addDemoCommand } from './demo.ts'
import { addDoctorCommand } from './doctor.ts'
import { addKeysCommand } from './keys.ts'
import { addLedgerCommand } from './ledger.ts'
import { addOperateCommands } from './operate.ts'
import { guardOutput } from './output.ts'
import { addPricesCommand } from './prices.ts'
import { addRolloutCommand } from './rollout.ts'
import { addSimulateCommand } from './simulate.ts'
import { addSpendCommand } from './spend.ts'
import { addTraceCommand } from './trace.ts'

export function addOtherCommands(program: Command): void {
  guardOutput()
  addDemoCommand(program)
  addSimulateCommand(program)
  addConfigCommand(program)
  addDoctorCommand(program)
  addBudgetsCommand(program)
  addPricesCommand(program)
  addOperateCommands(program)
  addKeysCommand(program)
  addAlertsCommand(program)
  addBlocksCommand(program)
  addCanaryCommand(program)
  addCacheCommand(program)
  addRolloutCommand(program)
  addSpendCommand(program)
  addTraceCommand(program)
  addLedgerCommand(program)
  addBackupCommands(program)
}
