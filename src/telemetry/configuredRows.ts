// Gives everything that is configured its series at once, at 0: a counter that appears with its first event is one whose first event no rate shows.
import type { CounterFamily, HistogramFamily } from './families.ts'
import type { CounterKey, HistogramKey } from './metricTable.ts'

/** What of a configuration becomes labels. */
export interface Configured {
  readonly version: number
  readonly routes: readonly string[]
  readonly targets: readonly string[]
  /** The targets of each route, first choice first. */
  readonly chains?: Iterable<readonly [route: string, targets: readonly string[]]>
  /** Routes that answer in words of their operator when all has failed. */
  readonly degrading?: ReadonlySet<string>
  readonly keys?: readonly { readonly name: string; readonly team?: string | undefined }[]
  readonly webhooks?: Iterable<string>
}

export interface Families {
  counter(key: CounterKey): CounterFamily
  histogram(key: HistogramKey): HistogramFamily
}

/** How a failure ends that its client gets as an answer. */
const degraded = [
  ['2xx', 'failed'],
  ['2xx', 'refused'],
]

/** Who pays is a product of routes and keys: beyond this many, rows wait for their first request. */
const maxPayers = 500

const perTarget = ['attempts', 'tokens', 'cost', 'unpriced', 'droppedParams', 'retries', 'streamFaults'] as const

export function seedRows(
  { routes, targets, chains = [], degrading, keys = [], webhooks = [] }: Configured,
  families: Families,
): void {
  const { counter, histogram } = families
  for (const target of targets) {
    for (const key of perTarget) counter(key).seed(target)
    counter('breakerTransitions').seed(target)
    histogram('attemptDuration').row(target)
  }
  for (const route of routes) {
    counter('disconnects').seed(route)
    counter('errors').seed(route)
    counter('fallbackRequests').seed(route)
    histogram('firstToken').row(route)
    histogram('tokenGap').row(route)
    for (const stream of ['false', 'true']) histogram('requestDuration').row(route, stream)
  }
  for (const [route, chain] of chains) {
    const more = degrading?.has(route) ? degraded : []
    for (const target of chain) {
      counter('requests').seedWith(more, route, target)
      counter('fallbacks').seed(route, target)
    }
    // Refused before any target was asked.
    counter('requests').seedWith(more, route, '')
  }
  const payers = keys.length > 0 ? keys : [{ name: '', team: '' }]
  for (const { name, team = '' } of payers) {
    counter('keyRequests').seed(name, team)
    if (payers.length * routes.length <= maxPayers)
      for (const route of routes) counter('requestCost').seed(route, name, team)
  }
  for (const webhook of webhooks) counter('webhookAttempts').seed(webhook)
  counter('configSwaps').seed()
  counter('traceSpans').seed()
  counter('limitRefusals').seed()
  counter('doorRefusals').seed()
  counter('errors').seed('')
  counter('requests').seed('', '')
}
