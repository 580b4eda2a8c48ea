// What a vendor's reply is, whatever it is called: some call their streams JSON, and mark what is plain.
import { UpstreamFault } from '../dialects/errors.ts'
import type { Lane } from './lane.ts'

/** It is called JSON. */
export const isJson = (headers: Readonly<Record<string, unknown>>): boolean =>
  /^application\/(?:[\w.+-]+\+)?json\b/i.test(String(headers['content-type'] ?? ''))

/** It is not called a stream of events, and begins as JSON or HTML does. */
export const isDocument = (headers: Readonly<Record<string, unknown>>, begin: Buffer): boolean =>
  !/^text\/event-stream\b/i.test(String(headers['content-type'] ?? '')) &&
  /^\s*[{<]/.test(withoutMark(begin).toString('latin1', 0, 64))

/** It begins as a stream of events does. */
export const isEvents = (body: Buffer): boolean => /^\s*(?:data|event|id|retry)?:/.test(body.toString('latin1', 0, 64))

/** A byte order mark before JSON: no parser has to take it (RFC 8259, 8.1), and `fetch`, which the vendor was tried with, hides it. */
export const withoutMark = (body: Buffer): Buffer =>
  body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? body.subarray(3) : body

/** A stream that came as a whole reply. */
export function passAtOnce(lane: Lane, body: Buffer): ReturnType<Lane['restream']> {
  const stream = lane.stream()
  stream.push(body)
  stream.end()
  const { fault, facts } = stream
  if (fault) return facts.usage === undefined ? fault : { body, facts, fault }
  return { body: Buffer.concat([...stream.ready, ...stream.held]), facts }
}

export const unreadable = (): UpstreamFault => new UpstreamFault('garbage', "The upstream's reply cannot be read.")
