// Takes up what a client has sent ahead on one connection in its turn: only when the reply before is over.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Requests that may wait on a connection: more than a read of it brings, but for a client that asks without listening. */
const MOST = 1_000

type Listener = (req: IncomingMessage, res: ServerResponse) => void

/**
 * Node hands over each request as soon as it is read, and reads on as long as no replies wait to be taken: thousands of calls at a time for
 * one connection, until the memory is used up. Here one is handed over at a time; a connection with too many behind it is closed.
 */
export function inTurn(listener: Listener): Listener {
  const waiting = new WeakMap<Socket, number>()
  return (req, res) => {
    // A reply has its connection from the start unless another is before it.
    if (res.socket !== null) return listener(req, res)
    const { socket } = req
    const count = (waiting.get(socket) ?? 0) + 1
    if (count > MOST) return void socket.destroy()
    waiting.set(socket, count)
    res.once('socket', () => {
      waiting.set(socket, waiting.get(socket)! - 1)
      listener(req, res)
    })
  }
}
