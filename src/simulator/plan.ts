// The timetable of one reply: which bytes are due when, and how it ends. Made once for equal requests and used many times.
import type { Draft, Ending } from './draft.ts'
import type { ReplyUsage } from './reply.ts'
import type { FaultKind, Script } from './script.ts'

export interface Part {
  bytes: Buffer
  /** Milliseconds after the headers. */
  at: number
  /** Tokens generated when this part is out. */
  generated: number
}

export interface Plan {
  readonly id: string
  /** 0 = no headers are ever sent. */
  readonly status: number
  /** Names and values in turn, as `writeHead` takes them. */
  readonly headers: string[]
  readonly stream: boolean
  /** Milliseconds before the headers; of a JSON reply with the time that its generation takes. */
  readonly waitMs: number
  /** The part of `waitMs` before generation begins. */
  readonly idleMs: number
  readonly msPerToken: number
  readonly parts: readonly Part[]
  readonly ending: Ending
  readonly keepAlive: { ms: number; bytes: Buffer } | undefined
  readonly split: number | undefined
  /** The whole body, where it can go out in one write. */
  readonly instant: Buffer | undefined
  readonly usage: ReplyUsage | undefined
  readonly tokens: number
  readonly fault: FaultKind | undefined
}

/** A body above this goes out in several writes with backpressure. */
export const WRITE_BYTES = 64 * 1024

export function makePlan(draft: Draft, script: Script): Plan {
  const msPerToken = script.tokensPerSecond === undefined ? 0 : 1000 / script.tokensPerSecond
  const eol = script.lineEnding ?? '\n'
  const stream = draft.body.form === 'sse'
  const firstTokenMs = script.firstTokenMs ?? 0
  const parts = partsOf(draft, firstTokenMs, msPerToken, eol)
  const tokens = draft.body.form === 'json' ? draft.body.tokens : (parts.at(-1)?.generated ?? 0)
  const idleMs = draft.headersDelayMs + (!stream && tokens > 0 ? firstTokenMs : 0)
  const waitMs = idleMs + (stream ? 0 : Math.max(0, tokens - 1) * msPerToken)
  const keepAliveMs = stream ? script.keepAliveMs : undefined
  const bytes = parts.reduce((sum, part) => sum + part.bytes.length, 0)
  const plain = draft.ending === 'end' && draft.status !== 0 && waitMs === 0 && script.split === undefined
  const atOnce = plain && bytes <= WRITE_BYTES && (parts.at(-1)?.at ?? 0) === 0
  return {
    id: draft.id,
    status: draft.status,
    headers: headersOf(draft, script, bytes),
    stream,
    waitMs,
    idleMs,
    msPerToken,
    parts,
    ending: draft.ending,
    keepAlive:
      keepAliveMs === undefined ? undefined : { ms: keepAliveMs, bytes: Buffer.from(`: keep-alive${eol}${eol}`) },
    split: script.split,
    instant: atOnce ? Buffer.concat(parts.map((part) => part.bytes)) : undefined,
    usage: draft.usage,
    tokens,
    fault: draft.fault,
  }
}

function partsOf(draft: Draft, firstTokenMs: number, msPerToken: number, eol: string): Part[] {
  if (draft.body.form === 'json') {
    const { bytes, tokens } = draft.body
    return bytes.length === 0 ? [] : [{ bytes, at: 0, generated: tokens }]
  }
  let generated = 0
  let at = 0
  return draft.body.frames.map((frame) => {
    if (frame.tokens > 0) {
      generated += frame.tokens
      at = firstTokenMs + (generated - 1) * msPerToken
    }
    // The ending of a reply without any token still takes the time of a first one.
    if (frame.final) at = Math.max(at, firstTokenMs)
    if ('raw' in frame) return { bytes: frame.raw, at, generated }
    const event = frame.event === undefined ? '' : `event: ${frame.event}${eol}`
    return { bytes: Buffer.from(`${event}data: ${frame.data}${eol}${eol}`), at, generated }
  })
}

function headersOf(draft: Draft, script: Script, bytes: number): string[] {
  const headers = new Map(draft.headers)
  if (draft.body.form === 'json' || draft.lengthOff !== undefined) {
    headers.set('content-length', String(Math.max(0, bytes + (draft.lengthOff ?? 0))))
  }
  for (const [name, value] of Object.entries(script.headers ?? {})) headers.set(name.toLowerCase(), value)
  return [...headers].flat()
}
