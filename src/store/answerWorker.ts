// The thread that keeps the response cache's file, so that neither writing nor reading it ever runs in the event loop.
import { parentPort, workerData } from 'node:worker_threads'
import type { AnswerAsk, AnswerReply } from './answerFile.ts'
import { type AnswerRow, type AnswerTable, DamagedFile, deleteAnswers, explain, openAnswers } from './answerTable.ts'

const port = parentPort
if (!port) throw new Error('answerWorker runs as a worker thread')
const { file, size: firstSize } = workerData as { file: string; size: number }
let size = firstSize
let table: AnswerTable | undefined
/** Why it was begun anew, until that is told. */
let anew: string | undefined

/** Opened with the first thing to do, and again where somebody took it away. */
function open(): AnswerTable {
  if (table?.lost) {
    table.close()
    table = undefined
    anew = 'it was taken away'
  }
  if (table) return table
  try {
    table = openAnswers(file, size)
  } catch (error) {
    if (!(error instanceof DamagedFile)) throw error
    beginAnew(error.message)
    table = openAnswers(file, size)
  }
  return table
}

function beginAnew(why: string): void {
  table?.close()
  table = undefined
  deleteAnswers(file)
  anew = why
}

port.on('message', (ask: AnswerAsk) => {
  try {
    const value = withCare(ask)
    const told = { value, entries: table?.entries ?? 0, bytes: table?.bytes ?? 0, anew }
    anew = undefined
    port.postMessage({ id: ask.id, value: told } satisfies AnswerReply)
  } catch (error) {
    port.postMessage({ id: ask.id, error: error instanceof Error ? error.message : String(error) })
  }
  if (ask.verb === 'close') port.close()
})

/** Once more on a new file when this one turns out to be damaged. */
function withCare(ask: AnswerAsk): unknown {
  try {
    return act(ask)
  } catch (error) {
    const explained = explain(error)
    // What cannot be taken out of the file goes with it; not where the file is another process's.
    if (!(explained instanceof DamagedFile) && !(ask.verb === 'remove' && table)) throw explained
    beginAnew(explained instanceof Error ? explained.message : String(explained))
    return ask.verb === 'remove' ? 0 : act(ask)
  }
}

function act(ask: AnswerAsk): unknown {
  switch (ask.verb) {
    case 'write':
      return open().write(rowsOf(ask))
    case 'remove':
      return open().remove(ask.filter)
    case 'begin':
      open().sweep(ask.now)
      return open().begin(ask.room, ask.each, ask.now)
    case 'page':
      return open().page(ask.after, ask.now)
    case 'sweep':
      return open().sweep(ask.now)
    case 'resize':
      size = ask.size
      return table?.resize(size)
    case 'close':
      table?.close()
      table = undefined
      return undefined
  }
}

function rowsOf({ heads, bodies }: AnswerAsk & { verb: 'write' }): AnswerRow[] {
  let at = 0
  return heads.map(({ length, ...head }) => {
    const body = new Uint8Array(bodies, at, length)
    at += length
    return { ...head, body }
  })
}
