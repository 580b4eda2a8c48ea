// Puts an alert into words: one sentence for people, and the facts for programs.
import type { AlertSettings } from '../../config/alertTypes.ts'
import type { AlertMessage, AlertStatus } from './alert.ts'

/** Dollars as exact decimal text, at most nine places. */
export function usdOf(nano: number): string {
  const text = (BigInt(Math.round(nano)) + 10n ** 18n).toString()
  const whole = BigInt(text.slice(0, -9)) - 10n ** 9n
  return `${whole}.${text.slice(-9)}`.replace(/\.?0+$/, '')
}

/** Dollars for people: cents where there are some, else the first two digits. */
export function showUsd(nano: number): string {
  const usd = nano / 1e9
  if (usd === 0) return '$0'
  return usd >= 0.1
    ? `$${usd.toFixed(2)}`
    : `$${Number(usd.toPrecision(2)).toFixed(Math.min(9, 1 - Math.floor(Math.log10(usd))))}`
}

/** What is sent: values as texts in US dollars, or percent for shares. */
export function describeAlert({ rule, status, at, reason }: AlertMessage) {
  const { value, threshold } = amountsOf(rule, status)
  return {
    alert: rule.name,
    kind: rule.kind,
    severity: rule.severity,
    state: status.firing ? 'firing' : 'resolved',
    summary: reason === 'rule_removed' ? `${rule.name}: the rule is gone.` : summarize(rule, status),
    scope: scopeOf(rule),
    entity: status.entity === '' ? null : status.entity,
    window: windowOf(rule),
    unit: rule.kind === 'share' ? 'percent' : 'usd',
    value,
    threshold,
    ...(rule.kind === 'budget' ? { percent: status.level ?? 0, ...limitOf(status), reset: timeOf(status.reset) } : {}),
    since: new Date(status.since).toISOString(),
    at: new Date(at).toISOString(),
  }
}

export function amountsOf(
  rule: AlertSettings,
  { value, threshold }: AlertStatus,
): { value: string; threshold: string } {
  if (rule.kind === 'share') return { value: String(Math.round(value * 100) / 100), threshold: String(threshold) }
  return { value: usdOf(value), threshold: usdOf(threshold) }
}

function summarize(rule: AlertSettings, status: AlertStatus): string {
  const { value, threshold, firing } = status
  const [seen, limit] =
    rule.kind === 'share'
      ? [`${Math.round(value * 10) / 10} %`, `${threshold} %`]
      : [showUsd(value), showUsd(threshold)]
  const ends = firing ? '' : ' again'
  const whose = whoseOf(rule, status.entity)
  switch (rule.kind) {
    case 'spend':
      return `${whose} cost ${seen} in the last ${rule.window}, ${firing ? 'above' : 'not above'} ${limit}${ends}.`
    case 'average':
      return `${whose} cost ${seen} a request in the last ${rule.window}, ${firing ? 'above' : 'not above'} ${limit}${ends}.`
    case 'share':
      return `${rule.scope} ${rule.part} has ${seen} of ${rule.of === 'spend' ? 'the spending' : 'the requests'} of the last ${rule.window}, ${firing ? 'at or above' : 'below'} ${limit}${ends}.`
    case 'spike':
      return `${whose} cost ${seen} in the last hour, ${firing ? 'above' : 'not above'} ${limit}${ends} (${rule.times} times the same hour yesterday, and at least ${showUsd(rule.minNano)}).`
    case 'budget':
      return `The budget ${status.entity} ${budgetWords(status)}: ${seen}${status.limit === undefined ? '' : ` of ${showUsd(status.limit)}`} spent.`
  }
}

function budgetWords({ firing, level = 0, value, limit }: AlertStatus): string {
  if (!firing) return 'has room again'
  return level === 100 && limit !== undefined && value < limit ? 'refuses calls' : `has reached ${level} %`
}

/** Whom or what the rule is about, as the beginning of a sentence. */
function whoseOf(rule: AlertSettings, entity: string): string {
  const scope = scopeOf(rule)
  if (scope !== null && entity !== '') return `${scope} ${entity}`
  const only = 'only' in rule ? Object.entries(rule.only) : []
  return only.length === 0 ? 'All requests' : only.map(([name, value]) => `${name} ${value}`).join(', ')
}

function scopeOf(rule: AlertSettings): string | null {
  if (rule.kind === 'budget') return 'budget'
  return rule.kind === 'share' ? rule.scope : (rule.per ?? null)
}

function windowOf(rule: AlertSettings): string | null {
  if (rule.kind === 'budget') return null
  return rule.kind === 'spike' ? 'hour' : rule.window
}

const limitOf = ({ limit }: AlertStatus) => (limit === undefined ? {} : { limit: usdOf(limit) })

const timeOf = (at: number | null | undefined): string | null =>
  at === null || at === undefined ? null : new Date(at).toISOString()
