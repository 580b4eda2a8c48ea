// Turns ledger rows into CSV or JSON lines, a piece at a time.
import { formatUsd } from '../pricing/decimal.ts'
import type { Sqlite } from './driver.ts'
import { firstIdOf, idsPerRequest, printId, requestOf } from './ledgerId.ts'
import { filterTerms, type RequestFilter, whereOf } from './requestRead.ts'

export type ExportFormat = 'csv' | 'jsonl'

export interface ExportAsk extends RequestFilter {
  format: ExportFormat
  /** A line per request, or a line per upstream call. */
  rows: 'requests' | 'attempts'
  /** Id of the last row of the piece before. */
  after?: number | undefined
  limit?: number | undefined
}

const pieceSize = 1000

/** The next piece in the order of ids, and where the one after it begins; `next` is undefined at the end. A CSV begins with its header. */
export function exportPiece(db: Sqlite, ask: ExportAsk): { text: string; next: number | undefined } {
  const limit = ask.limit ?? pieceSize
  const rows = ask.rows === 'requests' ? readRequests(db, ask, limit) : readAttempts(db, ask, limit)
  const lines = rows.map(present)
  const columns = columnsOf(db, ask.rows)
  const text =
    ask.format === 'jsonl'
      ? lines.map((line) => `${JSON.stringify(line)}\n`).join('')
      : lines.map((line) => csvLine(columns, line)).join('')
  const header = ask.format === 'csv' && ask.after === undefined ? `${columns.join(',')}\r\n` : ''
  return { text: header + text, next: rows.length === limit ? Number(rows.at(-1)?.id) : undefined }
}

type Row = Record<string, unknown>

function readRequests(db: Sqlite, ask: ExportAsk, limit: number): Row[] {
  const { terms, values } = filterTerms(ask)
  terms.push('r.id > @after')
  const ids = `SELECT r.id FROM request r ${whereOf(terms)} ORDER BY r.id LIMIT @limit`
  return db
    .prepare(`SELECT * FROM requests WHERE id IN (${ids}) ORDER BY id`)
    .all({ ...values, after: ask.after ?? 0, limit }) as Row[]
}

function readAttempts(db: Sqlite, ask: ExportAsk, limit: number): Row[] {
  const { terms, values } = filterTerms(ask)
  const match = `EXISTS (SELECT 1 FROM request r ${whereOf([`r.id = t.id - t.id % ${idsPerRequest}`, ...terms])})`
  const bounds = ['t.id > @after', ask.to === undefined ? '' : 't.id < @end', match].filter(Boolean)
  const after = Math.max(ask.after ?? 0, ask.from === undefined ? 0 : firstIdOf(ask.from) - 1)
  const ids = `SELECT t.id FROM attempt t ${whereOf(bounds)} ORDER BY t.id LIMIT @limit`
  const end = ask.to === undefined ? {} : { end: firstIdOf(ask.to) }
  return db
    .prepare(`SELECT * FROM attempts WHERE id IN (${ids}) ORDER BY id`)
    .all({ ...values, ...end, after, limit }) as Row[]
}

/** A row for people: printed ids, ISO time, exact dollars, names without value left empty. */
function present(row: Row): Row {
  const line: Row = {}
  for (const [name, value] of Object.entries(row)) {
    if (name === 'id' || name === 'request' || name === 'shadow_of')
      line[name] = value === null ? null : printId(requestOf(value as number))
    else if (name === 'at') line[name] = new Date(value as number).toISOString()
    else if (name === 'stream' || name === 'estimated') line[name] = value === 1
    else if (name === 'cost') {
      line.cost_nano_usd = value
      line.cost_usd = value === null ? null : formatUsd(value as number)
    } else if (name === 'cache_saved') line.cache_saved_nano_usd = value
    else if ((name === 'tags' || name === 'losses') && value !== null) line[name] = JSON.parse(value as string)
    else line[name] = value === '' ? null : value
  }
  // An attempt has no printed id of its own: it is the request's, and its number.
  if (row.n !== undefined) delete line.id
  return line
}

function columnsOf(db: Sqlite, rows: 'requests' | 'attempts'): string[] {
  const names = db
    .prepare(`SELECT * FROM ${rows}`)
    .columns()
    .map((column) => column.name)
  return names.filter((name) => rows === 'requests' || name !== 'id').flatMap((name) => shownAs[name] ?? [name])
}

const shownAs: Readonly<Record<string, string[]>> = {
  cost: ['cost_nano_usd', 'cost_usd'],
  cache_saved: ['cache_saved_nano_usd'],
}

function csvLine(columns: readonly string[], line: Row): string {
  return `${columns.map((name) => csvCell(line[name])).join(',')}\r\n`
}

/** RFC 4180. A text that a spreadsheet would run as a formula gets an apostrophe in front: names and tags come from clients. */
export function csvCell(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  let text = typeof value === 'string' ? value : JSON.stringify(value)
  if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
