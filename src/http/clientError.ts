// Answers connections whose bytes are no request that Node's parser accepts, in the error shape that clients know.
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { Refusal } from '../dialects/errors.ts'
import { type LinedResponse, replyOn } from '../gateway/linedResponse.ts'
import { rawRefusal } from './reply.ts'

/** Milliseconds that a refused client has to take its answer. */
const LINGER = 2_000

/** Call once per server: answers what Node's parser rejects, then closes the connection. */
export function answerClientErrors(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, stream) => {
    const socket = stream as Socket
    // Node answers on the request itself when one is in progress; a second answer would corrupt it.
    if (error.code === 'ECONNRESET' || !socket.writable || isAnswering(socket)) {
      socket.destroy()
      return
    }
    const [refusal, reason] = refusalOf(error.code)
    const reply = replyOn(socket)
    // One whose end came in the middle has left, with its connection.
    if (reply?.cutOff && error.code !== 'HPE_INVALID_EOF_STATE') return endReply(socket, reply, refusal)
    socket.write(rawRefusal(refusal, reason))
    linger(socket)
  })
  // Without a listener Node hangs up on such a request without a word.
  server.on('connect', (_req, stream) => {
    const socket = stream as Socket
    if (!socket.writable || isAnswering(socket)) {
      socket.destroy()
      return
    }
    const refusal = new Refusal('method_not_allowed', 'Not allowed to CONNECT: this is no proxy.')
    socket.write(rawRefusal(refusal, 'Method Not Allowed'))
    linger(socket)
  })
}

function refusalOf(code: string | undefined): [Refusal, string] {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return [new Refusal('headers_too_large', "The request's headers are too large."), 'Request Header Fields Too Large']
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return [new Refusal('request_timeout', 'The request did not arrive in time.'), 'Request Timeout']
  }
  return [new Refusal('bad_http', 'The request is not valid HTTP.'), 'Bad Request']
}

/** It was on its journey when the rest of it failed to come: it ends there, and is on record with what its client is told. */
function endReply(socket: Socket, reply: LinedResponse, refusal: Refusal): void {
  readOn(socket)
  socket.destroySoon = () => linger(socket)
  reply.shouldKeepAlive = false
  reply.cutOff!(refusal)
}

/** A client that is still sending would have its unread answer thrown away by a reset: read on for a moment, into nothing. */
function linger(socket: Socket): void {
  readOn(socket)
  socket.on('error', () => socket.destroy())
  socket.end()
  const timer = setTimeout(() => socket.destroy(), LINGER)
  socket.once('close', () => clearTimeout(timer))
}

/** What still comes is no request, nor a part of one. */
function readOn(socket: Socket): void {
  socket.removeAllListeners('data')
  socket.on('data', () => {})
  socket.resume()
}

/** Whether part of an answer has gone out already. */
const isAnswering = (socket: Socket): boolean => replyOn(socket)?.headersSent === true
