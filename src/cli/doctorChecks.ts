// The single checks of `turnout doctor`. None of them prints a secret, calls a model, or changes anything: but a restore that died is ended, as by
// whoever opens the database.
import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { checkBinding } from '../config/binding.ts'
import { shownProxy } from '../config/egress.ts'
import { readEnv } from '../config/env.ts'
import type { Env } from '../config/interpolation.ts'
import { findConfigFile, type Loaded, loadConfig } from '../config/load.ts'
import { ConfigError, formatProblem } from '../config/problem.ts'
import type { Provider, Snapshot } from '../config/snapshot.ts'
import { driverRelease, driverTrouble, loadDriver, StoreError } from '../store/driver.ts'
import { describeHolder, isHeld } from '../store/lock.ts'
import { isOlder, packageMigrations, readMigrations } from '../store/migrate.ts'
import { findSecret } from '../store/secret.ts'
import { openCommandStore } from './ledgerFile.ts'
import { askModels } from './upstreamProbe.ts'

export interface CheckOptions {
  config?: string | undefined
  envFile?: string | undefined
}

export interface Finding {
  check: string
  state: 'ok' | 'warn' | 'fail'
  message: string
  /** What to do about it. */
  remedy?: string
}

/** Node's oldest supported release, as in package.json. */
const oldestNode = [20, 19] as const
/** Below this much room the ledger will soon be unable to write; below a tenth of it, it may be now. */
const roomBytes = 1024 ** 3

/** Runs all checks, upstreams at the same time. Without a usable configuration only what needs none is checked. */
export async function runChecks(options: CheckOptions): Promise<Finding[]> {
  const findings = [checkNode(process.versions.node), checkDriver()]
  const config = checkConfig(options, findings)
  if (!config) return findings
  const { snapshot, env } = config
  // The ledger's folder: `ledger.file` may lie elsewhere than the rest of the data.
  const folder = dirname(snapshot.ledger.file)
  findings.push(checkDataFolder(folder), checkDisk(folder))
  findings.push(checkDatabase(snapshot.ledger.file), checkSecret(snapshot, env), await checkPort(snapshot))
  const { port, host } = snapshot.metrics
  if (port !== undefined) findings.push(await checkPort({ server: { port, host } }, 'metrics.port'))
  for (const provider of snapshot.providers.values()) findings.push(checkKey(provider))
  findings.push(...(await Promise.all([...snapshot.providers.values()].map((one) => checkUpstream(one, snapshot)))))
  return findings
}

export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const old = major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])
  if (!old) return { check: 'node', state: 'ok', message: `version ${version}` }
  const remedy = `install Node ${oldestNode.join('.')} or newer`
  return { check: 'node', state: 'fail', message: `version ${version} is too old`, remedy }
}

function checkDriver(): Finding {
  try {
    loadDriver()
    const remedy = driverTrouble()
    if (remedy !== undefined)
      return { check: 'sqlite', state: 'warn', message: 'better-sqlite3 does not suit this Node', remedy }
    return { check: 'sqlite', state: 'ok', message: `${driverRelease()} loads` }
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    return { check: 'sqlite', state: 'fail', message: 'better-sqlite3 does not load', remedy: error.message }
  }
}

function checkConfig(
  { config, envFile }: CheckOptions,
  findings: Finding[],
): { snapshot: Loaded['snapshot']; env: Env } | undefined {
  let file: string | undefined
  try {
    const { env, warnings } = readEnv({ processEnv: process.env, envFile })
    for (const warning of warnings)
      findings.push({ check: 'environment', state: 'warn', message: formatProblem(warning) })
    file = findConfigFile(config, env)
    const loaded = loadConfig({ file, env, version: 1 })
    const source = file ?? 'providers from the environment'
    findings.push({ check: 'config', state: 'ok', message: `${source}, ${loaded.snapshot.routes.size} routes` })
    for (const warning of loaded.warnings) {
      findings.push({ check: 'config', state: 'warn', message: formatProblem(warning, file) })
    }
    const refusal = checkBinding(loaded.snapshot, {})
    if (refusal) findings.push({ check: 'config', state: 'fail', message: refusal })
    return { snapshot: loaded.snapshot, env }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const problem of error.problems) {
      findings.push({ check: 'config', state: 'fail', message: formatProblem(problem, error.file) })
    }
    return undefined
  }
}

/** Looks at the folder, or at the nearest one above it that exists: `serve` creates what is missing. */
export function checkDataFolder(folder: string): Finding {
  const existing = nearestExisting(folder)
  const missing = existing === folder ? '' : ' (does not exist yet; will be created)'
  const remedy = 'give this user the right to write there, or set `dataDir` or `ledger.file`'
  if (!statSync(existing).isDirectory()) {
    return { check: 'data folder', state: 'fail', message: `${existing} is not a folder`, remedy }
  }
  try {
    accessSync(existing, constants.W_OK | constants.X_OK)
    return { check: 'data folder', state: 'ok', message: `${folder} is writable${missing}` }
  } catch {
    return { check: 'data folder', state: 'fail', message: `${existing} is not writable`, remedy }
  }
}

export function checkDisk(folder: string, room = roomBytes): Finding {
  const { bavail, bsize } = statfsSync(nearestExisting(folder))
  const free = bavail * bsize
  const message = `${(free / 1024 ** 3).toFixed(1)} GB free`
  if (free >= room) return { check: 'disk', state: 'ok', message }
  return {
    check: 'disk',
    state: free < room / 10 ? 'fail' : 'warn',
    message,
    remedy: 'make room: the ledger only grows',
  }
}

/** What a start would refuse of the database: one that another process writes, that is damaged, a newer version's or another program's. */
export function checkDatabase(file: string): Finding {
  const check = 'database'
  const size = statSync(file, { throwIfNoEntry: false })?.size
  if (size === undefined) return { check, state: 'ok', message: `${file} does not exist yet; will be created` }
  if (size === 0)
    return { check, state: 'warn', message: `${file} is empty`, remedy: 'restore a backup if it should not be' }
  try {
    if (existsSync(`${file}.lock`) && isHeld(file)) return { check, state: 'fail', message: describeHolder(file) }
    const store = openCommandStore({ file, readonly: true })
    const older = isOlder(store.db, readMigrations(packageMigrations))
    store.close()
    if (!older) return { check, state: 'ok', message: `${file} opens; \`turnout ledger verify\` reads the whole of it` }
    const message = `${file} is of an older version: a start upgrades it, and older versions cannot open it from then on`
    return { check, state: 'warn', message, remedy: 'make a backup with the older version first' }
  } catch (error) {
    return { check, state: 'fail', message: (error as Error).message }
  }
}

/** Where it is lost a start makes another one, and says so; that is better known before. */
export function checkSecret(
  { dataDir, ledger }: Pick<Snapshot, 'dataDir'> & { readonly ledger: { readonly file: string } },
  env: Env,
): Finding {
  const check = 'secret'
  try {
    const found = findSecret(dataDir, env) !== undefined
    if (found || !existsSync(ledger.file))
      return { check, state: 'ok', message: found ? 'there is one' : 'does not exist yet; will be created' }
    const message = `there is a database, but no ${join(dataDir, 'secret')} and no TURNOUT_SECRET: with another one no virtual key opens, and no user's rows are found`
    return { check, state: 'warn', message, remedy: 'put it back from its backup before the next start' }
  } catch (error) {
    return { check, state: 'fail', message: (error as Error).message }
  }
}

/** Binds the port for a moment. Port 0 is whatever is free. `check` is what the finding is called. */
export async function checkPort(
  { server }: { readonly server: Pick<Snapshot['server'], 'port' | 'host'> },
  check = 'port',
): Promise<Finding> {
  const { port, host } = server
  const probe = createServer()
  const failed = await new Promise<NodeJS.ErrnoException | undefined>((done) => {
    probe.once('error', done)
    probe.listen(port, host, () => probe.close(() => done(undefined)))
  })
  if (!failed) return { check, state: 'ok', message: `${host}:${port} is free` }
  const other = check === 'port' ? 'PORT or `server.port`' : `\`${check}\``
  const what =
    failed.code === 'EADDRINUSE'
      ? {
          message: `${host}:${port} is taken`,
          remedy: `end what listens there (perhaps Turnout itself), or set ${other}`,
        }
      : { message: `${host}:${port} cannot be bound (${failed.code})`, remedy: `choose another host, or set ${other}` }
  return { check, state: 'fail', ...what }
}

/** Names where the key comes from, never a part of it. */
function checkKey({ name, kind, apiKey, keyFrom }: Provider): Finding {
  const check = `key ${name}`
  if (apiKey !== undefined) {
    return { check, state: 'ok', message: keyFrom === 'file' ? 'set in the configuration' : `set by ${keyFrom}` }
  }
  if (kind.keyless) return { check, state: 'ok', message: 'none, and none is needed' }
  return { check, state: 'warn', message: 'none', remedy: `set ${kind.keyEnv.join(' or ')}` }
}

/** An upstream that a route needs must answer; of the others it is good to know. */
async function checkUpstream(provider: Provider, snapshot: Snapshot): Promise<Finding> {
  const check = `upstream ${provider.name}`
  const used = [...snapshot.routes.values()].some(({ targets }) => targets.some((one) => one.provider === provider))
  const bad = used || snapshot.source === 'environment' ? 'fail' : 'warn'
  const way = provider.proxy === undefined ? '' : ` through the proxy ${shownProxy(provider.proxy)}`
  const answer = await askModels(provider)
  if ('failure' in answer) {
    const remedy = `check the address ${provider.origin}, DNS, firewall and proxy`
    return { check, state: bad, message: `not reachable${way}: ${answer.failure}`, remedy }
  }
  const { status, ms } = answer
  if (answer.refusesKey) {
    return {
      check,
      state: bad,
      message: `refuses the key (HTTP ${status})`,
      remedy: `renew ${provider.keyFrom === 'file' ? `providers.${provider.name}.apiKey` : (provider.keyFrom ?? 'the key')}`,
    }
  }
  if (status >= 500)
    return { check, state: 'warn', message: `reachable, but answers HTTP ${status}`, remedy: 'try again later' }
  if (status >= 300 && status < 400) {
    const remedy = 'redirects are not followed: set `baseUrl` to where it points'
    return { check, state: bad, message: `redirects (HTTP ${status})`, remedy }
  }
  return { check, state: 'ok', message: `reachable${way} (HTTP ${status}, ${ms} ms)` }
}

function nearestExisting(folder: string): string {
  let path = folder
  while (!existsSync(path) && dirname(path) !== path) path = dirname(path)
  return path
}
