// Starts one gateway from a configuration: environment, file, store, log, server. Used by `serve` and `demo`.
import { join } from 'node:path'
import { createTurnout, type Turnout } from '../app.ts'
import { checkBinding } from '../config/binding.ts'
import { freezeDeep } from '../config/freeze.ts'
import type { Live } from '../config/live.ts'
import { parseConfig } from '../config/load.ts'
import { ConfigError, type ConfigProblem } from '../config/problem.ts'
import type { Watch } from '../config/watch.ts'
import type { ListeningServer } from '../http/server.ts'
import type { DiskPlace } from '../state/cache/disk.ts'
import { createKeyring, type Keyring } from '../state/keyring.ts'
import { createTurn } from '../state/turn.ts'
import { discardAnswers, openAnswerFile } from '../store/answerFile.ts'
import { type Audit, openAudit } from '../store/audit.ts'
import { openDeliveries } from '../store/deliveries.ts'
import { driverTrouble } from '../store/driver.ts'
import { describeDamage } from '../store/journalReplay.ts'
import { makeKeyStore } from '../store/keys.ts'
import { leapOf } from '../store/leap.ts'
import { type Ledger, openLedger } from '../store/ledger.ts'
import { timeOf } from '../store/ledgerId.ts'
import { openStore, type Store } from '../store/open.ts'
import { lastId } from '../store/orphans.ts'
import { openReader, type Reader } from '../store/reader.ts'
import { describeRestore } from '../store/restore.ts'
import { openRollouts } from '../store/rollouts.ts'
import { openSavedAlerts, type SavedAlerts } from '../store/savedAlerts.ts'
import { openSavedHealth, type SavedTarget, type SavedTargets } from '../store/savedHealth.ts'
import { findSecret, hashUser, loadSecret } from '../store/secret.ts'
import { showLedger } from '../telemetry/ledgerMetrics.ts'
import { createLog, type Log } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createTokenCounter } from '../telemetry/tokens/counter.ts'
import { createSpanExporter, type SpanExporter } from '../telemetry/trace/exporter.ts'
import { createSender, type Sender } from '../telemetry/webhook/sender.ts'
import { showWebhooks } from '../telemetry/webhook/webhookMetrics.ts'
import { version } from '../version.ts'
import { watchClock } from './clockWatch.ts'
import { bindingOf, openLive, overridesOf, readBase, watchConfig } from './liveConfig.ts'
import { type Retention, startRetention } from './retention.ts'

export interface RunOptions {
  config?: string | undefined
  envFile?: string | undefined
  port?: number | undefined
  host?: string | undefined
  /** Descriptor of a socket that listens already, in place of host and port. */
  socket?: number | undefined
  insecure?: boolean | undefined
  dataDir?: string | undefined
  /** Stands over the process's own environment. */
  env?: Readonly<Record<string, string>> | undefined
  /** Uniform in [0, 1), for arms, waits and lives of answers; tests hand in their own. */
  random?: (() => number) | undefined
}

export interface Running {
  readonly turnout: Turnout
  readonly server: ListeningServer
  readonly log: Log
  /** The file in use; undefined when the providers come from the environment. */
  readonly file: string | undefined
  readonly live: Live
  readonly audit: Audit
  /** The virtual keys. */
  readonly keyring: Keyring
  /**
   * Reads file and environment again, as also happens when one of them changes. An invalid configuration is refused with all its errors
   * in the log, and the old one serves on. Never rejects.
   */
  reload(): Promise<void>
  /** Drains and closes everything. Resolves to the number of connections that had to be cut off. */
  stop(): Promise<number>
}

/** A fault is told with these warnings: a line that sets nothing may be why something is missing. @throws ConfigError */
function tellingToo<Made>(warnings: readonly ConfigProblem[], make: () => Made): Made {
  try {
    return make()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new ConfigError([...error.problems, ...warnings], error.file)
  }
}

/**
 * @throws ConfigError with every problem of the configuration; StoreError when the database is held by another process or broken;
 * Error when the port is taken or the binding is refused
 */
export async function run(options: RunOptions): Promise<Running> {
  const base = readBase(options)
  const { file, env, text } = base
  // Says where the database is, in which the rest may stand.
  const loaded = tellingToo(base.envWarnings ?? [], () => {
    const parsed = parseConfig(text, { file, env, version: 1, overrides: overridesOf(options) })
    const refusal = checkBinding(parsed.snapshot, bindingOf(options))
    if (refusal) throw new ConfigError([{ path: '', line: 0, column: 0, message: refusal }])
    return parsed
  })
  const { snapshot } = loaded
  const { level, file: logFile, format } = snapshot.log
  const pretty = logFile === undefined && (format === 'pretty' || (format === 'auto' && process.stdout.isTTY === true))
  const log = createLog({ level, file: logFile, pretty })
  const metrics = createMetrics({ version })
  const commitTimes = metrics.histogram('ledgerCommit').row()
  const tokens = createTokenCounter()
  let store: Store | undefined
  let ledger: Ledger | undefined
  let reader: Reader | undefined
  let retention: Retention | undefined
  let unwatchClock: (() => void) | undefined
  let watch: Watch | undefined
  let exporter: SpanExporter | undefined
  let sender: Sender | undefined
  let alertMemory: SavedAlerts | undefined
  // The readers first: a database is closed last by whoever writes to it.
  const closeAll = async (): Promise<void> => {
    metrics.close()
    await watch?.stop()
    unwatchClock?.()
    await retention?.stop()
    await sender?.stop()
    await exporter?.close()
    await alertMemory?.settled()
    await reader?.close()
    await ledger?.close()
    store?.close()
    await tokens.close()
  }
  const turn = createTurn()
  try {
    let migratingSince = 0
    store = openStore({
      file: snapshot.ledger.file,
      version,
      migrating(from, to) {
        migratingSince = performance.now()
        log.warn(
          `the database is brought from schema ${from} to ${to}: older versions of Turnout cannot open it from then on`,
          {
            event: 'migration',
            file: snapshot.ledger.file,
          },
        )
      },
    })
    const trouble = driverTrouble()
    if (trouble !== undefined) log.warn(trouble, { event: 'driver' })
    if (migratingSince > 0)
      log.info('the database is up to date', { event: 'migration', ms: Math.round(performance.now() - migratingSince) })
    if (store.brokenRestore)
      log.warn(describeRestore(store.file, store.brokenRestore), { event: 'restore', file: store.brokenRestore.kept })
    if (store.migrated[0] !== 1 && !findSecret(snapshot.dataDir, env))
      log.warn(
        'the secret of this installation is gone, and another one is made: virtual keys of before open nothing, and users of before are not found',
        { event: 'secret', file: snapshot.dataDir },
      )
    const secret = loadSecret(snapshot.dataDir, env)
    ledger = openLedger(store, {
      soon: (commit) => turn.at('commit', commit),
      mode: snapshot.ledger.mode,
      onLedgerFailure: snapshot.ledger.onFailure,
      onCommit: (ms) => commitTimes.observe(ms / 1000),
      onTrouble: (error, count) =>
        log.error(`the ledger cannot write: ${error.message}`, { event: 'ledger', count, error }),
    })
    if (ledger.stats.orphans > 0) {
      log.warn('calls of a run that died were settled by estimate', { event: 'orphans', count: ledger.stats.orphans })
    }
    if (ledger.stats.recovered > 0) {
      log.warn('rows of a run that died were brought in from its journal', {
        event: 'journal',
        count: ledger.stats.recovered,
      })
    }
    if (ledger.stats.damagedJournal)
      log.error(describeDamage(store.file, ledger.stats.damagedJournal), {
        event: 'journal',
        file: ledger.stats.damagedJournal.kept,
      })
    showLedger(metrics, ledger.stats, store.file)
    reader = openReader(store.file, ledger.bringIn)
    const saved = openSavedHealth(store)
    const audit = openAudit(store)
    const live = await openLive(options, {
      first: { base, loaded },
      store,
      secret,
      log,
      metrics,
      host: snapshot.server.host,
      swap: (next) => turnout.swap(next),
      // Another one of the same version: it takes up a refreshed price list, and calls that run keep the prices that they began with.
      again: (same) => turnout.swap(freezeDeep({ ...same })),
    })
    log.level = live.snapshot.log.level
    const shelf = openDeliveries(store)
    alertMemory = openSavedAlerts(store, (error) =>
      log.warn('what was told of an alert could not be stored', { event: 'unsaved', error }),
    )
    sender = createSender({
      shelf,
      webhooks: () => live.snapshot.webhooks,
      log,
      counted: showWebhooks(
        metrics,
        () => live.snapshot.webhooks.keys(),
        () => shelf.counts(),
      ),
      userAgent: `Turnout/${version}`,
    })
    for (const warning of live.state().warnings) log.warn(warning, { event: 'configuration' })
    const keyring = createKeyring(makeKeyStore(store), secret, {
      unreadable: ({ name }) =>
        log.error(`the limits of key ${name} cannot be read: it is not let in`, { event: 'key', key: name }),
    })
    const spans = metrics.counter('traceSpans').row()
    const { otlp } = live.snapshot.trace
    exporter =
      otlp &&
      createSpanExporter({
        ...otlp,
        version,
        counted: (outcome, count) => {
          spans[['exported', 'failed', 'dropped'].indexOf(outcome)]! += count
        },
        trouble: (error) => log.warn('spans could not be sent to the collector', { event: 'trace', error }),
      })
    const turnout: Turnout = createTurnout({
      snapshot: live.snapshot,
      log,
      metrics,
      turn,
      insecure: options.insecure ?? false,
      socket: options.socket,
      ...(options.random ? { random: options.random } : {}),
      ledger,
      reader,
      hashUser: (user) => hashUser(secret, user),
      keyring,
      tokens,
      control: { live, audit },
      sender,
      rollouts: { keeper: openRollouts(store), secret },
      alertMemory,
      exporter,
      cachePlace: placeOfCache(join(snapshot.dataDir, 'cache.db'), log),
      onTransition(target, { to, reason, until }) {
        // No start takes up a target of a name that a client has made up; its row would stay for nothing.
        if (to !== 'closed' && !turnout.snapshot.targets.has(target)) return
        saved
          .save({ target, state: to, reason, until })
          .catch((error) => log.warn(`the breaker of ${target} could not be stored`, { event: 'unsaved', error }))
      },
    })
    await restoreHealth(turnout, saved)
    const reload = (): Promise<void> =>
      live.reload().then(
        () => {},
        // Refused, with its problems: the log has been told.
        () => {},
      )
    watch = await watchConfig(options, file, reload)
    const server = await turnout.listen()
    sender.wake()
    const { db } = store
    unwatchClock = watchClock({ log, newest: () => timeOf(lastId(db, Date.now())) })
    retention = startRetention({
      keeper: ledger.keeper,
      days: () => turnout.snapshot.ledger.retentionDays,
      traceHours: () => turnout.snapshot.trace.retentionHours,
      leap: leapOf(store),
      log,
    })
    log.info('listening', {
      event: 'listening',
      host: server.host,
      port: server.port,
      config: live.snapshot.version,
    })
    return {
      turnout,
      server,
      log,
      file,
      live,
      audit,
      keyring,
      reload,
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

/**
 * Takes up which targets were shut, and forgets those that are in no configuration any more: but for what was switched off. It stays so
 * until somebody switches it on, also where a configuration of between did not have it.
 */
async function restoreHealth({ health, snapshot }: Turnout, saved: SavedTargets): Promise<void> {
  const targets = saved.list()
  const counts = ({ target, state }: SavedTarget): boolean => state === 'disabled' || snapshot.targets.has(target)
  health.restore(targets.filter(counts))
  for (const gone of targets) if (!counts(gone)) await saved.save({ ...gone, state: 'closed' })
}

/** A file of its own, so that what happens to it never happens to the ledger. */
function placeOfCache(file: string, log: Log): DiskPlace {
  const told = (text: string, error?: unknown): void =>
    log.warn(`${text} (${file})`, { event: 'cache', ...(error === undefined ? {} : { error }) })
  return {
    open: (size) => openAnswerFile({ file, size, told }),
    discard: () => discardAnswers(file).catch((error) => told("the response cache's file could not be deleted", error)),
  }
}

function explainListenError(error: unknown, port: number): unknown {
  const { code, port: taken = port } = error as NodeJS.ErrnoException & { port?: number }
  if (code === 'EADDRINUSE' && taken !== port)
    return new Error(`Port ${taken} of \`metrics.port\` is taken by another process: choose another.`)
  if (code === 'EADDRINUSE')
    return new Error(`Port ${port} is taken by another process: choose another with --port or PORT.`)
  if (code === 'EACCES')
    return new Error(`Port ${port} needs rights that this process does not have: choose one above 1023.`)
  return error
}
