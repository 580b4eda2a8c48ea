// Makes webhooks and alert rules of their settings: gaps filled, units read, names and addresses checked.
import { parseDecimal } from '../pricing/decimal.ts'
import type { AlertFields, WebhookFields } from './alertSchema.ts'
import type { AlertKind, AlertSettings, WebhookSettings } from './alertTypes.ts'
import { isLoopback } from './binding.ts'
import { defaults } from './defaults.ts'
import type { ProxyOf } from './egress.ts'
import { weaknessOf } from './keySettings.ts'
import { checkOnly, type ScopeNames, type Told } from './limitSettings.ts'
import { likelyName } from './nearest.ts'
import type { Path, Report } from './problem.ts'

/** What a rule of each kind has to say, and what it may say besides. */
const fieldsOf: Readonly<
  Record<AlertKind, { needs: readonly (keyof AlertFields)[]; may: readonly (keyof AlertFields)[] }>
> = {
  spend: { needs: ['usd'], may: ['per', 'only', 'window'] },
  average: { needs: ['usd'], may: ['per', 'only', 'window', 'minRequests'] },
  share: { needs: ['percent'], may: ['of', 'target', 'route', 'only', 'window', 'minUsd', 'minRequests'] },
  spike: { needs: ['times', 'minUsd'], may: ['per', 'only'] },
  budget: { needs: [], may: ['budgets', 'at'] },
}
const always: readonly (keyof AlertFields)[] = ['kind', 'severity', 'channels', 'cooldown']

/** Set by the sender, or about the message itself. */
const ownHeaders = /^(?:host|content-.*|transfer-encoding|connection|upgrade|expect|webhook-.*|user-agent)$/i

/** Standard Webhooks: 24 to 64 random bytes. */
const leastBytes = 24

/** Names that rules may use. */
export interface AlertNames extends ScopeNames {
  readonly webhooks: readonly string[]
  readonly budgets: readonly string[]
}

/** Tells of addresses that are none or are not safe, and of weak secrets. */
function buildWebhook(
  name: string,
  fields: WebhookFields,
  { report, proxyOf }: { report: Report; proxyOf: ProxyOf },
): WebhookSettings {
  const path = ['webhooks', name]
  const fault = addressFault(fields.url, fields.insecure ?? false)
  if (fault) report([...path, 'url'], fault)
  fields.secret.forEach((secret, index) => {
    const weak = secretFault(secret)
    if (weak) report([...path, 'secret', ...(fields.secret.length > 1 ? [index] : [])], weak)
  })
  for (const header of Object.keys(fields.headers ?? {}))
    if (ownHeaders.test(header)) report([...path, 'headers', header], 'is set by Turnout', 'key')
  return {
    name,
    url: fields.url,
    proxy: proxyOf(fields.url),
    secrets: fields.secret,
    headers: fields.headers ?? {},
    timeout: fields.timeout ?? defaults.webhooks.timeout,
    attempts: fields.attempts ?? defaults.webhooks.attempts,
    retryDelay: fields.retryDelay ?? defaults.webhooks.retryDelay,
  }
}

/** Tells of what a rule of its kind needs or cannot use, and of names that are nobody's. */
function buildAlert(name: string, fields: AlertFields, names: AlertNames, told: Told): AlertSettings {
  const { report } = told
  const path = ['alerts', name]
  checkFields(fields, path, report)
  checkNames(fields, names, path, told)
  const base = {
    name,
    severity: fields.severity ?? defaults.alerts.severity,
    channels: fields.channels ?? names.webhooks,
    cooldown: fields.cooldown ?? defaults.alerts.cooldown,
  }
  const window = fields.window ?? defaults.alerts.window
  const only = dropUndefined(fields.only)
  const minRequests = fields.minRequests ?? defaults.alerts.minRequests
  switch (fields.kind) {
    case 'spend':
      return { ...base, kind: 'spend', per: fields.per, only, window, nano: nanoOf(fields.usd) }
    case 'average':
      return { ...base, kind: 'average', per: fields.per, only, window, nano: nanoOf(fields.usd), minRequests }
    case 'share': {
      const { target, route, of = defaults.alerts.of } = fields
      if ((target === undefined) === (route === undefined)) report(path, 'needs a `target` or a `route`, and not both')
      return {
        ...base,
        kind: 'share',
        of,
        window,
        scope: target === undefined ? 'route' : 'target',
        part: target ?? route ?? '',
        only,
        percent: fields.percent ?? 100,
        minNano: nanoOf(fields.minUsd),
        minRequests: of === 'requests' || fields.minRequests !== undefined ? minRequests : 0,
      }
    }
    case 'spike':
      return { ...base, kind: 'spike', per: fields.per, only, times: fields.times ?? 1, minNano: nanoOf(fields.minUsd) }
    case 'budget': {
      const percents = [...new Set(fields.at ?? [50, 80, 100])].sort((a, b) => a - b)
      return { ...base, kind: 'budget', budgets: fields.budgets, percents }
    }
  }
}

/** The sections of a document. */
export function buildAlerts(
  settings: {
    webhooks?: Readonly<Record<string, WebhookFields>> | undefined
    alerts?: Readonly<Record<string, AlertFields>> | undefined
  },
  names: Omit<AlertNames, 'webhooks'>,
  told: Told & { readonly proxyOf: ProxyOf },
): { webhooks: Map<string, WebhookSettings>; alerts: AlertSettings[] } {
  const { webhooks = {}, alerts = {} } = settings
  const all = { ...names, webhooks: Object.keys(webhooks) }
  return {
    webhooks: new Map(Object.entries(webhooks).map(([name, fields]) => [name, buildWebhook(name, fields, told)])),
    alerts: Object.entries(alerts).map(([name, fields]) => buildAlert(name, fields, all, told)),
  }
}

function checkFields(fields: AlertFields, path: Path, report: Report): void {
  const { needs, may } = fieldsOf[fields.kind]
  for (const field of needs)
    if (fields[field] === undefined) report(path, `a rule of kind ${fields.kind} needs \`${field}\``)
  const usable = [...always, ...needs, ...may]
  for (const field of Object.keys(fields) as (keyof AlertFields)[])
    if (fields[field] !== undefined && !usable.includes(field))
      report([...path, field], `means nothing to a rule of kind ${fields.kind}`, 'key')
}

function checkNames(fields: AlertFields, names: AlertNames, path: Path, told: Told): void {
  const look = (place: Path, what: string, name: string | undefined, known: Iterable<string>): void => {
    if (name === undefined || [...known].includes(name)) return
    const meant = likelyName(name, known)
    told.report([...path, ...place], `no ${what} "${name}"${meant === undefined ? '' : `; did you mean "${meant}"?`}`)
  }
  fields.channels?.forEach((channel, index) => {
    look(['channels', index], 'webhook', channel, names.webhooks)
  })
  fields.budgets?.forEach((budget, index) => {
    // Those of keys, teams and routes are called after them: `key web-app`. Keys may be made at run time.
    if (!/^(?:key|team|route) /.test(budget)) look(['budgets', index], 'budget', budget, names.budgets)
  })
  checkOnly({ route: fields.route, target: fields.target }, path, names, told)
  checkOnly(fields.only, [...path, 'only'], names, told)
}

/** Why events may not be sent to an address, or undefined. */
function addressFault(text: string, insecure: boolean): string | undefined {
  if (!URL.canParse(text)) return 'expected an address such as https://hooks.example.com/turnout'
  const { protocol, hostname, username, password } = new URL(text)
  if (username !== '' || password !== '') return 'an address may hold no credentials: put them into `headers`'
  if (protocol === 'https:') return undefined
  if (protocol !== 'http:') return 'expected an address that begins with https://'
  if (insecure || isLoopback(hostname)) return undefined
  return 'must begin with https://: over http what is sent can be read on the way (`insecure: true` allows it)'
}

/** Why a secret will not do, or undefined. */
function secretFault(secret: string): string | undefined {
  if (!secret.startsWith('whsec_')) return weaknessOf(secret)
  const text = secret.slice('whsec_'.length)
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, '')) return 'expected base64 after `whsec_`'
  return bytes.length < leastBytes ? `needs at least ${leastBytes} bytes after \`whsec_\`` : undefined
}

const nanoOf = (usd: string | number | undefined): number => (usd === undefined ? 0 : Number(parseDecimal(usd, 9)))

const dropUndefined = (names: Readonly<Record<string, string | undefined>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(names).filter((entry): entry is [string, string] => entry[1] !== undefined))
