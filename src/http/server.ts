// The listening server: its deadlines, its answers to broken connections, and its slow, complete stop.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import type { ServerSettings } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import { shuttingDown } from '../gateway/call.ts'
import { LinedResponse, replyOn } from '../gateway/linedResponse.ts'
import { Roster } from '../state/roster.ts'
import { answerClientErrors } from './clientError.ts'
import { inTurn } from './inTurn.ts'
import { sendRefusal } from './reply.ts'

export interface ListeningServer {
  readonly url: string
  /** The address that is bound. */
  readonly host: string
  readonly port: number
  /**
   * Stops accepting, lets what runs finish for at most `ms`, then cuts it off: whoever waits for a chat is told so.
   * @returns how many requests were cut off
   */
  drain(ms: number): Promise<number>
}

/**
 * Opens the configured address and port, or listens on a TCP socket that is bound already.
 * @param socket its descriptor
 * @throws when they cannot be bound, or when it is no such socket
 */
export async function listen(
  listener: (req: IncomingMessage, res: ServerResponse) => void,
  settings: ServerSettings,
  socket?: number,
): Promise<ListeningServer> {
  let isOver = false
  /** HTTP/1.1 demands one `Host` (RFC 9112, 3.2), and no two of us should guess what was meant. */
  const served = inTurn((req, res) => {
    // On a connection whose reply was cut off: it would be begun at a vendor, and cut off in its turn.
    if (isOver) return sendRefusal(req, res, shuttingDown(), ['connection', 'close', 'retry-after', '1'])
    const hosts = countHosts(req.rawHeaders)
    if (hosts === 1 || (hosts === 0 && req.httpVersionMinor === 0)) return listener(req, res)
    const problem = hosts === 0 ? 'no Host header' : 'more than one Host header'
    sendRefusal(req, res, new Refusal('bad_http', `The request has ${problem}.`), ['connection', 'close'])
  })
  const server = createServer(
    {
      ServerResponse: LinedResponse,
      keepAlive: true,
      noDelay: true,
      keepAliveTimeout: settings.keepAliveTimeout,
      headersTimeout: settings.headersTimeout,
      // Node counts a request's time from its first byte on, and refuses a limit below that of the headers.
      requestTimeout: settings.headersTimeout + settings.bodyTimeout,
      connectionsCheckingInterval: 1_000,
      // Node's own answer to a missing one has no body: see `served`.
      requireHostHeader: false,
    },
    served,
  )
  answerClientErrors(server)
  // Node leaves out what comes after 2,000 headers: a client could put so many before what a proxy adds. Their size is bounded all the same.
  server.maxHeadersCount = 0
  // An `Expect` that nobody knows may be passed over (RFC 9110, 10.1.1): Node's own answer to it is an empty 417.
  server.on('checkExpectation', served)
  server.setTimeout(settings.sendTimeout, endStalled)
  const sockets = new Roster<Socket>()
  server.on('connection', (socket) => {
    socket.once('close', sockets.add(socket))
  })
  await new Promise<void>((resolve, reject) => {
    const refuse = (error: Error): void =>
      reject(socket === undefined ? error : new Error(`${noSocket} (${error.message})`, { cause: error }))
    server.once('error', refuse)
    const bound = (): void => {
      server.off('error', refuse)
      resolve()
    }
    if (socket === undefined) server.listen(settings.port, settings.host, bound)
    else server.listen({ fd: socket }, HANDED_BACKLOG, bound)
  })
  const place = server.address()
  if (place === null || typeof place === 'string') {
    server.close()
    throw new Error(noSocket)
  }
  const { port, address, family } = place
  return {
    host: address,
    port,
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    drain: (ms) =>
      drain(server, sockets, ms, () => {
        isOver = true
      }),
  }
}

const noSocket = 'What was handed over is no TCP socket to listen on: a `ListenStream=` of systemd with a port is one.'

/** Connections that wait in a socket that outlives us, while another process starts. The system has a bound of its own. */
const HANDED_BACKLOG = 4096

/** Of a list of names and values. Node keeps the first one, where a proxy before us may have gone by the last. */
function countHosts(headers: readonly string[]): number {
  let count = 0
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!
    if (name.length === 4 && name.toLowerCase() === 'host') count++
  }
  return count
}

/** Milliseconds that those who are cut off have to take what they are told of it, and how often where thousands are still being put on record. */
const LAST_WORDS = 1_000
const MOST_ROUNDS = 5

function isTelling(sockets: Iterable<Socket>): boolean {
  for (const socket of sockets) {
    const reply = replyOn(socket)
    if (reply?.cutOff && !reply.writableEnded) return true
  }
  return false
}

/** Returns how many were waiting for a reply. Those whose journey can end with a word get one. */
function cutOff(sockets: Iterable<Socket>): number {
  let count = 0
  for (const socket of sockets) {
    const reply = replyOn(socket)
    if (reply) count++
    if (reply?.cutOff) reply.cutOff(shuttingDown())
    else socket.destroy()
  }
  return count
}

/**
 * Nothing has moved on a connection for so long. One that waits for our reply may; one that takes nothing of it holds its bytes, its file and
 * what feeds it for as long as its system is up. Node asks only when no byte of a long write has left either, and so
 * hands over those that are idle between two requests, after `keepAliveTimeout`.
 */
function endStalled(socket: Socket): void {
  if (socket.writableLength > 0 || !replyOn(socket)) socket.destroy()
}

/** @param over called when the time is over, before anything is cut off */
async function drain(server: Server, sockets: Iterable<Socket>, ms: number, over: () => void): Promise<number> {
  letGo(sockets)
  await takeIn(server)
  letGo(sockets)
  return new Promise((resolve) => {
    let cut = 0
    let timer = setTimeout(() => {
      over()
      cut = cutOff(sockets)
      let rounds = MOST_ROUNDS
      timer = setInterval(() => {
        if (--rounds === 0 || !isTelling(sockets)) server.closeAllConnections()
      }, LAST_WORDS)
    }, ms)
    // Not http's own `close`: it also destroys connections whose reply has ended but not all left yet (`closeIdleConnections` of Node 20).
    NetServer.prototype.close.call(server, () => {
      clearTimeout(timer)
      resolve(cut)
    })
    // Whoever listens: the data plane says so from the moment that it is to end, which is before.
    server.prependListener('request', (_req, res) => {
      res.shouldKeepAlive = false
    })
    for (const socket of sockets) endKept(socket, UNDER_WAY)
  })
}

/** Connections that the system holds for us at most; Node's own number. */
const BACKLOG = 511

/**
 * Requests that have come and were not read yet look like connections that are idle or were never made. Each turn takes in one new
 * connection, the next reads its request, one more comes after both.
 */
async function takeIn(server: Server): Promise<void> {
  let quiet = 0
  const came = (): void => {
    quiet = 0
  }
  server.on('connection', came)
  for (let turns = 0; quiet < 3 && turns < BACKLOG; turns++) {
    quiet++
    await new Promise((resolve) => setImmediate(resolve))
  }
  server.off('connection', came)
}

/** Milliseconds for the next request behind a reply, and for one that may be on its way on a connection that is idle. */
const LAST_ASK = 250
const UNDER_WAY = 50

/**
 * Ends a connection that was to be kept, which would hold the drain up until it idles out. But a client that has just connected, or asks
 * again at once as one under load does, would lose what it sends: so there is a moment for that, and the reply to it says that it is the last.
 */
function endKept(socket: Socket, moment: number): void {
  const reply = replyOn(socket)
  if (reply) return void reply.once('close', () => endKept(socket, LAST_ASK))
  const timer = setTimeout(() => (replyOn(socket) ? endKept(socket, LAST_ASK) : socket.destroySoon()), moment)
  socket.once('close', () => clearTimeout(timer))
}

/** Replies that have not begun can still say that their connection ends: a client that was promised it loses what it sends there next. */
function letGo(sockets: Iterable<Socket>): void {
  for (const socket of sockets) {
    const reply = replyOn(socket)
    if (reply && !reply.headersSent) reply.shouldKeepAlive = false
  }
}
