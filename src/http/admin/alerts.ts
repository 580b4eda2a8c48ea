// GET and POST /admin/alerts: what was told to whom and what became of it; tries a webhook, and sends again what was given up.
import * as z from 'zod'
import { Refusal } from '../../dialects/errors.ts'
import { classifyFailure } from '../../store/failure.ts'
import type { LedgerError } from '../../store/ledgerRow.ts'
import { waitUntil } from '../../store/patience.ts'
import type { Sender } from '../../telemetry/webhook/sender.ts'
import {
  type AdminAlerts,
  alertsOf,
  alertsShape,
  deliveryId,
  deliveryShape,
  parseDeliveryId,
  presentAlert,
  presentDelivery,
  presentEvent,
} from './alertView.ts'
import { whole } from './requests.ts'
import { type AdminAnswer, type AdminDeps, defineRoute } from './route.ts'
import { named, type Shown, shapes, texts, word } from './shape.ts'

const webhook = z.string({ error: 'expected the name of a webhook' }).min(1).max(64)

export const showAlerts = defineRoute({
  method: 'GET',
  path: '/alerts',
  role: 'viewer',
  summary: 'Alerts and what they fire for, webhooks, the last events, and what became of sending them.',
  query: z.strictObject({
    state: z
      .enum(['waiting', 'delivered', 'dead'], { error: 'expected waiting, delivered or dead' })
      .optional()
      .meta({ description: 'Only deliveries that are in this state.' }),
    webhook: webhook.optional().meta({ description: 'Only deliveries to this webhook.' }),
    limit: whole(1, 1000).default(20),
  }),
  reply: alertsShape,
  async answer({ query: { state, webhook, limit }, deps }) {
    const alerts = alertsOf(deps)
    const { shelf } = alerts.sender
    return {
      json: {
        object: 'alerts',
        data: alerts.list().map(presentAlert),
        webhooks: presentWebhooks(deps, alerts),
        events: shelf.events(limit).map(presentEvent),
        deliveries: shelf.list({ state, webhook, limit }).map(presentDelivery),
      },
    }
  },
})

/** Configured ones, and gone ones that have messages. */
function presentWebhooks(deps: AdminDeps, { sender }: AdminAlerts) {
  const counts = sender.shelf.counts()
  const configured = deps.snapshot().webhooks
  const names = new Set([...configured.keys(), ...counts.map(({ webhook }) => webhook)])
  const of = (name: string, state: string): number =>
    counts.find((one) => one.webhook === name && one.state === state)?.count ?? 0
  return [...names].map((name) => ({
    name,
    configured: configured.has(name),
    waiting: of(name, 'waiting'),
    delivered: of(name, 'delivered'),
    dead: of(name, 'dead'),
  }))
}

const body = z.discriminatedUnion(
  'action',
  [
    z.strictObject({ action: z.literal('test'), webhooks: z.array(webhook).min(1).max(64).optional() }),
    z.strictObject({
      action: z.literal('resend'),
      delivery: z.string({ error: 'expected an id such as dlv_12' }).max(64).optional(),
      webhook: webhook.optional(),
    }),
  ],
  { error: "expected an `action`: 'test' or 'resend'" },
)

const tested = named('AlertTest', {
  object: word('alert_test'),
  event: z.string(),
  deliveries: z.array(deliveryShape),
})
const resent = named('AlertResend', { object: word('alert_resend'), deliveries: texts })

export const actOnAlerts = defineRoute({
  method: 'POST',
  path: '/alerts',
  role: 'responder',
  summary:
    '`test` sends a message to webhooks and waits for their answer. `resend` sends one message again, or all that were given up.',
  verb: 'alerts',
  body,
  reply: z.union([tested, resent]).register(shapes, { id: 'AlertAction' }),
  answer: ({ body, deps }) => (body.action === 'test' ? test(deps, body.webhooks) : resend(deps, body)),
})

/** The longest wait for webhooks to answer, in milliseconds: after that the answer says that it still waits. */
const patience = 15_000

async function test(
  deps: AdminDeps,
  chosen: readonly string[] | undefined,
): Promise<AdminAnswer<Shown<typeof tested>>> {
  const { sender } = alertsOf(deps)
  const configured = [...deps.snapshot().webhooks.keys()]
  const unknown = chosen?.find((name) => !configured.includes(name))
  if (unknown !== undefined) throw new Refusal('not_found', `There is no webhook '${unknown}'.`, 'webhooks')
  const names = [...new Set(chosen ?? configured)]
  if (names.length === 0)
    throw new Refusal('not_found', 'No webhook is configured: see `webhooks` in the configuration.')
  const data = { summary: 'This is a test. Nothing has happened.', severity: 'info' }
  const { event, deliveries } = await stored(() => sender.post({ type: 'alert.test', at: Date.now(), data }, names))
  await waitFor(sender, deliveries)
  return {
    json: {
      object: 'alert_test',
      event,
      deliveries: deliveries.map((id) => presentDelivery(sender.shelf.find(id)!)),
    },
    audit: { subject: 'test', before: null, after: { webhooks: names, event } },
  }
}

async function resend(
  deps: AdminDeps,
  which: { delivery?: string | undefined; webhook?: string | undefined },
): Promise<AdminAnswer<Shown<typeof resent>>> {
  const { sender } = alertsOf(deps)
  if (which.delivery !== undefined && which.webhook !== undefined)
    throw new Refusal('invalid_value', 'Name a delivery or a webhook, not both.', 'delivery')
  const { webhook: name } = which
  // One that is configured no more may still have messages.
  if (
    name !== undefined &&
    !deps.snapshot().webhooks.has(name) &&
    !sender.shelf.counts().some((one) => one.webhook === name)
  )
    throw new Refusal('not_found', `There is no webhook '${name}'.`, 'webhook')
  const ids =
    which.delivery === undefined
      ? await sender.resend({ webhook: which.webhook })
      : await sender.resend({ id: idOf(sender, which.delivery) })
  return {
    json: { object: 'alert_resend', deliveries: ids.map(deliveryId) },
    audit: { subject: 'resend', before: null, after: { ...which, deliveries: ids.length } },
  }
}

function idOf(sender: Sender, text: string): number {
  const id = parseDeliveryId(text)
  const delivery = id === undefined ? undefined : sender.shelf.find(id)
  if (!delivery) throw new Refusal('not_found', `There is no delivery '${text}'.`, 'delivery')
  if (delivery.state === 'waiting')
    throw new Refusal('invalid_value', `The delivery '${text}' waits for its next attempt already.`, 'delivery')
  return delivery.id
}

/**
 * Another thread of the gateway may be writing: then for a moment it is tried again.
 * @throws Refusal `ledger_unavailable`
 */
async function stored<Result>(write: () => Result): Promise<Result> {
  let result: Result | undefined
  let failure: LedgerError | undefined
  const attempt = (): boolean => {
    try {
      result = write()
      return true
    } catch (error) {
      failure = classifyFailure(error)
      return false
    }
  }
  if (attempt() || (await waitUntil(attempt, () => failure?.code !== 'locked'))) return result as Result
  throw new Refusal('ledger_unavailable', 'The message could not be stored, and was not sent.')
}

async function waitFor(sender: Sender, ids: readonly number[]): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, patience)
  })
  await Promise.race([sender.tried(ids), late])
  clearTimeout(timer)
}
