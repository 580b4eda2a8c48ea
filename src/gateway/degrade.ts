// The answer that a route gives when all its targets failed and its operator prefers words to an error. Always marked as one.
import type { ChatEvent } from '../dialects/chat.ts'
import type { Call } from './call.ts'
import { costLine } from './costHeaders.ts'
import { writeHead } from './headers.ts'

/** Writes the route's failure message as a reply in the client's dialect, with `x-turnout-degraded`. */
export function degrade(call: Call): void {
  const inbound = call.dialect.inbound!
  const { ask } = call.inspected!
  const context = { id: `chatcmpl-${call.id}`, created: Math.floor(Date.now() / 1000) }
  const events: ChatEvent[] = [
    { type: 'start', model: ask.model },
    { type: 'block-start', index: 0, block: { type: 'text' } },
    { type: 'block-delta', index: 0, text: call.route!.failureMessage },
    { type: 'block-end', index: 0 },
    { type: 'finish', reason: 'stop' },
    { type: 'end' },
  ]
  const body = ask.stream ? events.map(inbound.stream!(ask, context)).join('') : inbound.reply!(events, ask, context)
  const type = ask.stream ? 'text/event-stream; charset=utf-8' : 'application/json'
  const cost = call.attempts.length > 0 ? costLine(call) : ''
  writeHead(
    call,
    200,
    ['content-type', type, 'content-length', String(Buffer.byteLength(body))],
    `${cost}x-turnout-degraded: true\r\n`,
  )
  call.res.end(body)
}
