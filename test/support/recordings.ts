// Reads recorded provider traffic from the shared data.
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { type RecordedWire, readRecordings as readAll, sharedPath } from './shared.ts'

export interface Recording {
  name: string
  url: URL
  request: Record<string, unknown> | undefined
  requestHeaders: Record<string, string>
  status: number
  headers: Record<string, string>
  body: string
  stream: boolean
}

/** The interactions of one wire whose URL passes the filter, with what tests of translators need of them. */
export function readRecordings(wire: RecordedWire, filter: (url: URL) => boolean): Recording[] {
  return readAll(wire).flatMap(({ source, request, response }, at) => {
    const url = new URL(request.url)
    if (!filter(url)) return []
    return {
      name: `${at} ${source.replace(/^.*[:/]/, '')}`,
      url,
      request: parse(request.body ?? ''),
      requestHeaders: request.headers,
      status: response.status,
      headers: response.headers,
      body: response.body,
      stream: (response.headers['content-type'] ?? '').includes('event-stream'),
    }
  })
}

/** Replies without requests: `X.json` whole, `X.chunks.txt` as the SSE text that they were. */
export function readReplies(provider: string, frame: (line: string) => string): Recording[] {
  const folder = sharedPath('recordings', 'vercel-ai', provider)
  return readdirSync(folder).flatMap((file) => {
    const stream = file.endsWith('.chunks.txt')
    if (!stream && !file.endsWith('.json')) return []
    const text = readFileSync(`${folder}/${file}`, 'utf8')
    const body = stream
      ? text
          .split('\n')
          .filter((line) => line.trim() !== '')
          .map(frame)
          .join('')
      : text
    const url = new URL(`file:///${provider}`)
    return {
      name: basename(file),
      url,
      request: undefined,
      requestHeaders: {},
      status: 200,
      headers: {},
      body,
      stream,
    }
  })
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return undefined
  }
}
