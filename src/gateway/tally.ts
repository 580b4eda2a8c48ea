// Counts what else there is to count of a settled request: who paid, what was survived, who left, what broke.
import { UpstreamFault } from '../dialects/errors.ts'
import { blameFor, blames, causes, fallbackReasons, retryReasons, streamFaultKinds } from '../telemetry/journeyTable.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { requestOutcomes } from '../telemetry/metricTable.ts'
import type { Call } from './call.ts'

/** What one (route, key) pair counts into. */
interface PayerRows {
  team: string
  cost: Float64Array
  outcomes: Float64Array
}

const outcomeIndex = new Map<string, number>(requestOutcomes.map((outcome, index) => [outcome, index]))

/** Call once a request, when its attempts have their bills. */
export function createTally(metrics: Metrics): (call: Call) => void {
  const { labels } = metrics
  let payers = new Map<string, Map<string, PayerRows>>()
  let version = -1

  function payerOf(call: Call): PayerRows {
    const route = call.route?.name ?? ''
    const key = call.key?.name ?? ''
    if (call.snapshot.version !== version) {
      // A name that left the configuration goes through the bound again.
      payers = new Map()
      version = call.snapshot.version
    }
    const team = call.key?.team ?? ''
    const known = payers.get(route)?.get(key)
    // A key has another team when somebody moves it, and with each signed token that names one.
    if (known?.team === team) return known
    const routeLabel = labels.route(route)
    const keyLabel = labels.key(key)
    const teamLabel = keyLabel === key ? labels.team(team) : 'other'
    const rows = {
      team,
      cost: metrics.counter('requestCost').row(routeLabel, keyLabel, teamLabel),
      outcomes: metrics.counter('keyRequests').row(keyLabel, teamLabel),
    }
    if (routeLabel === route && keyLabel === key) {
      const byKey = payers.get(route) ?? new Map<string, PayerRows>()
      byKey.set(key, rows)
      payers.set(route, byKey)
    }
    return rows
  }

  function countDetours(call: Call): void {
    const route = labels.route(call.route?.name ?? '')
    let fellBack = false
    call.attempts.forEach(({ reason, target: { id } }, index) => {
      const target = labels.target(id)
      const fault = call.attempts[index - 1]?.fault?.kind
      if (reason === 'retry') bump(metrics.counter('retries').row(target), retryReasons.indexOf(fault as never))
      const isFirst = reason === 'first' && index === call.attemptsBefore
      const why = reason === 'fallback' ? (fault ?? 'refused') : isFirst ? call.passedOver : undefined
      if (why === undefined) return
      bump(metrics.counter('fallbacks').row(route, target), fallbackReasons.indexOf(why))
      fellBack = true
    })
    if (fellBack && !call.background) bump(metrics.counter('fallbackRequests').row(route), 0)
  }

  return (call) => {
    const { attempts } = call
    const payer = payerOf(call)
    // What the cache fetches for itself costs what it costs, and fails nobody.
    if (!call.background) bump(payer.outcomes, outcomeIndex.get(call.outcome ?? 'failed')!)
    for (const { bill } of attempts) if (bill?.nanoUsd) payer.cost[0]! += bill.nanoUsd
    if (attempts.length > 1 || call.passedOver !== undefined) countDetours(call)
    if (call.error && call.outcome !== 'client_disconnected' && !call.background) {
      const cause = call.error instanceof UpstreamFault ? call.error.kind : call.error.code
      const row = metrics.counter('errors').row(labels.route(call.route?.name ?? ''))
      bump(row, blames.indexOf(blameFor(call.error)) * causes.length + causes.indexOf(cause))
    }
    if (call.outcome === 'client_disconnected') {
      const row = metrics.counter('disconnects').row(labels.route(call.route?.name ?? ''))
      bump(row, call.res.headersSent ? 1 : 0)
      // One that shared another's call has no attempt of its own: the stream that broke is counted there.
    } else if (call.outcome === 'partial' && call.error instanceof UpstreamFault && attempts.length > 0) {
      const row = metrics.counter('streamFaults').row(labels.target(attempts.at(-1)!.target.id))
      const kind = streamFaultKinds.indexOf(call.error.kind as never)
      bump(row, kind === -1 ? streamFaultKinds.length - 1 : kind)
    }
  }
}

function bump(row: Float64Array, cell: number): void {
  if (cell >= 0) row[cell]!++
}
