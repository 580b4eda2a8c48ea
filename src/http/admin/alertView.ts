// Alerts and messages to webhooks as the control plane shows them: no addresses, no secrets.
import * as z from 'zod'
import { Refusal } from '../../dialects/errors.ts'
import type { AlertStatus, AlertView } from '../../state/alerts/alert.ts'
import { amountsOf } from '../../state/alerts/message.ts'
import type { Delivery, StoredEvent } from '../../telemetry/webhook/delivery.ts'
import type { Sender } from '../../telemetry/webhook/sender.ts'
import type { AdminDeps } from './route.ts'
import { named, type Shown, texts, time, whole, word } from './shape.ts'

export interface AdminAlerts {
  readonly sender: Sender
  list(): AlertView[]
  /** Forgets what alerts have told of a user, by the ledger's hash. */
  forgetUser(hash: string): void
}

const alertShape = named('Alert', {
  name: z.string(),
  kind: z.string(),
  severity: z.string(),
  webhooks: texts,
  cooldown_seconds: z.number(),
  state: z.enum(['quiet', 'firing', 'reading']),
  watched: whole,
  untold: whole,
  firing: z.array(
    z.object({
      entity: z.string().nullable(),
      unit: z.enum(['usd', 'percent']),
      value: z.string(),
      threshold: z.string(),
      since: time,
      told_at: time,
    }),
  ),
})

export const deliveryShape = named('Delivery', {
  id: z.string(),
  event: z.string(),
  type: z.string(),
  webhook: z.string(),
  state: z.enum(['waiting', 'delivered', 'dead']),
  attempts: whole,
  created_at: time,
  next_at: time.nullable(),
  last_at: time.nullable(),
  status: whole.nullable(),
  error: z.string().nullable(),
})

const counted = { waiting: whole, delivered: whole, dead: whole }
const eventShape = named('AlertEvent', { id: z.string(), type: z.string(), at: time, data: z.unknown() })

export const alertsShape = named('Alerts', {
  object: word('alerts'),
  data: z.array(alertShape),
  webhooks: z.array(z.object({ name: z.string(), configured: z.boolean(), ...counted })),
  events: z.array(eventShape),
  deliveries: z.array(deliveryShape),
})

/** @throws Refusal `not_available` in a gateway without a database, which keeps no messages */
export function alertsOf({ alerts }: AdminDeps): AdminAlerts {
  if (alerts) return alerts
  throw new Refusal('not_available', 'This gateway sends nothing to webhooks: whoever embeds it is told instead.')
}

/** A rule with what it fires for. */
export function presentAlert({ rule, ready, watched, untold, firing }: AlertView): Shown<typeof alertShape> {
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

function presentStatus(rule: AlertView['rule'], status: Readonly<AlertStatus>): Shown<typeof alertShape>['firing'][0] {
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

export function presentDelivery(delivery: Delivery): Shown<typeof deliveryShape> {
  const { id, event, type, webhook, state, attempts, createdAt, nextAt, lastAt, status, error } = delivery
  return {
    id: deliveryId(id),
    event,
    type,
    webhook,
    state,
    attempts,
    created_at: iso(createdAt),
    next_at: nextAt === null ? null : iso(nextAt),
    last_at: lastAt === null ? null : iso(lastAt),
    status,
    error,
  }
}

/** What was posted, or would have been. */
export function presentEvent({ id, at, type, body }: StoredEvent) {
  return { id, type, at: iso(at), data: (JSON.parse(body) as { data: unknown }).data }
}

const iso = (at: number): string => new Date(at).toISOString()
