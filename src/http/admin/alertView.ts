// Alerts and messages to webhooks as the control plane shows them: no addresses, no secrets.
import { Refusal } from '../../dialects/errors.ts'
import type { AlertStatus, AlertView } from '../../state/alerts/alert.ts'
import { amountsOf } from '../../state/alerts/message.ts'
import type { Delivery, StoredEvent } from '../../telemetry/webhook/delivery.ts'
import type { Sender } from '../../telemetry/webhook/sender.ts'
import type { AdminDeps } from './route.ts'

export interface AdminAlerts {
  readonly sender: Sender
  list(): AlertView[]
  /** Forgets what alerts have told of a user, by the ledger's hash. */
  forgetUser(hash: string): void
}

/** @throws Refusal `not_available` in a gateway without a database, which keeps no messages */
export function alertsOf({ alerts }: AdminDeps): AdminAlerts {
  if (alerts) return alerts
  throw new Refusal('not_available', 'This gateway sends nothing to webhooks: whoever embeds it is told instead.')
}

/** A rule with what it fires for. */
export function presentAlert({ rule, ready, watched, untold, firing }: AlertView) {
  const { name, kind, severity, channels, cooldown } = rule
  return {
    name,
    kind,
    severity,
    webhooks: channels,
    cooldown_seconds: cooldown / 1000,
    state: firing.length > 0 ? 'firing' : ready ? 'quiet' : 'reading',
    watched,
    untold,
    firing: firing.map((status) => presentStatus(rule, status)),
  }
}

function presentStatus(rule: AlertView['rule'], status: Readonly<AlertStatus>) {
  return {
    entity: status.entity === '' ? null : status.entity,
    unit: rule.kind === 'share' ? 'percent' : 'usd',
    ...amountsOf(rule, status),
    since: iso(status.since),
    told_at: iso(status.toldAt),
  }
}

export const deliveryId = (id: number): string => `dlv_${id}`

/** The number in a printed id; undefined when it is none. */
export function parseDeliveryId(text: string): number | undefined {
  const digits = /^dlv_([1-9]\d{0,14})$/.exec(text)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

export function presentDelivery(delivery: Delivery) {
  const { id, event, type, webhook, state, attempts, createdAt, nextAt, lastAt, status, error } = delivery
  return {
    id: deliveryId(id),
    event,
    type,
    webhook,
    state,
    attempts,
    created_at: iso(createdAt),
    next_at: iso(nextAt),
    last_at: iso(lastAt),
    status,
    error,
  }
}

/** What was posted, or would have been. */
export function presentEvent({ id, at, type, body }: StoredEvent) {
  return { id, type, at: iso(at), data: (JSON.parse(body) as { data: unknown }).data }
}

export const iso = (at: number | null | undefined): string | null =>
  at === null || at === undefined ? null : new Date(at).toISOString()
