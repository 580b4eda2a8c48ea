// Keeps events and what became of sending them to webhooks. A message waits in its row, not in memory.
import type { Statement } from './driver.ts'
import type { Store } from './open.ts'
import { writeSteadily } from './steady.ts'

type State = 'waiting' | 'delivered' | 'dead'

interface Row {
  id: number
  event: string
  type: string
  webhook: string
  state: State
  attempts: number
  createdAt: number
  nextAt: number
  lastAt: number | null
  status: number | null
  error: string | null
}

interface StoredEvent {
  id: string
  at: number
  type: string
  body: string
}

interface Outcome {
  state: State
  attempts: number
  nextAt: number
  at: number
  status: number | null
  error: string | null
}

export interface DeliveryBounds {
  /** Messages that may wait for one webhook. */
  waiting: number
  /** Ended messages of either kind that are kept, the newest ones, and events without any. */
  kept: number
}

/** Messages added between two clearings. */
const clearEvery = 100

const fields = `d.id, e.uid AS event, e.type, d.webhook, d.state, d.attempts, e.at AS createdAt, d.next_at AS nextAt, d.last_at AS lastAt,
  d.status, d.error`

/** The shelf of `telemetry/webhook/delivery.ts`, on the ledger's connection. */
export function openDeliveries(store: Store, bounds: Partial<DeliveryBounds> = {}) {
  const { db } = store
  const { waiting = 10_000, kept = 1_000 } = bounds
  const insertEvent = db.prepare('INSERT INTO event (uid, at, type, body) VALUES (@id, @at, @type, @body)')
  const insert = db.prepare(
    `INSERT INTO delivery (event, webhook, state, next_at, last_at, error) VALUES (@event, @webhook, @state, @at, @lastAt, @error)`,
  )
  const countWaiting = db
    .prepare("SELECT count(*) FROM (SELECT 1 FROM delivery WHERE state = 'waiting' AND webhook = ? LIMIT ?)")
    .pluck()
  /** One step into the index for each name: it is asked for after each message, and a DISTINCT reads all that wait. */
  const nextName = db.prepare("SELECT min(webhook) FROM delivery WHERE state = 'waiting' AND webhook > ?").pluck()
  const due = db.prepare(
    `SELECT d.id, e.uid AS event, e.type, e.body, d.attempts FROM delivery d JOIN event e ON e.id = d.event
     WHERE d.state = 'waiting' AND d.webhook = ? AND d.next_at <= ? ORDER BY d.next_at, d.id LIMIT ?`,
  )
  const next = db
    .prepare("SELECT min(next_at) FROM delivery WHERE state = 'waiting' AND webhook = ? AND next_at > ?")
    .pluck()
  const update = db.prepare(
    `UPDATE delivery SET state = @state, attempts = @attempts, next_at = @nextAt, last_at = @at, status = @status, error = @error
     WHERE id = @id`,
  )
  let sinceClearing = clearEvery

  const addAll = db.transaction((event: StoredEvent, webhooks: readonly string[], now: number) => {
    const { lastInsertRowid } = insertEvent.run(event)
    const added = webhooks.map((webhook) => {
      const full = (countWaiting.get(webhook, waiting) as number) >= waiting
      const state: State = full ? 'dead' : 'waiting'
      const ended = full ? { lastAt: now, error: 'queue_full' } : { lastAt: null, error: null }
      const { lastInsertRowid: id } = insert.run({ event: lastInsertRowid, webhook, state, at: now, ...ended })
      return { id: Number(id), full }
    })
    sinceClearing += 1 + webhooks.length
    if (sinceClearing >= clearEvery) {
      clear()
      sinceClearing = 0
    }
    return added
  })

  const clearing: Statement[] = [
    ...(['delivered', 'dead'] as const).map((state) =>
      db.prepare(
        `DELETE FROM delivery WHERE state = '${state}' AND id <=
         (SELECT id FROM delivery WHERE state = '${state}' ORDER BY id DESC LIMIT 1 OFFSET ${kept})`,
      ),
    ),
    db.prepare(
      `DELETE FROM event WHERE id <= (SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ${kept})
       AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.event = event.id)`,
    ),
  ]

  function clear(): void {
    for (const statement of clearing) statement.run()
  }

  const present = ({ nextAt, ...row }: Row) => ({ ...row, nextAt: row.state === 'waiting' ? nextAt : null })

  return {
    /** At once: durable when it returns. Throws when the database is locked or full. */
    add: (event: StoredEvent, webhooks: readonly string[], now: number) => addAll.immediate(event, webhooks, now),
    names() {
      const found: string[] = []
      const after = (name: string) => nextName.get(name) as string | null
      for (let name = after(''); name !== null; name = after(name)) found.push(name)
      return found
    },
    due(webhook: string, now: number, limit: number, busy: ReadonlySet<number>) {
      const rows = due.all(webhook, now, limit + busy.size) as (Pick<Row, 'id' | 'event' | 'type' | 'attempts'> & {
        body: string
      })[]
      return rows.filter(({ id }) => !busy.has(id)).slice(0, limit)
    },
    nextAt: (webhook: string, now: number) => (next.get(webhook, now) as number | null) ?? undefined,
    end: (id: number, outcome: Outcome) => writeSteadily(store, () => void update.run({ id, ...outcome })),
    giveUp: (webhook: string, error: string, at: number) =>
      writeSteadily(
        store,
        () =>
          db
            .prepare(
              "UPDATE delivery SET state = 'dead', error = ?, last_at = coalesce(last_at, ?) WHERE state = 'waiting' AND webhook = ?",
            )
            .run(error, at, webhook).changes,
      ),
    revive: (which: { id: number } | { webhook?: string | undefined }, now: number) =>
      writeSteadily(store, () => {
        const [terms, values] =
          'id' in which
            ? ["id = ? AND state <> 'waiting'", [which.id]]
            : which.webhook === undefined
              ? ["state = 'dead'", []]
              : ["state = 'dead' AND webhook = ?", [which.webhook]]
        return db
          .prepare(
            `UPDATE delivery SET state = 'waiting', attempts = 0, next_at = ? WHERE ${terms as string} RETURNING id`,
          )
          .pluck()
          .all(now, ...(values as unknown[])) as number[]
      }),
    find(id: number) {
      const row = db.prepare(`SELECT ${fields} FROM delivery d JOIN event e ON e.id = d.event WHERE d.id = ?`).get(id)
      return row === undefined ? undefined : present(row as Row)
    },
    list({ state, webhook, limit }: { state?: State | undefined; webhook?: string | undefined; limit: number }) {
      const rows = db
        .prepare(
          `SELECT ${fields} FROM delivery d JOIN event e ON e.id = d.event
           WHERE (@state IS NULL OR d.state = @state) AND (@webhook IS NULL OR d.webhook = @webhook)
           ORDER BY d.id DESC LIMIT @limit`,
        )
        .all({ state: state ?? null, webhook: webhook ?? null, limit }) as Row[]
      return rows.map(present)
    },
    events: (limit: number) =>
      db
        .prepare('SELECT uid AS id, at, type, body FROM event ORDER BY event.id DESC LIMIT ?')
        .all(limit) as StoredEvent[],
    counts: () =>
      db
        .prepare(
          'SELECT webhook, state, count(*) AS count FROM delivery GROUP BY webhook, state ORDER BY webhook, state',
        )
        .all() as { webhook: string; state: State; count: number }[],
  }
}
