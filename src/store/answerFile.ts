// Copies the response cache's answers into a file of their own, behind the requests: answers wait in a bounded queue for a thread.
import { rm } from 'node:fs/promises'
import { startThread } from '../thread.ts'
import { type AnswerFilter, type AnswerHead, type AnswerPage, type AnswerRow, filesOf } from './answerTable.ts'
import { makeRemote, type Remote } from './remote.ts'

export type AnswerAsk = { id: number } & (
  | { verb: 'write'; heads: (AnswerHead & { length: number })[]; bodies: ArrayBuffer }
  | { verb: 'remove'; filter: AnswerFilter }
  | { verb: 'begin'; room: number; each: number; now: number }
  | { verb: 'page'; after: number; now: number }
  | { verb: 'sweep'; now: number }
  | { verb: 'resize'; size: number }
  | { verb: 'close' }
)

/** What the thread says, with how the file stands. */
interface Told {
  value: unknown
  entries: number
  bytes: number
  /** Why the file was begun anew since the last answer. */
  anew: string | undefined
}

export interface AnswerReply {
  id: number
  value: Told
}

/** What was done since the start, in answers: `skipped` for want of room in the queue or in the file, `failed` because the file could not be written. */
export type AnswerEvent = 'written' | 'read' | 'skipped' | 'failed' | 'damaged'

export interface AnswerFile {
  /** Returns at once; the answer is in the file soon after, or never. */
  put(row: AnswerRow): void
  /** Resolves to the number of answers that were taken out, when they are gone from the file. Rejects when that cannot be. */
  remove(filter: AnswerFilter): Promise<number>
  /** The latest answers that fit in `room` bytes with `each` bytes on top of every one, oldest first, in small pages. Never throws. */
  load(room: number, each: number): AsyncGenerator<readonly AnswerRow[]>
  /** Deletes what is over. */
  sweep(): void
  /** Another bound of the file, in bytes. */
  resize(size: number): void
  readonly counts: Readonly<Record<AnswerEvent, number>>
  /** As the thread last said; 0 before it has opened the file. */
  readonly entries: number
  readonly bytes: number
  readonly size: number
  /** Whether the last thing that was asked of the file was done. */
  readonly working: boolean
  /** Resolves when what waits is written, or cannot be. */
  flushed(): Promise<void>
  /** Writes what waits, and lets go of the file. */
  close(): Promise<void>
}

export interface AnswerFileOptions {
  readonly file: string
  /** Most bytes of the file. */
  readonly size: number
  /** Told when the file is begun anew, cannot be used, and can be used again. */
  readonly told: (text: string, error?: unknown) => void
  /** Unix milliseconds. */
  readonly now?: (() => number) | undefined
}

/** Milliseconds that answers wait for others, to be written together. */
const PATIENCE = 100
/** Bytes that may wait; while more come than the disk takes, the rest is kept in memory alone. */
const QUEUE = 8 * 1024 ** 2
/** Bytes and answers that are handed over in one turn of the event loop. */
const BATCH_BYTES = 512 * 1024
const BATCH_ROWS = 128

/** Deletes the file of a cache that is no longer to be kept. */
export async function discardAnswers(file: string): Promise<void> {
  for (const name of filesOf(file)) await rm(name, { force: true })
}

/** The thread starts with the first thing to do. */
export function openAnswerFile({ file, size: firstSize, told, now = Date.now }: AnswerFileOptions): AnswerFile {
  let size = firstSize
  const counts: Record<AnswerEvent, number> = { written: 0, read: 0, skipped: 0, failed: 0, damaged: 0 }
  const waiting = new Map<string, AnswerRow>()
  let queued = 0
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> | undefined
  let remote: Remote | undefined
  let working = true
  let entries = 0
  let bytes = 0
  let closed = false

  async function ask(question: Record<string, unknown>, transfer?: ArrayBuffer[]): Promise<unknown> {
    if (!remote || remote.ended) remote = makeRemote(startThread('store/answerWorker', { workerData: { file, size } }))
    try {
      const answer = (await remote.ask(question, transfer)) as Told
      ;({ entries, bytes } = answer)
      if (!working) told("the response cache's file can be used again")
      working = true
      if (answer.anew !== undefined) told(`the response cache's file is begun anew: ${answer.anew}`)
      return answer.value
    } catch (error) {
      if (working) told("the response cache's file cannot be used: answers are kept in memory alone", error)
      working = false
      throw error
    }
  }

  function schedule(patience: number): void {
    if (timer || writing || closed || waiting.size === 0) return
    timer = setTimeout(flush, patience).unref()
  }

  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    const rows: AnswerRow[] = []
    let length = 0
    for (const row of waiting.values()) {
      if (rows.length > 0 && (rows.length === BATCH_ROWS || length + row.body.length > BATCH_BYTES)) break
      rows.push(row)
      length += row.body.length
    }
    for (const row of rows) forget(row)
    if (rows.length === 0) return
    const { heads, bodies } = joined(rows, length)
    writing = ask({ verb: 'write', heads, bodies }, [bodies])
      .then(
        (taken) => {
          counts.written += taken as number
          counts.skipped += rows.length - (taken as number)
        },
        () => {
          counts.failed += rows.length
        },
      )
      .finally(() => {
        writing = undefined
        schedule(0)
      })
  }

  async function flushed(): Promise<void> {
    // Where the file cannot be written each try empties some of the queue, too.
    while (writing || waiting.size > 0) {
      if (!writing) flush()
      await writing
    }
  }

  function forget(row: AnswerRow): void {
    waiting.delete(row.key)
    queued -= weightOf(row)
  }

  return {
    put(row) {
      if (closed) return
      const before = waiting.get(row.key)
      if (before) forget(before)
      if (queued + weightOf(row) > QUEUE) {
        counts.skipped++
        return
      }
      waiting.set(row.key, row)
      queued += weightOf(row)
      schedule(PATIENCE)
    },
    async remove(filter) {
      for (const row of waiting.values()) if (fits(filter, row)) forget(row)
      // Those that are being written are asked for before.
      return (await ask({ verb: 'remove', filter })) as number
    },
    async *load(room, each) {
      try {
        let after: number | undefined = (await ask({ verb: 'begin', room, each, now: now() })) as number
        while (after !== undefined && !closed) {
          const page = (await ask({ verb: 'page', after, now: now() })) as AnswerPage
          counts.damaged += page.damaged
          counts.read += page.rows.length
          yield page.rows
          after = page.after
        }
      } catch {
        // Told already. Whatever was read is of use.
      }
    },
    sweep: () => void ask({ verb: 'sweep', now: now() }).catch(() => {}),
    resize(next) {
      if (next === size) return
      size = next
      ask({ verb: 'resize', size }).catch(() => {})
    },
    counts,
    get entries() {
      return entries
    },
    get bytes() {
      return bytes
    },
    get size() {
      return size
    },
    get working() {
      return working
    },
    flushed,
    async close() {
      await flushed()
      closed = true
      clearTimeout(timer)
      await remote?.close()
    },
  }
}

const weightOf = ({ body, facts }: AnswerRow): number => body.length + facts.length + 512

const fits = (filter: AnswerFilter, row: AnswerRow): boolean =>
  (['route', 'key', 'target', 'owner'] as const).every(
    (name) => filter[name] === undefined || filter[name] === row[name],
  )

/** All bodies in one piece of memory that can be handed over without another copy. */
function joined(rows: readonly AnswerRow[], length: number) {
  const bodies = new ArrayBuffer(length)
  const bytes = new Uint8Array(bodies)
  let at = 0
  const heads = rows.map(({ body, ...head }) => {
    bytes.set(body, at)
    at += body.length
    return { ...head, length: body.length }
  })
  return { heads, bodies }
}
