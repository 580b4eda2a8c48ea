// Ties the live configuration to this process: its file and environment, its database, its log, the watch on its files.
import { statSync } from 'node:fs'
import { devNull } from 'node:os'
import { resolve } from 'node:path'
import { checkBinding } from '../config/binding.ts'
import { readEnv } from '../config/env.ts'
import { type Base, type Live, type LiveEvent, type LiveOptions, startLive } from '../config/live.ts'
import { findConfigFile, readText, requireRegular } from '../config/load.ts'
import { createRedactor } from '../config/redaction.ts'
import type { Snapshot } from '../config/snapshot.ts'
import { startWatch, type Watch } from '../config/watch.ts'
import { openConfigVersions } from '../store/configVersions.ts'
import type { Store } from '../store/open.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { RunOptions } from './run.ts'

/**
 * What the command line, the files and the environment say now.
 * @param held the file that is served: one that is gone is a fault, and no wish to be served by the environment alone
 * @throws ConfigError
 */
export function readBase(options: RunOptions, held?: string): Base {
  const { env, warnings } = readEnv({ processEnv: { ...process.env, ...options.env }, envFile: options.envFile })
  const file = findConfigFile(options.config, env) ?? held
  return { file, env, text: readText(file, env), envWarnings: warnings }
}

/** The files of variables, whether they are there or not. */
const envFilesOf = ({ envFile }: RunOptions): string[] =>
  ['.env', ...(envFile === undefined ? [] : [envFile])].map((file) => resolve(file))

/** Put in a file's place so that there is none: to read it waits for nobody. */
const isNull = (file: string): boolean => statSync(file, { throwIfNoEntry: false })?.rdev === statSync(devNull).rdev

/** As `readBase`, while requests are served: a pipe may be read at the start, as of `<(…)`, and never again. */
function readAgain(options: RunOptions, held: string | undefined): Base {
  for (const file of envFilesOf(options)) if (!isNull(file)) requireRegular(file)
  const { env } = readEnv({ processEnv: { ...process.env, ...options.env }, envFile: options.envFile })
  requireRegular(findConfigFile(options.config, env) ?? held)
  return readBase(options, held)
}

/** What the command line says. */
export const overridesOf = ({ port, host, dataDir }: RunOptions) => ({ port, host, dataDir })

/** Who may be served without a key, as the command line has it. */
export const bindingOf = ({ insecure = false, socket }: RunOptions) => ({ insecure, isHanded: socket !== undefined })

export interface LiveParts {
  readonly first: LiveOptions['first']
  readonly store: Store
  /** The installation's secret: marks of redacted secrets are made with it. */
  readonly secret: Buffer
  readonly log: Log
  readonly metrics: Metrics
  /** The address that is bound, whatever later configurations say. */
  readonly host: string
  swap(next: Snapshot): void
  again(same: Snapshot): void
}

/** @throws ConfigError */
export function openLive(options: RunOptions, parts: LiveParts): Promise<Live> {
  const { first, store, secret, log, metrics, host, swap, again } = parts
  const held = first?.base.file
  return startLive({
    read: () => readAgain(options, held),
    first,
    overrides: overridesOf(options),
    memory: openConfigVersions(store),
    redactor: createRedactor(secret),
    // Only here: the level of a log is its own, not the snapshot's.
    swap(next) {
      swap(next)
      log.level = next.log.level
    },
    again,
    refuse: (snapshot) => checkBinding({ ...snapshot, server: { ...snapshot.server, host } }, bindingOf(options)),
    told(event) {
      if (event.kind === 'swapped' || event.kind === 'refused')
        metrics.counter('configSwaps').row()[event.kind === 'swapped' ? 0 : 1]!++
      note(log, event)
    },
  })
}

/**
 * Reads the configuration again whenever its file or an env file changes.
 * @param file the one that is served, if there is one
 */
export function watchConfig(
  options: RunOptions,
  file: string | undefined,
  reload: () => Promise<void>,
): Promise<Watch> {
  const files = [...(file === undefined ? [] : [resolve(file)]), ...envFilesOf(options)]
  return startWatch({ files: [...new Set(files)], changed: reload })
}

const whyLost = {
  file: 'the file has changed and wins',
  written: 'another document was put in their place',
  invalid: 'they cannot be served any more, and the file is served as it is',
}

function note(log: Log, event: LiveEvent): void {
  switch (event.kind) {
    case 'swapped':
      for (const warning of event.warnings) log.warn(warning, { event: 'configuration' })
      log.info('configuration swapped', { event: 'swapped', config: event.version, hash: event.hash })
      return
    case 'unchanged':
      for (const warning of event.warnings) log.warn(warning, { event: 'configuration' })
      return
    case 'refused':
      log.error('the new configuration was refused; the old one serves on', {
        event: 'refused',
        problems: [...event.problems],
      })
      return
    case 'lost':
      log.warn(`${whyLost[event.why]}: these admin writes count no more: ${event.changes.join(', ')}`, {
        event: 'overlay_lost',
      })
      return
    case 'bypass':
      log.warn(`bypass ${event.on ? 'on' : 'off'} by ${event.actor}: ${event.reason}`, { event: 'bypass' })
      return
    case 'unsaved':
      log.error(`${event.what} holds, but could not be stored: it ends with this process`, {
        event: 'unsaved',
        error: event.error,
      })
  }
}
