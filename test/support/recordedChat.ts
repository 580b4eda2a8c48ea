// Recorded OpenAI-chat traffic, and what the identity lane must make of it: computed from the recording's text, by none of our code.
import { pathToFileURL } from 'node:url'
import { sharedPath } from './shared.ts'

export interface RecordedRow {
  source: string
  request: { method: string; url: string; headers: Record<string, string>; body: string }
  response: { status: number; headers: Record<string, string>; body: string; base64?: boolean }
}

interface Replay {
  load(files: string[], keep?: (row: RecordedRow) => boolean): RecordedRow[]
  serve(
    rows: RecordedRow[],
    options?: { port?: number; chunk?: number; match?: 'exact' | 'path' },
  ): Promise<{ server: import('node:http').Server; url: string; misses: unknown[] }>
}

/** The shared replay tool. */
export const loadReplay = async (): Promise<Replay> =>
  (await import(pathToFileURL(sharedPath('tools', 'replay.mjs')).href)) as Replay

/** Hosts of the recordings by the kind of provider that a user would configure for them. */
const kinds: [RegExp, string][] = [
  [/^api\.openai\.com$/, 'openai'],
  [/^api\.groq\.com$/, 'groq'],
  [/^api\.mistral\.ai$/, 'mistral'],
  [/^api\.deepseek\.com$/, 'deepseek'],
  [/^openrouter\.ai$/, 'openrouter'],
  [/^api\.together\.xyz$/, 'together'],
  [/ollama|:11434$/, 'ollama'],
]

export const kindOf = (row: RecordedRow): string =>
  kinds.find(([pattern]) => pattern.test(new URL(row.request.url).host))?.[1] ?? 'openai-compatible'

/** Providers that send usage unasked: nothing is asked for, so nothing is taken out. */
const unasked = new Set(['mistral', 'deepseek', 'fireworks'])

/** Whether Turnout has to ask for usage in the client's place, and to take it out again. */
export function asksForUsage(row: RecordedRow): boolean {
  const body = JSON.parse(row.request.body) as { stream?: boolean; stream_options?: { include_usage?: boolean } }
  return body.stream === true && body.stream_options?.include_usage !== true && !unasked.has(kindOf(row))
}

/** The request's text with another model. Proved by parsing: the model is another, all else is the same. */
export function withModel(text: string, model: string): string {
  const before = JSON.parse(text) as Record<string, unknown>
  const written = /"model"\s*:\s*"(?:[^"\\]|\\.)*"/g
  for (const match of text.matchAll(written)) {
    const value = match[0].slice(0, match[0].indexOf(':') + 1) + JSON.stringify(model)
    const changed = text.slice(0, match.index) + value + text.slice(match.index + match[0].length)
    if (JSON.stringify(JSON.parse(changed)) === JSON.stringify({ ...before, model })) return changed
  }
  throw new Error(`no model to replace in ${text.slice(0, 80)}`)
}

/** The white space that `withModel` loses around the value, put back. */
export const sameButSpace = (left: string, right: string): boolean =>
  left.replace(/("model"\s*:)\s*/, '$1') === right.replace(/("model"\s*:)\s*/, '$1')

/** What the client must get: the recorded text but for the listed edits. A stream that reports an error ends with that report. */
export function expectedReply(row: RecordedRow): { status: number; body: string } {
  const { status, headers, body } = row.response
  if (status >= 400) return { status, body }
  if (!/event-stream/.test(headers['content-type'] ?? '')) {
    return { status, body: repaired(body, kindOf(row)) }
  }
  const strip = asksForUsage(row)
  let kept = ''
  for (const frame of framesOf(body)) {
    const data = /^data: ?(.*)$/m.exec(frame)?.[1]
    const chunk = data?.startsWith('{') ? (JSON.parse(data) as Chunk) : undefined
    if (chunk?.error) return { status, body: kept + frame }
    if (strip && chunk?.usage && chunk.choices?.length === 0) continue
    const stripped = strip && chunk?.usage === null ? withoutNullUsage(frame, chunk) : frame
    kept += kindOf(row) === 'mistral' ? plainContent(stripped) : stripped
  }
  return { status, body: kept }
}

interface Chunk {
  error?: unknown
  usage?: unknown
  choices?: unknown[]
}

/** A recorded stream's frames with their blank lines. All recordings end their lines with LF. */
function framesOf(text: string): string[] {
  if (text.includes('\r')) throw new Error('a recording with CR: split it by the rules')
  return text.split(/(?<=\n\n)/)
}

/** Takes the top-level `"usage":null` out of a frame, proved by parsing. */
function withoutNullUsage(frame: string, chunk: Chunk): string {
  const { usage, ...rest } = chunk
  for (const match of frame.matchAll(/,\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,\s*/g)) {
    const cut = frame.slice(0, match.index) + frame.slice(match.index + match[0].length)
    if (JSON.stringify(JSON.parse(cut.replace(/^data: ?/, ''))) === JSON.stringify(rest)) return cut
  }
  throw new Error(`no usage ${usage} to take out of ${frame}`)
}

function repaired(body: string, kind: string): string {
  if (kind === 'mistral') return plainContent(typeCalls(body))
  return kind === 'ollama' ? repairStop(body) : body
}

/** Mistral's calls without a type: theirs are written `{"function": …, "id": …, "index": …}`, the type comes behind. */
function typeCalls(body: string): string {
  const typed = body.replace(/("id"\s*:\s*"[a-zA-Z0-9]{9}"(?:, "index": \d+)?)\}/g, '$1,"type":"function"}')
  const calls = (text: string): Record<string, unknown>[] => JSON.parse(text).choices[0].message.tool_calls ?? []
  const told = calls(body).map((call) => ({ ...call, type: 'function' }))
  if (JSON.stringify(calls(typed)) !== JSON.stringify(told)) throw new Error(`calls of another form in ${body}`)
  return typed
}

/** Mistral's lists of thoughts and text: in all recordings the list is followed by the end of its message, or by fields without braces. */
function plainContent(text: string): string {
  const from = /(?<="content": ?)\[/.exec(text)?.index
  if (from === undefined) return text
  let to = from
  let parts: { text?: string; thinking?: { text: string }[] }[] | undefined
  while (!parts) {
    to = text.indexOf(']', to) + 1
    if (to === 0) throw new Error(`a list without an end in ${text}`)
    try {
      parts = JSON.parse(text.slice(from, to))
    } catch {}
  }
  const said = parts.map((part) => part.text ?? '').join('')
  const thoughts = parts.flatMap(({ thinking = [] }) => thinking.map((piece) => piece.text)).join('')
  const end = text.indexOf('}', to)
  const content = said === '' ? 'null' : JSON.stringify(said)
  const reasoning = thoughts === '' ? '' : `,"reasoning_content":${JSON.stringify(thoughts)}`
  return `${text.slice(0, from)}${content}${text.slice(to, end)}${reasoning}${text.slice(end)}`
}

/** Ollama's "stop" after a tool call. */
function repairStop(body: string): string {
  const reply = JSON.parse(body) as { choices?: { finish_reason?: string; message?: { tool_calls?: unknown[] } }[] }
  const choice = reply.choices?.[0]
  if (choice?.finish_reason !== 'stop' || !choice.message?.tool_calls?.length) return body
  return body.replace(/("finish_reason"\s*:\s*)"stop"/, '$1"tool_calls"')
}
