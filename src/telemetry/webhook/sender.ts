// Sends events to webhooks: stores each first, then posts it in the background until it is delivered or given up.
import { randomBytes } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { WebhookSettings } from '../../config/alertTypes.ts'
import type { Log } from '../log.ts'
import { backoffOf } from './backoff.ts'
import type { DeliveryOutcome, DeliveryShelf, DueDelivery, StoredEvent } from './delivery.ts'
import type { Notify, NotifyEvent } from './notify.ts'
import { openPost, type Posted } from './post.ts'

export interface SenderOptions {
  readonly shelf: DeliveryShelf
  /** Of the configuration in force. Asked at each attempt: a message goes where its webhook is now, signed with its secrets of now. */
  webhooks(): ReadonlyMap<string, WebhookSettings>
  readonly log: Log
  /** Told of each attempt and of messages that cannot be sent, for metrics. */
  readonly counted?: ((webhook: string, outcome: AttemptResult) => void) | undefined
  readonly userAgent?: string | undefined
  /** Unix milliseconds. */
  readonly now?: (() => number) | undefined
  /** Uniform in [0, 1). */
  readonly random?: (() => number) | undefined
}

/** `failed`: tried again later; `dead`: given up. */
export const attemptResults = ['delivered', 'failed', 'dead'] as const
export type AttemptResult = (typeof attemptResults)[number]

export interface Sender {
  readonly notify: Notify
  readonly shelf: DeliveryShelf
  /** As `notify`, and returns the ids of its deliveries. Unlike that it throws when the database cannot be used. */
  post(event: NotifyEvent, channels?: readonly string[]): { event: string; deliveries: number[] }
  /** Resolves when each of these was tried at least once from now on, or is out of reach. */
  tried(ids: readonly number[]): Promise<void>
  /** Sends dead or delivered messages again, from the first attempt. Returns ids; see `DeliveryShelf.revive`. */
  resend(which: { id: number } | { webhook?: string | undefined }): Promise<number[]>
  /** Looks for messages whose time has come. To be called once at the start; after that it calls itself. */
  wake(): void
  /** Waits `patience` milliseconds for what is being sent, then breaks it off: it is sent again at the next start. */
  stop(patience?: number): Promise<void>
}

/** Attempts to one webhook at the same time: a slow one holds up nobody but itself. */
const perWebhook = 4
/** Events that wait in memory for a locked or full database. */
const maxHeld = 1_000
const rewriteAfter = 250
const lookAgainAfter = 1_000
const longestTimer = 3_600_000

/** The sender of one gateway. Messages wait in the shelf, so that those of an earlier process are sent, too. */
export function createSender(options: SenderOptions): Sender {
  const { shelf, webhooks, log, counted = () => {}, now = Date.now, random = Math.random } = options
  const wire = openPost(options.userAgent ?? 'Turnout')
  const cut = new AbortController()
  // Each message on its way listens: more than ten of them are no leak.
  setMaxListeners(0, cut.signal)
  /** Being sent, or sent and not yet written down. */
  const busy = new Set<number>()
  const running = new Map<string, number>()
  const sending = new Set<Promise<void>>()
  const waiters: { ids: Set<number>; resolve(): void }[] = []
  /** What could not be stored when it happened. */
  const held: { event: StoredEvent; channels: readonly string[] }[] = []
  let heldTimer: NodeJS.Timeout | undefined
  let timer: NodeJS.Timeout | undefined
  let turn: NodeJS.Immediate | undefined
  let stopped = false

  function store(event: StoredEvent, channels: readonly string[]): number[] {
    const added = shelf.add(event, channels, now())
    added.forEach(({ full }, place) => {
      if (!full) return
      const webhook = channels[place]!
      log.error(`too many messages wait for the webhook ${webhook}: this one is not sent`, {
        event: 'webhook',
        webhook,
      })
      counted(webhook, 'dead')
    })
    wakeSoon()
    return added.map(({ id }) => id)
  }

  function hold(event: StoredEvent, channels: readonly string[], error: unknown): void {
    if (held.length >= maxHeld) {
      log.error(`an event of type ${event.type} is lost: the database takes none`, { event: 'webhook', error })
      return
    }
    held.push({ event, channels })
    heldTimer ??= setTimeout(storeHeld, rewriteAfter)
    heldTimer.unref()
  }

  function storeHeld(): void {
    heldTimer = undefined
    for (const { event, channels } of held.splice(0)) {
      try {
        store(event, channels)
      } catch (error) {
        hold(event, channels, error)
      }
    }
  }

  function wakeSoon(): void {
    if (stopped || turn) return
    turn = setImmediate(() => {
      turn = undefined
      wake()
    })
  }

  function wake(): void {
    if (stopped) return
    clearTimeout(timer)
    timer = undefined
    try {
      const at = now()
      let next = Number.POSITIVE_INFINITY
      for (const name of shelf.names()) {
        const webhook = webhooks().get(name)
        if (webhook) take(webhook, at)
        else abandon(name, at)
        next = Math.min(next, shelf.nextAt(name, at) ?? Number.POSITIVE_INFINITY)
      }
      if (Number.isFinite(next)) sleep(next - at)
    } catch (error) {
      log.warn('the messages to webhooks cannot be read at the moment', { event: 'webhook', error })
      sleep(lookAgainAfter)
    }
  }

  function sleep(ms: number): void {
    timer = setTimeout(wake, Math.min(longestTimer, Math.max(1, ms)))
    timer.unref()
  }

  function take(webhook: WebhookSettings, at: number): void {
    const room = perWebhook - (running.get(webhook.name) ?? 0)
    if (room <= 0) return
    for (const due of shelf.due(webhook.name, at, room, busy)) {
      busy.add(due.id)
      running.set(webhook.name, (running.get(webhook.name) ?? 0) + 1)
      const sent = send(webhook, due).finally(() => {
        sending.delete(sent)
        free(webhook.name)
        wakeSoon()
      })
      sending.add(sent)
    }
  }

  /** What ran for the webhook has ended. It may have left the configuration and be back by then. */
  function free(name: string): void {
    const left = running.get(name)! - 1
    if (left > 0) running.set(name, left)
    else running.delete(name)
  }

  /** Its webhook has left the configuration. */
  function abandon(name: string, at: number): void {
    if (running.get(name)) return
    running.set(name, 1)
    const done = shelf
      .giveUp(name, 'no_such_webhook', at)
      .then(
        (count) => {
          log.error(`messages are given up: no webhook is called ${name} any more`, {
            event: 'webhook',
            webhook: name,
            count,
          })
          for (let i = 0; i < count; i++) counted(name, 'dead')
          settleWaiters()
        },
        (error) => log.warn('messages to webhooks could not be given up', { event: 'webhook', error }),
      )
      .finally(() => {
        free(name)
        sending.delete(done)
      })
    sending.add(done)
  }

  async function send(webhook: WebhookSettings, due: DueDelivery): Promise<void> {
    const begun = now()
    const posted = await wire.post(webhook, { id: due.event, body: due.body }, begun, cut.signal)
    // Broken off by us: it counts as not tried.
    if (cut.signal.aborted && !posted.ok) return
    const outcome = outcomeOf(webhook, due, posted)
    tell(webhook, due, outcome, begun)
    await write(due.id, outcome)
    busy.delete(due.id)
    settleWaiters(due.id)
  }

  function outcomeOf(webhook: WebhookSettings, due: DueDelivery, posted: Posted): DeliveryOutcome {
    const at = now()
    const attempts = due.attempts + 1
    const { status, error } = posted
    if (posted.ok) return { state: 'delivered', attempts, nextAt: 0, at, status, error: null }
    if (posted.final || attempts >= webhook.attempts) return { state: 'dead', attempts, nextAt: 0, at, status, error }
    const nextAt = at + backoffOf(webhook, attempts, random(), posted.retryAfter)
    return { state: 'waiting', attempts, nextAt, at, status, error }
  }

  function tell({ name }: WebhookSettings, due: DueDelivery, outcome: DeliveryOutcome, begun: number): void {
    const facts = { event: 'webhook', webhook: name, id: due.event, count: outcome.attempts, ms: outcome.at - begun }
    if (outcome.state === 'delivered') {
      counted(name, 'delivered')
      log.debug(`${due.type} is delivered to ${name}`, facts)
    } else if (outcome.state === 'waiting') {
      counted(name, 'failed')
      log.warn(`${due.type} could not be delivered to ${name} (${outcome.error}): it is tried again`, facts)
    } else {
      counted(name, 'dead')
      log.error(`${due.type} is given up: it could not be delivered to ${name} (${outcome.error})`, facts)
    }
  }

  /** Until it is written the message stays busy: it is not sent twice because the database was locked. */
  async function write(id: number, outcome: DeliveryOutcome): Promise<void> {
    for (let told = false; ; told = true) {
      try {
        return await shelf.end(id, outcome)
      } catch (error) {
        if (!told) log.error('what came of a message to a webhook cannot be written', { event: 'webhook', error })
        if (cut.signal.aborted) return
        await new Promise<void>((resolve) => setTimeout(resolve, rewriteAfter).unref())
      }
    }
  }

  function settleWaiters(done?: number): void {
    for (const waiter of [...waiters]) {
      if (done === undefined) waiter.ids.clear()
      else waiter.ids.delete(done)
      if (waiter.ids.size > 0) continue
      waiters.splice(waiters.indexOf(waiter), 1)
      waiter.resolve()
    }
  }

  function toStored({ type, at, data }: NotifyEvent): StoredEvent {
    const body = JSON.stringify({ type, timestamp: new Date(at).toISOString(), data })
    return { id: `msg_${randomBytes(16).toString('hex')}`, at, type, body }
  }

  return {
    shelf,
    notify(event, channels) {
      try {
        const stored = toStored(event)
        const names = channels ?? [...webhooks().keys()]
        try {
          store(stored, names)
        } catch (error) {
          hold(stored, names, error)
        }
      } catch (error) {
        log.error(`an event of type ${event.type} cannot be told`, { event: 'webhook', error })
      }
    },
    post(event, channels = [...webhooks().keys()]) {
      const stored = toStored(event)
      return { event: stored.id, deliveries: store(stored, channels) }
    },
    tried(ids) {
      if (ids.length === 0 || stopped) return Promise.resolve()
      return new Promise((resolve) => waiters.push({ ids: new Set(ids), resolve }))
    },
    async resend(which) {
      const ids = await shelf.revive(which, now())
      wakeSoon()
      return ids
    },
    wake,
    async stop(patience = 2_000) {
      if (stopped) return
      storeHeld()
      if (held.length > 0)
        log.error('events for webhooks are lost: the database takes none', { event: 'webhook', count: held.length })
      stopped = true
      clearTimeout(timer)
      clearTimeout(heldTimer)
      clearImmediate(turn)
      const late = setTimeout(() => cut.abort(), patience)
      await Promise.all(sending)
      clearTimeout(late)
      cut.abort()
      settleWaiters()
      await wire.close()
    },
  }
}
