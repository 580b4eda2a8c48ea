// What is probably not meant in a configuration that is valid all the same.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import { providerKinds } from '../providers/index.ts'
import { isLoopback } from './binding.ts'
import { spellOut } from './chain.ts'
import type { SourceDocument } from './document.ts'
import { firstSet } from './env.ts'
import type { Env } from './interpolation.ts'
import { demoKey } from './keySettings.ts'
import type { BudgetSettings } from './limitTypes.ts'
import type { Path, Report } from './problem.ts'
import { resolveModel } from './resolve.ts'
import { findArm } from './rolloutArm.ts'
import type { ArmSpec } from './rolloutTypes.ts'
import type { Settings } from './schema.ts'
import type { Provider, Route, Snapshot, Target } from './snapshot.ts'

const dayMs = 86_400_000
/** How long before its retirement a model is warned about. */
const noticeDays = 30

/** A provider without the key that its kind needs: a fault where a route uses it, else only worth a word. */
export function findMissingKeys(snapshot: Snapshot, { report, warn }: { report: Report; warn: Report }): void {
  const used = usedBy(snapshot)
  for (const provider of snapshot.providers.values()) {
    if (provider.kind.keyless || provider.apiKey !== undefined) continue
    const route = used.providers.get(provider.name)
    const variable = provider.kind.keyEnv[0]
    const remedy = `set ${variable}, or \`apiKey\` here`
    // Behind an address of one's own there may be a server that wants no key, or gets it by `headers`.
    const tell = route !== undefined && isPublic(provider) ? report : warn
    const reason = route === undefined ? '' : ` and route "${route}" uses it`
    tell(['providers', provider.name], `${provider.kind.title} has no key${reason}: ${remedy}`, 'key')
  }
}

export interface WarningFacts {
  document: SourceDocument
  env: Env
  now: Date
  warn: Report
}

/** Reports what is probably a mistake in a valid configuration; it is served all the same. */
export function findWarnings(snapshot: Snapshot, settings: Settings, facts: WarningFacts): void {
  const { warn } = facts
  for (const route of snapshot.routes.values()) warnAboutFallbacks(route, warn)
  warnAboutSunsets(snapshot, settings, facts)
  warnAboutUnused(snapshot, settings, warn)
  warnAboutIdle(snapshot, settings, warn)
  warnAboutSecrets(settings, facts)
  warnAboutExpired(settings, facts)
  warnAboutLoops(snapshot, warn)
  warnAboutHalfSet(facts, snapshot)
  warnAboutForgotten(snapshot, settings, warn)
  warnAboutNothingToMove(snapshot, settings, warn)
  if (snapshot.routes.size === 0 && !snapshot.directModels) {
    warn([], 'nothing can be called: there are no `routes`, and `directModels` is off')
  }
}

function warnAboutFallbacks(route: Route, warn: Report) {
  const path = ['routes', route.name]
  if (route.targets.length === 1) {
    warn(path, 'has one target and no fallback: when that fails, the request fails', 'key')
    return
  }
  if (!route.fallback) return
  const [vendor, ...others] = new Set(route.targets.map(({ provider }) => vendorOf(provider)))
  if (others.length === 0)
    warn(path, `all its targets are at one vendor (${vendor}): an outage there takes them all`, 'key')
}

function warnAboutSunsets(snapshot: Snapshot, settings: Settings, { now, warn }: WarningFacts) {
  const told = new Set<string>()
  const look = (target: Target, path: Path) => {
    if (target.sunset === undefined || told.has(target.id)) return
    const days = Math.ceil((Date.parse(target.sunset) - now.getTime()) / dayMs)
    if (days > noticeDays) return
    told.add(target.id)
    const when = days <= 0 ? `was retired on ${target.sunset}` : `will be retired on ${target.sunset}, in ${days} days`
    warn(path, `${target.provider.kind.title}'s ${target.model} ${when}`)
  }
  for (const id of Object.keys(settings.targets ?? {})) look(snapshot.targets.get(id)!, ['targets', id, 'model'])
  for (const [name, written] of Object.entries(settings.routes ?? {})) {
    const { list, listPath } = spellOut(written, ['routes', name])
    list.forEach((id, index) => {
      const target = snapshot.targets.get(id)
      // Those of another route are looked at there.
      if (target) look(target, listPath(index))
    })
    const route = snapshot.routes.get(name)
    for (const key of ['onContextWindow', 'onContentPolicy'] as const)
      for (const target of route?.[key] ?? []) look(target, ['routes', name, key])
  }
}

function warnAboutUnused(snapshot: Snapshot, settings: Settings, warn: Report) {
  const used = usedBy(snapshot)
  for (const id of Object.keys(settings.targets ?? {})) {
    if (!used.targets.has(id)) warn(['targets', id], 'no route and no rollout uses this target', 'key')
  }
  // With direct models every provider can be called by its name.
  if (snapshot.directModels) return
  const inTargets = new Set([...snapshot.targets.values()].map(({ provider }) => provider.name))
  for (const name of Object.keys(settings.providers ?? {})) {
    if (!inTargets.has(name)) warn(['providers', name], 'no target uses this provider', 'key')
  }
}

/** Settings that say nothing to a provider of its kind. */
function warnAboutIdle(snapshot: Snapshot, settings: Settings, warn: Report) {
  for (const [name, written] of Object.entries(settings.providers ?? {})) {
    const { kind, dialect } = snapshot.providers.get(name)!
    const ownFormat = `changes nothing: ${kind.title} is asked in a format of its own`
    for (const key of ['capName', 'streamUsage', 'refusedFields'] as const)
      if (written?.[key] !== undefined && dialect !== 'openai-chat') warn(['providers', name, key], ownFormat)
    if (written?.apiVersion !== undefined && !kind.apiVersionEnv)
      warn(['providers', name, 'apiVersion'], `changes nothing: ${kind.title} is asked without one`)
  }
}

function warnAboutSecrets(settings: Settings, { document, warn }: WarningFacts) {
  const look = (path: Path, value: string | undefined, variable: string) => {
    if (value === undefined || document.origin(path) !== 'literal' || !looksSecret(value)) return
    warn(path, `looks like a real secret written into the file: put it into the environment and write \${${variable}}`)
  }
  for (const [name, provider] of Object.entries(settings.providers ?? {})) {
    const kind = providerKinds.get(provider?.kind ?? name)
    look(['providers', name, 'apiKey'], provider?.apiKey, kind?.keyEnv[0] ?? 'NAME')
    for (const [header, value] of Object.entries(provider?.headers ?? {})) {
      if (/auth|key|token|secret/i.test(header)) look(['providers', name, 'headers', header], value, 'NAME')
    }
  }
  for (const [name, { secret }] of Object.entries(settings.webhooks ?? {})) {
    secret.forEach((one, index) => {
      look(['webhooks', name, 'secret', ...(secret.length > 1 ? [index] : [])], one, 'WEBHOOK_SECRET')
    })
  }
  settings.keys?.forEach(({ key, role }, index) => {
    look(['keys', index, 'key'], key, role === 'admin' ? 'TURNOUT_MASTER_KEY' : 'APP_KEY')
  })
}

/** `OPENAI_BASE_URL` is also what apps set to reach a gateway: a gateway started with it would call itself. */
function warnAboutLoops(snapshot: Snapshot, warn: Report) {
  for (const provider of snapshot.providers.values()) {
    const { hostname, port } = new URL(provider.origin)
    if (isLoopback(hostname) && Number(port) === snapshot.server.port && snapshot.server.port !== 0) {
      warn(['providers', provider.name], "its base URL is Turnout's own address: calls would go in circles", 'key')
    }
  }
}

/** A key in the environment whose provider cannot be used, because its address is missing. */
function warnAboutHalfSet({ env, warn }: WarningFacts, snapshot: Snapshot) {
  if (snapshot.source === 'file') return
  for (const kind of providerKinds.values()) {
    const key = firstSet(env, kind.keyEnv)
    if (!key || kind.keyless || kind.baseUrl !== undefined || firstSet(env, kind.baseUrlEnv ?? [])) continue
    warn([key.name], `is set, but ${kind.title} also needs its address: set ${kind.baseUrlEnv?.[0]}`)
  }
}

/** Days of rows that a window needs. */
const windowDays = { minute: 1, hour: 1, day: 1, week: 7, month: 31, lifetime: Number.POSITIVE_INFINITY } as const

/** Daily sums, which stay for ever, know no users and no targets: what such budgets have spent comes back from rows. */
function warnAboutForgotten(snapshot: Snapshot, settings: Settings, warn: Report) {
  const { retentionDays } = snapshot.ledger
  if (retentionDays === 0) return
  const look = (budgets: readonly BudgetSettings[], pathOf: (budget: BudgetSettings) => Path) => {
    for (const budget of budgets) {
      const names: readonly string[] = [...budget.per, ...Object.keys(budget.only)]
      const by = ['user', 'target'].filter((name) => names.includes(name))
      if (by.length === 0 || windowDays[budget.window] <= retentionDays) continue
      const lost = `after a restart it knows nothing of what was spent more than ${retentionDays} days before`
      warn(pathOf(budget), `counts by ${by.join(' and ')} for longer than \`ledger.retentionDays\`: ${lost}`, 'key')
    }
  }
  look(snapshot.budgets, ({ name }) => ['budgets', name])
  for (const name of Object.keys(settings.routes ?? {}))
    look(snapshot.routes.get(name)?.budgets ?? [], () => ['routes', name, 'budgets'])
}

/** Rollouts whose canary is what the route asks first anyway: left behind after a completed one was written into `targets`, say. */
function warnAboutNothingToMove(snapshot: Snapshot, settings: Settings, warn: Report) {
  const look = (routeName: string, arms: { stable: ArmSpec; canary: ArmSpec }, path: Path) => {
    const route = resolveModel(snapshot, routeName)
    if ('nearest' in route) return
    const [stable, canary] = [arms.stable, arms.canary].map((arm) => findArm(snapshot, route, arm, route.targets))
    if (!stable || !canary || 'missing' in stable || 'missing' in canary) return
    if (canary.every(({ id }, index) => id === stable[index]?.id))
      warn(path, 'is what its stable arm asks first anyway: there is nothing to move')
  }
  for (const { name, route, stable, canary } of snapshot.rollouts.values())
    look(route, { stable, canary }, ['rollouts', name, 'canary'])
  for (const name of Object.keys(settings.routes ?? {})) {
    const canary = snapshot.routes.get(name)?.canary
    if (canary) look(name, { stable: { targets: [] }, canary: canary.canary }, ['routes', name, 'canary', 'target'])
  }
}

/** First route that uses each target and provider, by name. */
function usedBy(snapshot: Snapshot) {
  const targets = new Map<string, string>()
  const providers = new Map<string, string>()
  for (const route of snapshot.routes.values()) {
    const canaries = (route.canary?.canary.targets ?? []).flatMap((ref) => snapshot.targets.get(ref) ?? [])
    for (const target of [...route.targets, ...route.onContextWindow, ...route.onContentPolicy, ...canaries]) {
      if (!targets.has(target.id)) targets.set(target.id, route.name)
      if (!providers.has(target.provider.name)) providers.set(target.provider.name, route.name)
    }
  }
  // A draft needs no key yet.
  for (const { route, stable, canary } of snapshot.rollouts.values())
    for (const ref of [...stable.targets, ...canary.targets]) if (!targets.has(ref)) targets.set(ref, route)
  return { targets, providers }
}

/** Whose outage it would be: the vendor's, or for servers of one's own that server's. */
const vendorOf = ({ kind, origin }: Provider): string => (kind.keyless ? origin : kind.title)

const isPublic = ({ kind, origin }: Provider): boolean =>
  kind.baseUrl === undefined || new URL(kind.baseUrl).origin === origin

function warnAboutExpired({ keys }: Settings, { now, warn }: WarningFacts) {
  keys?.forEach(({ expiresAt }, index) => {
    if (expiresAt !== undefined && Date.parse(expiresAt) <= now.getTime())
      warn(['keys', index, 'expiresAt'], 'has passed: the key opens nothing')
  })
}

/** Long enough and mixed enough, and not a stand-in that says of itself that it is one. */
const looksSecret = (value: string): boolean =>
  value !== demoKey &&
  value.length >= 16 &&
  new Set(value).size >= 8 &&
  !/test|demo|example|fake|dummy|sample|placeholder|change-?me|your|xxxx/i.test(value)
