// Starts one gateway from a configuration: environment, file, store, log, server. Used by `serve` and `demo`.
import { createTurnout, type Turnout } from '../app.ts'
import { checkBinding } from '../config/binding.ts'
import { readEnv } from '../config/env.ts'
import type { Env } from '../config/interpolation.ts'
import { findConfigFile, type Loaded, loadConfig } from '../config/load.ts'
import { ConfigError, formatProblem } from '../config/problem.ts'
import type { ListeningServer } from '../http/server.ts'
import { type Ledger, openLedger } from '../store/ledger.ts'
import { openStore, type Store } from '../store/open.ts'
import { openReader, type Reader } from '../store/reader.ts'
import { hashUser, loadSecret } from '../store/secret.ts'
import { showLedger } from '../telemetry/ledgerMetrics.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createTokenCounter } from '../telemetry/tokens/counter.ts'
import { version } from '../version.ts'
import { type Retention, startRetention } from './retention.ts'

export interface RunOptions {
  config?: string | undefined
  envFile?: string | undefined
  port?: number | undefined
  host?: string | undefined
  insecure?: boolean | undefined
  dataDir?: string | undefined
  /** Stands over the process's own environment. */
  env?: Readonly<Record<string, string>> | undefined
}

export interface Running {
  readonly turnout: Turnout
  readonly server: ListeningServer
  readonly log: Log
  /** The file in use; undefined when the providers come from the environment. */
  readonly file: string | undefined
  /** Reads file and environment again. An invalid configuration is refused with all its errors, and the old one serves on. */
  reload(): void
  /** Drains and closes everything. Resolves to the number of connections that had to be cut off. */
  stop(): Promise<number>
}

/**
 * @throws ConfigError with every problem of the configuration; StoreError when the database is held by another process or broken;
 * Error when the port is taken or the binding is refused
 */
export async function run(options: RunOptions): Promise<Running> {
  const { file, env, loaded } = load(options, 1)
  const { snapshot } = loaded
  const refusal = checkBinding(snapshot, { insecure: options.insecure ?? false })
  if (refusal) throw new ConfigError([{ path: '', line: 0, column: 0, message: refusal }])
  const log = createLog({ level: snapshot.log.level })
  warn(log, loaded, file)
  const metrics = createMetrics({ version })
  const tokens = createTokenCounter()
  let store: Store | undefined
  let ledger: Ledger | undefined
  let reader: Reader | undefined
  let retention: Retention | undefined
  // The readers first: a database is closed last by whoever writes to it.
  const closeAll = async (): Promise<void> => {
    metrics.close()
    await retention?.stop()
    await reader?.close()
    await ledger?.close()
    store?.close()
    await tokens.close()
  }
  try {
    store = openStore({ file: snapshot.ledger.file, version })
    const secret = loadSecret(snapshot.dataDir, env)
    ledger = openLedger(store, {
      mode: snapshot.ledger.mode,
      onLedgerFailure: snapshot.ledger.onFailure,
      onTrouble: (error, count) =>
        log.error(`the ledger cannot write: ${error.message}`, { event: 'ledger', count, error }),
    })
    if (ledger.stats.orphans > 0) {
      log.warn('calls of a run that died were settled by estimate', { event: 'orphans', count: ledger.stats.orphans })
    }
    showLedger(metrics, ledger.stats)
    reader = openReader(store.file)
    const turnout = createTurnout({
      snapshot,
      log,
      metrics,
      insecure: options.insecure ?? false,
      ledger,
      reader,
      hashUser: (user) => hashUser(secret, user),
      tokens,
    })
    const server = await turnout.listen()
    retention = startRetention({
      keeper: ledger.keeper,
      days: () => turnout.snapshot.ledger.retentionDays,
      log,
    })
    log.info('listening', {
      event: 'listening',
      host: snapshot.server.host,
      port: server.port,
      config: snapshot.version,
    })
    return {
      turnout,
      server,
      log,
      file,
      reload: () => reload(options, turnout, log),
      async stop() {
        const cut = await turnout.close()
        await closeAll()
        log.info('stopped', { event: 'stopped', count: cut })
        await log.flush()
        return cut
      },
    }
  } catch (error) {
    await closeAll()
    throw explainListenError(error, snapshot.server.port)
  }
}

function load(options: RunOptions, version: number): { file: string | undefined; env: Env; loaded: Loaded } {
  const { env } = readEnv({ processEnv: { ...process.env, ...options.env }, envFile: options.envFile })
  const file = findConfigFile(options.config, env)
  const overrides = { port: options.port, host: options.host, dataDir: options.dataDir }
  return { file, env, loaded: loadConfig({ file, env, version, overrides }) }
}

function reload(options: RunOptions, turnout: Turnout, log: Log): void {
  try {
    const { file, loaded } = load(options, turnout.snapshot.version + 1)
    turnout.swap(loaded.snapshot)
    log.level = loaded.snapshot.log.level
    warn(log, loaded, file)
    log.info('configuration swapped', { event: 'swapped', config: loaded.snapshot.version, hash: loaded.snapshot.hash })
  } catch (error) {
    const problems =
      error instanceof ConfigError ? error.problems.map((problem) => formatProblem(problem, error.file)) : []
    log.error('the new configuration was refused; the old one serves on', { event: 'refused', problems, error })
  }
}

function warn(log: Log, { warnings }: Loaded, file: string | undefined): void {
  for (const warning of warnings) log.warn(formatProblem(warning, file), { event: 'configuration' })
}

function explainListenError(error: unknown, port: number): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE')
    return new Error(`Port ${port} is taken by another process: choose another with --port or PORT.`)
  if (code === 'EACCES')
    return new Error(`Port ${port} needs rights that this process does not have: choose one above 1023.`)
  return error
}
