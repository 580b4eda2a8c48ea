// Loads a configuration: text to frozen snapshot, or every problem at once.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { buildAlerts } from './alertSettings.ts'
import { buildCache } from './cacheSettings.ts'
import { buildClientJwt } from './clientJwtSettings.ts'
import { defaults } from './defaults.ts'
import { readDocument } from './document.ts'
import { readEgress } from './egress.ts'
import { firstSet } from './env.ts'
import { envRoute, modelsOfEnv } from './envRoute.ts'
import { freezeDeep } from './freeze.ts'
import type { Env } from './interpolation.ts'
import { buildJwt } from './jwtSettings.ts'
import { buildKeys } from './keySettings.ts'
import { readLegacy } from './legacyEnv.ts'
import { buildLimits } from './limitSettings.ts'
import { buildLog, buildObservability } from './observabilitySettings.ts'
import { compareSpecificity, isPattern, patternOf } from './pattern.ts'
import { ConfigError, type ConfigProblem, formatPath, type Path, type Report } from './problem.ts'
import { buildProvider, discoverableVariables, discoverProviders } from './providerSettings.ts'
import { buildRollout, canaryOfEnv, readCanaryPercent } from './rolloutSettings.ts'
import type { RolloutDefinition } from './rolloutTypes.ts'
import { buildRoute, buildTargets, mergeOver } from './routeSettings.ts'
import type { Settings } from './schema.ts'
import { buildLogLevel, buildServer, type Overrides } from './serverSettings.ts'
import { checkShape, type Shape } from './shape.ts'
import type { BreakerSettings, LedgerSettings, Provider, RetrySettings, Route, Snapshot } from './snapshot.ts'
import { findMissingKeys, findWarnings } from './warning.ts'

export interface LoadOptions {
  /** Path of the configuration. Without one the providers come from the environment. */
  file?: string | undefined
  env: Env
  /** Number of the snapshot; rises with every swap. */
  version: number
  /** From the command line. */
  overrides?: Overrides | undefined
  /** For sunset warnings. */
  now?: Date | undefined
}

export interface Loaded {
  readonly snapshot: Snapshot
  readonly warnings: readonly ConfigProblem[]
}

/** The file to load: `--config`, else TURNOUT_CONFIG, else `turnout.yaml` in the working directory if there is one. */
export function findConfigFile(flag: string | undefined, env: Env, cwd: string = process.cwd()): string | undefined {
  const named = flag ?? firstSet(env, ['TURNOUT_CONFIG'])?.value
  if (named !== undefined) return named
  return existsSync(resolve(cwd, 'turnout.yaml')) ? 'turnout.yaml' : undefined
}

/** Loads a file, or what the environment describes. Throws `ConfigError` with all problems; nothing else is thrown. */
export function loadConfig({ file, ...options }: LoadOptions): Loaded {
  return parseConfig(readText(file, options.env), { ...options, file })
}

/** The text of a file, or without one the document that the environment describes. Throws `ConfigError`. */
export function readText(file: string | undefined, env: Env): string {
  if (file === undefined) {
    const found = discoverProviders(env)
    // The same document that a user would write by hand: no second way to build a snapshot.
    return JSON.stringify({ providers: Object.fromEntries(found.map((name) => [name, {}])), directModels: true })
  }
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    const message = code === 'ENOENT' ? 'does not exist' : `cannot be read: ${code}`
    throw new ConfigError([{ path: '', line: 0, column: 0, message }], file)
  }
}

/**
 * For a file that is read again while requests are served: to read a pipe that nobody writes to would stop them all.
 * @throws ConfigError
 */
export function requireRegular(file: string | undefined): void {
  const found = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false })
  if (!found || found.isFile() || found.isDirectory()) return
  const message = 'is a pipe or a device: a gateway reads its configuration again, so it has to be a file'
  throw new ConfigError([{ path: '', line: 0, column: 0, message }], file)
}

/** Names a document: SHA-256, first 12 hex digits. */
export const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12)

/** As `loadConfig`, for a text that is at hand already. `file` names it in problems; without it the source is the environment. */
export function parseConfig(text: string, options: LoadOptions): Loaded {
  const { file, env, version, overrides = {}, now = new Date() } = options
  const { document, problems } = readDocument(text, env)
  const taken = new Set(problems.map((problem) => problem.path).filter((path) => path !== ''))
  const place = (path: Parameters<Report>[0], part?: 'key' | 'value') =>
    file === undefined || isVariable(path[0]) ? { line: 0, column: 0 } : document.locate(path, part)
  const report: Report = (path, message, part) => {
    const shown = formatPath(path)
    // What could not be interpolated has been told of: that its text does not fit either is no news.
    if (!taken.has(shown)) problems.push({ path: shown, ...place(path, part), message })
  }
  const shape = document.data === undefined ? undefined : checkShape(document, report)
  const warnings: ConfigProblem[] = []
  const warn: Report = (path, message, part) => warnings.push({ path: formatPath(path), ...place(path, part), message })
  const snapshot = shape && buildSnapshot(shape, { text, env, version, overrides, file, report, warn })
  if (snapshot) findMissingKeys(snapshot, { report, warn })
  if (shape && snapshot && problems.length === 0) findWarnings(snapshot, shape.settings, { document, env, now, warn })
  if (!snapshot || problems.length > 0) throw new ConfigError(problems.sort(byPlace), file)
  return { snapshot: freezeDeep(snapshot), warnings: warnings.sort(byPlace) }
}

const byPlace = (a: ConfigProblem, b: ConfigProblem) => a.line - b.line || a.column - b.column

/** Problems of the environment carry the variable's name as their path: there is no line to point at. */
const isVariable = (step: string | number | undefined): boolean =>
  typeof step === 'string' && /^[A-Z][A-Z0-9_]*$/.test(step)

interface BuildOptions {
  text: string
  env: Env
  version: number
  overrides: Overrides
  file: string | undefined
  report: Report
  warn: Report
}

/** The file wins over TURNOUT_DB. */
function buildLedger(settings: Settings['ledger'], env: Env, dataDir: string): LedgerSettings {
  const file = settings?.file ?? firstSet(env, ['TURNOUT_DB'])?.value
  return {
    file: file === undefined ? join(dataDir, 'turnout.db') : resolve(file),
    mode: settings?.mode ?? defaults.ledger.mode,
    onFailure: settings?.onFailure ?? defaults.ledger.onFailure,
    retentionDays: settings?.retentionDays ?? defaults.ledger.retentionDays,
    refusalsPerSecond: settings?.refusalsPerSecond ?? defaults.ledger.refusalsPerSecond,
  }
}

/** Resolves names and fills gaps. What it returns may be served only if nothing was reported. */
function buildSnapshot({ settings, providerNames, targetIds, routeNames }: Shape, options: BuildOptions): Snapshot {
  const { text, env, version, overrides, file, report, warn } = options
  const legacy = readLegacy(env, settings)
  for (const { name, message } of legacy.notes) warn([name], message)
  const { gaps } = legacy
  const server = buildServer(settings.server, env, overrides, report)
  const level = buildLogLevel(settings.log, env, overrides, report)
  const dataDir =
    overrides.dataDir ?? settings.dataDir ?? firstSet(env, ['TURNOUT_DATA_DIR'])?.value ?? defaults.dataDir

  const listed = settings.providers ?? Object.fromEntries(discoverProviders(env).map((name) => [name, undefined]))
  const declared = providerNames ?? Object.keys(listed)
  if (declared.length === 0) {
    const message = `no provider: set one of ${discoverableVariables().join(', ')}, or list them under \`providers\` in turnout.yaml`
    report(file === undefined ? [] : ['providers'], message, 'key')
  }
  const proxyOf = readEgress(env, report)
  const providers = new Map<string, Provider>()
  for (const [name, provider] of Object.entries(listed)) {
    const fallback = provider?.fallback ?? gaps.providers?.[name]?.fallback
    const built = buildProvider(name, { ...provider, fallback }, { env, proxyOf, report })
    if (built) providers.set(name, built)
  }

  const breaker = mergeOver(mergeOver<BreakerSettings>(defaults.breaker, gaps.breaker), settings.breaker)
  const retries = mergeOver(mergeOver<RetrySettings>(defaults.retries, gaps.retries), settings.retries)
  const plans = buildTargets(settings.targets ?? {}, { providers, declared, breaker, report })
  const canaryPercent = readCanaryPercent(env, legacy, report)
  const base = { retries, fallback: settings.fallback ?? gaps.fallback ?? true, canaryPercent }
  const written = settings.routes ?? {}
  const parts = { plans, targetIds, providers, declared, breaker, routes: written, routeNames, base, report }
  const routes = new Map<string, Route>()
  for (const [name, route] of Object.entries(written)) {
    const built = buildRoute(name, route, parts)
    if (built) routes.set(name, built)
  }
  const models = modelsOfEnv({ env, legacy, providers, targetIds, written: routeNames.includes(envRoute), warn })
  if (models.length > 0) {
    const reportVariable: Report = (path, message) =>
      report([path[2] === 'canary' ? 'TURNOUT_CANARY_MODEL' : models[Number(path[3])]!.variable], message)
    const route = { targets: models.map(({ ref }) => ref), canary: canaryOfEnv(env) }
    const built = buildRoute(envRoute, route, { ...parts, report: reportVariable })
    if (built) routes.set(envRoute, built)
  }
  const rollouts = new Map<string, RolloutDefinition>()
  for (const [name, fields] of Object.entries(settings.rollouts ?? {})) {
    const checkTargets = (refs: readonly string[], path: Path): void => {
      // A route of no name: its targets are looked up as those of any other.
      const at: Report = (inner, message) => report(refs.length > 1 ? [...path, ...inner.slice(3)] : path, message)
      if (refs.length > 0) buildRoute('', { targets: [...refs] }, { ...parts, report: at })
    }
    const names = {
      routes: [...routeNames, ...routes.keys()],
      webhooks: Object.keys(settings.webhooks ?? {}),
      open: settings.directModels ?? false,
      report,
      checkTargets,
    }
    rollouts.set(name, buildRollout(name, fields, names))
  }
  const patterns = [...routes.values()]
    .filter(({ name }) => isPattern(name))
    .sort((a, b) => compareSpecificity(a.name, b.name))
    .map((route) => ({ pattern: patternOf(route.name), route }))

  const jwt = buildJwt(settings.admin, env, report)
  const keys = buildKeys(settings.keys ?? [], env, report, routeNames)
  const keyNames = new Set([...keys.values()].map(({ name }) => name))
  const names = {
    routes: [...routes.keys(), ...routeNames],
    targets: new Set([...plans.keys(), ...targetIds]),
    providers: declared,
    open: settings.directModels ?? false,
  }

  return {
    version,
    hash: hashOf(text),
    source: file === undefined ? 'environment' : 'file',
    bypass: false,
    breaker,
    retries,
    server,
    jwt,
    clientJwt: buildClientJwt(settings.auth, { admin: jwt, keyNames, routes: routeNames, proxyOf, report }),
    log: buildLog(settings.log, level),
    ...buildObservability(settings, { server, proxyOf, report }),
    dataDir: resolve(dataDir),
    ledger: buildLedger(settings.ledger, env, resolve(dataDir)),
    cache: buildCache(settings.cache),
    prices: settings.prices ?? {},
    providers,
    targets: new Map([...plans].map(([id, plan]) => [id, plan.target])),
    routes,
    patterns,
    directModels: settings.directModels ?? false,
    ...buildLimits(settings, names, { report, warn }),
    ...buildAlerts(settings, { ...names, budgets: Object.keys(settings.budgets ?? {}) }, { report, warn, proxyOf }),
    rollouts,
    keys,
  }
}
