// Keeps rollouts: definitions and events for ever, the state by compare-and-swap. Each transition is one transaction with its event.
import { createHash } from 'node:crypto'
import type {
  ChainedEvent,
  NewEvent,
  RolloutEvent,
  RolloutKeeper,
  RolloutOrigin,
  StoredRollout,
  TakenBack,
} from '../config/rolloutTypes.ts'
import type { Cause, Phase, State } from '../rollouts/machine.ts'
import type { Sqlite } from './driver.ts'
import type { Store } from './open.ts'
import { answerCommand, findCommand, rememberCommand } from './rolloutCommands.ts'
import { readFolded } from './rolloutFolds.ts'
import { readDefinition, readRecords } from './rolloutRows.ts'
import { readSpent } from './rolloutSpent.ts'
import { writeSteadily } from './steady.ts'

/** The rollouts of an open database. Changes are compare-and-swap on the revision. */
export function openRollouts(store: Store): RolloutKeeper {
  const { db } = store
  return {
    list: () => listRollouts(db),
    create: (rollout, event, key, also) =>
      writeSteadily(store, () => {
        const id = insert(db, rollout, event)
        if (key) rememberCommand(db, key, id)
        also?.(id)
        return id
      }),
    change: (id, expected, state, event, key, also) =>
      writeSteadily(store, () => {
        const { changes } = db
          .prepare(
            `UPDATE rollout_state SET revision = @revision, phase = @phase, step = @step, weight_ppm = @weightPpm, attempt = @attempt,
              attempt_revision = @attemptRevision, step_revision = @stepRevision, attempt_at = @attemptAt, since = @since,
              cause = @cause, reason = @reason, updated_at = @updatedAt, base = @base
             WHERE id = @id AND revision = @expected`,
          )
          .run({ ...state, base: baseText(state), id, expected })
        if (changes === 0) return false
        append(db, id, event)
        if (key) rememberCommand(db, key, id)
        also?.()
        return true
      }),
    // Rows are never deleted, and a new one takes up where that of its name has ended.
    revision: () => db.prepare('SELECT coalesce(sum(revision), 0) FROM rollout_state').pluck().get() as number,
    findCommand: (id) => findCommand(db, id),
    answerCommand: (key, rollout, reply) => writeSteadily(store, () => answerCommand(db, key, rollout, reply)),
    events: (id) => eventsOf(db, id),
    idsOf: (name) => db.prepare('SELECT id FROM rollout WHERE name = ? ORDER BY id').pluck().all(name) as number[],
    abortOf: (specHash) => findAbort(db, specHash),
    records: (id, attempt, since) => readRecords(db, id, attempt, since),
    rows: (id, attempt, since) => readFolded(db, id, attempt, since),
    spent: (id, attempt, since) => readSpent(db, id, attempt, since),
    findBreak: (id) => findBreak(db, id),
    takenBack: () => findTakenBack(db),
    dropped: ({ rollout, revision }) =>
      writeSteadily(store, () => {
        db.prepare(
          `INSERT INTO rollout_dropped VALUES (?, ?)
           ON CONFLICT (rollout) DO UPDATE SET revision = max(revision, excluded.revision)`,
        ).run(rollout, revision)
      }),
  }
}

const columns = `r.id, r.definition, r.spec_hash, r.seed, r.origin, r.created_by, r.created_at, s.revision, s.phase, s.step, s.weight_ppm,
  s.attempt, s.attempt_revision, s.step_revision, s.attempt_at, s.since, s.cause, s.reason, s.updated_at, s.base`

/** Works on a read-only connection, too. */
function listRollouts(db: Sqlite): StoredRollout[] {
  const rows = db
    .prepare(
      `SELECT ${columns} FROM rollout r JOIN rollout_state s ON s.id = r.id
       WHERE r.id = (SELECT max(id) FROM rollout l WHERE l.name = r.name) OR s.phase = 'completed' ORDER BY r.id`,
    )
    .all()
  return rows.map((row) => fromRow(row as Row))
}

/** Oldest first. */
function eventsOf(db: Sqlite, id: number): ChainedEvent[] {
  const rows = db.prepare('SELECT * FROM rollout_event WHERE rollout = ? ORDER BY seq').all(id) as EventRow[]
  return rows.map((row) => ({
    seq: row.seq,
    revision: row.revision,
    at: row.at,
    actor: row.actor,
    verb: row.verb as RolloutEvent['verb'],
    from: row.from_phase as RolloutEvent['from'],
    to: row.to_phase as Phase,
    step: row.step,
    weightPpm: row.weight_ppm,
    attempt: row.attempt,
    cause: row.cause,
    reason: row.reason,
    evidence: JSON.parse(row.evidence) as unknown,
    prevHash: row.prev_hash,
    hash: row.hash,
  }))
}

/** Where a chain does not hold; undefined when it does. Recomputes every hash from the rows. */
function findBreak(db: Sqlite, id: number): string | undefined {
  const row = db
    .prepare(`SELECT ${columns} FROM rollout r JOIN rollout_state s ON s.id = r.id WHERE r.id = ?`)
    .get(id) as Row | undefined
  if (!row) return 'there is no such rollout'
  let previous = hashOf(row.definition)
  let last: ChainedEvent | undefined
  const stored = db
    .prepare('SELECT evidence FROM rollout_event WHERE rollout = ? ORDER BY seq')
    .pluck()
    .all(id) as string[]
  const events = eventsOf(db, id)
  for (const [index, event] of events.entries()) {
    if (event.seq !== index + 1) return `event ${index + 1} is missing`
    if (event.prevHash !== previous) return `event ${event.seq} does not follow the one before it`
    if (event.hash !== chainHash(previous, event, stored[index]!)) return `event ${event.seq} was changed`
    previous = event.hash
    last = event
  }
  if (!last) return 'there are no events'
  const { revision, phase, weightPpm } = fromRow(row).state
  const agrees = last.revision === revision && last.to === phase && last.weightPpm === weightPpm
  return agrees ? undefined : `the state (revision ${revision}, ${phase}) is not that of the last event`
}

interface Row {
  id: number
  definition: string
  spec_hash: string
  seed: string
  origin: string
  created_by: string
  created_at: number
  revision: number
  phase: string
  step: number
  weight_ppm: number
  attempt: number
  attempt_revision: number
  step_revision: number
  since: number
  cause: string
  reason: string
  updated_at: number
  attempt_at: number
  base: string | null
}

interface EventRow {
  seq: number
  revision: number
  at: number
  actor: string
  verb: string
  from_phase: string
  to_phase: string
  step: number
  weight_ppm: number
  attempt: number
  cause: string
  reason: string
  evidence: string
  prev_hash: string
  hash: string
}

const baseText = ({ base }: State): string | null => (base === undefined ? null : JSON.stringify(base))

function fromRow(row: Row): StoredRollout {
  return {
    id: row.id,
    definition: readDefinition(row.definition),
    specHash: row.spec_hash,
    seed: row.seed,
    origin: row.origin as RolloutOrigin,
    createdBy: row.created_by,
    createdAt: row.created_at,
    state: {
      revision: row.revision,
      phase: row.phase as Phase,
      step: row.step,
      weightPpm: row.weight_ppm,
      attempt: row.attempt,
      attemptRevision: row.attempt_revision,
      stepRevision: row.step_revision,
      since: row.since,
      cause: row.cause as Cause,
      reason: row.reason,
      updatedAt: row.updated_at,
      attemptAt: row.attempt_at,
      base: row.base === null ? undefined : (JSON.parse(row.base) as string[]),
    },
  }
}

function insert(db: Sqlite, rollout: Omit<StoredRollout, 'id'>, event: NewEvent): number {
  const { definition, state } = rollout
  const { lastInsertRowid } = db
    .prepare(
      `INSERT INTO rollout (name, route, spec_hash, seed, definition, origin, created_by, created_at)
       VALUES (@name, @route, @specHash, @seed, @definition, @origin, @createdBy, @createdAt)`,
    )
    .run({
      name: definition.name,
      route: definition.route,
      specHash: rollout.specHash,
      seed: rollout.seed,
      definition: JSON.stringify(definition),
      origin: rollout.origin,
      createdBy: rollout.createdBy,
      createdAt: rollout.createdAt,
    })
  const id = Number(lastInsertRowid)
  db.prepare(
    `INSERT INTO rollout_state VALUES (@id, @revision, @phase, @step, @weightPpm, @attempt, @attemptRevision, @stepRevision,
      @attemptAt, @since, @cause, @reason, @updatedAt, @base)`,
  ).run({ ...state, base: baseText(state), id })
  append(db, id, event)
  return id
}

function append(db: Sqlite, id: number, event: NewEvent): void {
  const last = db.prepare('SELECT seq, hash FROM rollout_event WHERE rollout = ? ORDER BY seq DESC LIMIT 1').get(id) as
    | { seq: number; hash: string }
    | undefined
  const prevHash =
    last?.hash ?? hashOf(db.prepare('SELECT definition FROM rollout WHERE id = ?').pluck().get(id) as string)
  const evidence = JSON.stringify(event.evidence ?? null)
  const chained = { ...event, seq: (last?.seq ?? 0) + 1 }
  db.prepare(
    `INSERT INTO rollout_event VALUES (@id, @seq, @revision, @at, @actor, @verb, @from, @to, @step, @weightPpm, @attempt, @cause, @reason,
      @evidence, @prevHash, @hash)`,
  ).run({ ...chained, id, evidence, prevHash, hash: chainHash(prevHash, chained, evidence) })
}

/** Lists the fields by name, so that a column added later changes no hash. */
function chainHash(prevHash: string, event: RolloutEvent, evidence: string): string {
  const { seq, revision, at, actor, verb, from, to, step, weightPpm, attempt, cause, reason } = event
  const fields = [prevHash, seq, revision, at, actor, verb, from, to, step, weightPpm, attempt, cause, reason, evidence]
  return hashOf(JSON.stringify(fields))
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex')

/** How the latest try of these arms ended, where a guard or a hard rule ended it. */
function findAbort(db: Sqlite, specHash: string): { name: string; at: number; reason: string } | undefined {
  const last = db
    .prepare(
      `SELECT r.name, s.updated_at AS at, s.reason, s.phase, s.cause FROM rollout r JOIN rollout_state s ON s.id = r.id
       WHERE r.spec_hash = ? AND s.attempt > 0 ORDER BY s.updated_at DESC, r.id DESC LIMIT 1`,
    )
    .get(specHash) as { name: string; at: number; reason: string; phase: string; cause: string } | undefined
  if (last?.phase !== 'rolled_back' || (last.cause !== 'guard' && last.cause !== 'hard')) return undefined
  return { name: last.name, at: last.at, reason: last.reason }
}

function findTakenBack(db: Sqlite): TakenBack[] {
  return db
    .prepare(
      `SELECT r.id AS rollout, r.route, max(e.revision) AS revision
       FROM rollout r JOIN rollout_event e ON e.rollout = r.id LEFT JOIN rollout_dropped d ON d.rollout = r.id
       WHERE e.to_phase = 'rolled_back' AND e.revision > coalesce(d.revision, 0) GROUP BY r.id`,
    )
    .all() as TakenBack[]
}
