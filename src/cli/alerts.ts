// `turnout alerts`: what was told to webhooks and what became of it; tries them, and sends again what was given up.
import { type Command, Option } from 'commander'
import { addServerOptions, askServer, findServer, type ServerFlags } from './adminClient.ts'
import { print, renderTable, toJsonLine } from './output.ts'

interface Delivery {
  id: string
  event: string
  type: string
  webhook: string
  state: string
  attempts: number
  created_at: string
  next_at: string | null
  last_at: string | null
  status: number | null
  error: string | null
}

interface Rule {
  name: string
  kind: string
  severity: string
  state: string
  firing: { entity: string | null; unit: string; value: string; threshold: string; since: string }[]
}

interface Alerts {
  data: Rule[]
  webhooks: { name: string; configured: boolean; waiting: number; delivered: number; dead: number }[]
  events: { id: string; type: string; at: string; data: { summary?: string } }[]
  deliveries: Delivery[]
}

export function addAlertsCommand(program: Command): void {
  const alerts = program.command('alerts').description('alerts and webhooks of a running gateway')

  addServerOptions(
    alerts
      .command('list', { isDefault: true })
      .description('show the alerts and what they fire for, the webhooks, and the last events')
      .option('-n, --limit <number>', 'events at most', '10'),
  ).action(async (flags: ServerFlags & { limit: string }) => {
    const answer = await askServer<Alerts>(findServer(flags), 'GET', `/alerts?limit=${encodeURIComponent(flags.limit)}`)
    await print(flags.json ? toJsonLine(answer) : renderAlerts(answer))
  })

  addServerOptions(
    alerts
      .command('test')
      .description('send a test message; exit code 1 when a webhook does not take it')
      .argument('[webhooks...]', 'names of webhooks (default: all)'),
  ).action(async (webhooks: string[], flags: ServerFlags) => {
    const body = { action: 'test', ...(webhooks.length > 0 ? { webhooks } : {}) }
    const answer = await askServer<{ event: string; deliveries: Delivery[] }>(
      findServer(flags),
      'POST',
      '/alerts',
      body,
    )
    if (answer.deliveries.some(({ state }) => state !== 'delivered')) process.exitCode = 1
    await print(flags.json ? toJsonLine(answer) : renderTest(answer))
  })

  addServerOptions(
    alerts
      .command('deliveries')
      .description('show what became of messages, newest first')
      .addOption(new Option('--state <state>', 'only these').choices(['waiting', 'delivered', 'dead']))
      .option('--webhook <name>', 'only to this webhook')
      .option('-n, --limit <number>', 'messages at most', '20'),
  ).action(async (flags: ServerFlags & { state?: string; webhook?: string; limit: string }) => {
    const query = new URLSearchParams({ limit: flags.limit })
    if (flags.state !== undefined) query.set('state', flags.state)
    if (flags.webhook !== undefined) query.set('webhook', flags.webhook)
    const answer = await askServer<Alerts>(findServer(flags), 'GET', `/alerts?${query}`)
    await print(flags.json ? toJsonLine(answer.deliveries) : renderDeliveries(answer.deliveries))
  })

  addServerOptions(
    alerts
      .command('resend')
      .description('send messages again: one, or all that were given up')
      .argument('[delivery]', 'the id of one delivery, as `deliveries` shows it')
      .option('--webhook <name>', 'only those that were given up for this webhook'),
  ).action(async (delivery: string | undefined, flags: ServerFlags & { webhook?: string }) => {
    const body = { action: 'resend', delivery, webhook: flags.webhook }
    const answer = await askServer<{ deliveries: string[] }>(findServer(flags), 'POST', '/alerts', body)
    const { length } = answer.deliveries
    await print(
      flags.json ? toJsonLine(answer) : `${length} ${length === 1 ? 'message is' : 'messages are'} sent again\n`,
    )
  })
}

function renderAlerts({ data, webhooks, events }: Alerts): string {
  const rules = data.flatMap(({ name, kind, severity, state, firing }) =>
    firing.length === 0
      ? [[name, kind, severity, state, '-', '-', '-']]
      : firing.map((one) => [name, kind, severity, state, one.entity ?? 'all', amountOf(one), one.since]),
  )
  const hooks = webhooks.map((one) => [
    one.configured ? one.name : `${one.name} (not configured)`,
    one.waiting,
    one.delivered,
    one.dead,
  ])
  const rows = events.map(({ at, type, data }) => [at, type, data.summary ?? ''])
  return [
    data.length > 0
      ? renderTable(['alert', 'kind', 'severity', 'state', 'for', 'seen', 'since'], rules)
      : 'No alert is configured.\n',
    webhooks.length > 0
      ? renderTable(['webhook', 'waiting', 'delivered', 'dead'], hooks)
      : 'No webhook is configured.\n',
    ...(rows.length > 0 ? [renderTable(['at', 'event', 'what'], rows)] : []),
  ].join('\n')
}

const amountOf = ({ unit, value, threshold }: Rule['firing'][number]): string =>
  unit === 'percent' ? `${value} % of ${threshold} %` : `$${value} of $${threshold}`

function renderTest({ deliveries }: { deliveries: Delivery[] }): string {
  return deliveries.map((one) => `${one.webhook}: ${outcomeOf(one)}\n`).join('')
}

function outcomeOf({ state, status, error, next_at }: Delivery): string {
  if (state === 'delivered') return `delivered (HTTP ${status})`
  if (state === 'dead') return `given up (${error})`
  return error === null ? 'no answer yet' : `failed (${error}), tried again at ${next_at}`
}

function renderDeliveries(deliveries: Delivery[]): string {
  if (deliveries.length === 0) return 'no messages\n'
  const rows = deliveries.map((one) => [
    one.id,
    one.created_at,
    one.type,
    one.webhook,
    one.state,
    one.attempts,
    one.error ?? (one.status === null ? '-' : `HTTP ${one.status}`),
    one.next_at ?? '-',
  ])
  return renderTable(['delivery', 'created', 'event', 'webhook', 'state', 'attempts', 'last answer', 'next'], rows)
}
