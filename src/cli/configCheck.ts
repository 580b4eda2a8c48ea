// `turnout config check`: says everything that is wrong with a configuration, without starting anything.
import type { Command } from 'commander'
import { checkBinding } from '../config/binding.ts'
import { readEnv } from '../config/env.ts'
import { type Loaded, loadConfig } from '../config/load.ts'
import { ConfigError, type ConfigProblem, formatProblem } from '../config/problem.ts'
import { addHistoryCommands } from './configHistory.ts'
import { toJsonLine } from './output.ts'

interface CheckFlags {
  envFile?: string
  json?: boolean
}

export interface CheckReport {
  ok: boolean
  file: string
  errors: readonly ConfigProblem[]
  warnings: readonly ConfigProblem[]
}

/** Adds `config` with `check FILE` and what looks at earlier versions. `check`: exit code 0 when the file can be served, 1 when not; warnings do not count. */
export function addConfigCommand(program: Command): void {
  const config = program.command('config').description('work with configurations')
  const command = config
    .command('check')
    .description('check a configuration: prints file:line:column, path and message of every error, then the warnings')
    .argument('<file>', 'the configuration')
    .option('--env-file <file>', 'file of environment variables; `.env` is read in any case')
    .option('--json', 'print one JSON object')
    .action((file: string, flags: CheckFlags) => {
      const report = checkFile(file, flags.envFile)
      const write = command.configureOutput().writeOut!
      write(flags.json ? toJsonLine(report) : render(report))
      if (!report.ok) process.exitCode = 1
    })
  addHistoryCommands(config)
}

/** Loads as `serve` would, and collects instead of throwing. */
function checkFile(file: string, envFile?: string): CheckReport {
  let loaded: Loaded
  let read = file
  let strays: readonly ConfigProblem[] = []
  try {
    read = envFile ?? file
    const { env, warnings } = readEnv({ processEnv: process.env, envFile })
    strays = warnings
    read = file
    loaded = loadConfig({ file, env, version: 1 })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { ok: false, file: error.file ?? read, errors: error.problems, warnings: strays }
  }
  const refusal = checkBinding(loaded.snapshot, {})
  const binding = refusal === undefined ? [] : [{ path: 'server.host', line: 0, column: 0, message: refusal }]
  return { ok: true, file, errors: [], warnings: [...strays, ...loaded.warnings, ...binding] }
}

function render({ ok, file, errors, warnings }: CheckReport): string {
  const lines = errors.map((problem) => formatProblem(problem, file))
  for (const warning of warnings) lines.push(`warning: ${formatProblem(warning, file)}`)
  const count = (list: readonly unknown[], noun: string) => `${list.length} ${noun}${list.length === 1 ? '' : 's'}`
  lines.push(`${ok ? 'ok' : 'not usable'}: ${count(errors, 'error')}, ${count(warnings, 'warning')}`)
  return `${lines.join('\n')}\n`
}
