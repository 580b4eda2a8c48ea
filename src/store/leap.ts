// Knows of a clock that has leapt ahead within the last day: while nobody was there, or while a gateway ran.
import type { Sqlite } from './driver.ts'
import type { Store } from './open.ts'

/** Milliseconds, the first one since 1970: when it was found, and how much later that is than it should be. */
export interface Leap {
  readonly at: number
  readonly ahead: number
}

const day = 86_400_000

/** Nobody was there for so long, or the clock is wrong. All leaps that are not over yet together. */
export function leapOf({ db }: Pick<Store, 'db'>, now: number = Date.now()): Leap | undefined {
  const begun = beganWith(db, now)
  const noted = notedIn(db, now)
  // What was noted while it ran includes what that run had begun with.
  if (begun === undefined || noted === undefined || begun.at <= noted.at) return noted ?? begun
  return { at: begun.at, ahead: begun.ahead + noted.ahead }
}

/** Where a run of the last day began more than a day after the last sign of life of all before it. */
function beganWith(db: Sqlite, now: number): Leap | undefined {
  return db
    .prepare(
      `SELECT started_at AS at, started_at - seen AS ahead FROM (
         SELECT started_at, (SELECT max(heartbeat_at) FROM instance before WHERE before.started_at < i.started_at) AS seen
         FROM instance i WHERE started_at > @now - @day AND started_at <= @now)
       WHERE started_at - seen > @day ORDER BY started_at DESC LIMIT 1`,
    )
    .get({ now, day }) as Leap | undefined
}

function notedIn(db: Sqlite, now: number): Leap | undefined {
  const read = db.prepare('SELECT value FROM ledger_mark WHERE mark = ?').pluck()
  const at = read.get('leap_at') as number | undefined
  if (at === undefined || at <= now - day || at > now) return undefined
  return { at, ahead: read.get('leap_ahead') as number }
}

/** Of a clock that has leapt while a gateway ran: its signs of life are dated by it, and the next start would believe it. */
export function noteLeap(db: Sqlite, { at, ahead }: Leap): void {
  const write = db.prepare(
    'INSERT INTO ledger_mark (mark, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
  )
  db.transaction(() => {
    write.run('leap_at', Math.floor(at))
    write.run('leap_ahead', Math.floor(ahead))
  }).immediate()
}
