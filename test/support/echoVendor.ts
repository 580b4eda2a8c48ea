// A vendor that says back whatever it was sent, wherever it can: in answers, errors, streams, headers, names.
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { chunk, finishChunk, reply, roleChunk, usage, usageChunk } from './chatBodies.ts'
import {
  cut,
  type FakeUpstream,
  openSse,
  sendJson,
  sendSse,
  sseText,
  startFakeUpstream,
  writePieces,
} from './fakeUpstream.ts'

type Json = Record<string, unknown>

/** What it does, by the model that is asked for; `error-NNN` answers with that status. */
export const echoModels = [
  'ok',
  'silent',
  'odd-names',
  'plain-500',
  'garbage',
  'in-band',
  'cut-stream',
  'error-in-stream',
  'error-400',
  'error-401',
  'error-404',
  'error-429',
  'error-500',
  'error-503',
] as const

/** Speaks OpenAI's dialect, and Anthropic's where it is asked on its path. */
export function startEchoVendor(): Promise<FakeUpstream> {
  return startFakeUpstream((req, res, raw) => {
    const text = raw.toString()
    const body = JSON.parse(text) as Json
    const isAnthropic = req.url?.endsWith('/messages') ?? false
    return answer(res, String(body.model), body, `${text} ${headersOf(req.headers)}`, isAnthropic)
  })
}

const headersOf = (headers: IncomingHttpHeaders): string => JSON.stringify(headers)

function answer(
  res: ServerResponse,
  model: string,
  body: Json,
  echo: string,
  isAnthropic: boolean,
): void | Promise<void> {
  const error = { message: echo, type: echo, code: echo, param: echo, status: echo, details: echo }
  const failed = isAnthropic ? { type: 'error', error, request_id: echo } : { error }
  // A header takes no line breaks.
  const headers = {
    'x-request-id': encodeURIComponent(echo).slice(0, 6_000),
    'x-echo': encodeURIComponent(echo).slice(0, 500),
  }
  if (model === 'silent') return answer(res, 'ok', body, 'nothing of it', isAnthropic)
  const [, status] = /^error-(\d+)$/.exec(model) ?? []
  if (status !== undefined) return sendJson(res, Number(status), failed, headers)
  if (model === 'plain-500') {
    res.writeHead(500, { 'content-type': 'text/plain' })
    res.end(echo)
    return
  }
  if (model === 'garbage') return sendJson(res, 200, `${echo} {"choices": [`)
  if (model === 'in-band') return sendJson(res, 200, failed)
  if (model === 'odd-names') {
    const odd = { model: echo, system_fingerprint: echo, service_tier: echo, id: echo }
    if (isAnthropic)
      return sendJson(res, 200, { ...message(echo, 'end_turn'), model: echo, id: echo, stop_sequence: echo })
    if (!body.stream) return sendJson(res, 200, reply(echo, { finish_reason: echo }, odd))
    return sendSse(
      res,
      sseText([{ ...roleChunk, ...odd }, chunk({ content: echo }, null, odd), chunk({}, echo, odd), usageChunk]),
    )
  }
  if (model === 'cut-stream' || model === 'error-in-stream') {
    openSse(res)
    const pieces = isAnthropic ? begun(echo) : [sseText([roleChunk, chunk({ content: echo })], { done: false })]
    if (model === 'error-in-stream')
      pieces.push(isAnthropic ? named('error', failed) : sseText([failed], { done: false }))
    return writePieces(res, pieces).then(() => {
      if (model === 'cut-stream') cut(res)
      else res.end()
    })
  }
  if (isAnthropic) {
    if (!body.stream) return sendJson(res, 200, message(echo, 'end_turn'))
    openSse(res)
    return writePieces(res, [...begun(echo), ...ended]).then(() => void res.end())
  }
  if (!body.stream) return sendJson(res, 200, reply(echo), headers)
  return sendSse(res, sseText([roleChunk, chunk({ content: echo }), finishChunk(), { ...usageChunk, usage }]))
}

const named = (event: string, data: unknown): string => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`

const message = (text: string, stop: string): Json => ({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'vendor-model',
  content: [{ type: 'text', text }],
  stop_reason: stop,
  stop_sequence: null,
  usage: { input_tokens: 3, output_tokens: 2 },
})

const begun = (text: string): string[] => [
  named('message_start', { type: 'message_start', message: { ...message('', ''), content: [], stop_reason: null } }),
  named('content_block_start', { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
  named('content_block_delta', { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }),
]

const ended = [
  named('content_block_stop', { type: 'content_block_stop', index: 0 }),
  named('message_delta', {
    type: 'message_delta',
    delta: { stop_reason: 'end_turn', stop_sequence: null },
    usage: { output_tokens: 2 },
  }),
  named('message_stop', { type: 'message_stop' }),
]
