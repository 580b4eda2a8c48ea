// A reply whose head takes lines that are ready: Node looks at each header of a list by itself, and most of ours are the same ones again.
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Refusal } from '../dialects/errors.ts'

/** What every head of Node's goes through; not in its types. */
interface HeadWriter {
  /** @param firstLine what the head begins with, its end of line included */
  _storeHeader(firstLine: string, headers: unknown): void
}

const { _storeHeader: storeHeader } = ServerResponse.prototype as unknown as HeadWriter

/**
 * For `http.createServer({ ServerResponse: LinedResponse })`. With a list of 24 headers a reply took 21 µs, with the same as lines 18.5
 * (Node 20): each name and each value is matched with a pattern, and each name with those that Node has to know of (`content-length`,
 * `connection`, `date`, …).
 */
export class LinedResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  /** See `setLines`. */
  lines = ''
  /** Ends in the middle what makes the reply, which then says why. Set for as long as somebody makes it who can. */
  cutOff: ((why: Refusal) => void) | undefined

  /** @internal */
  _storeHeader(firstLine: string, headers: unknown): void {
    storeHeader.call(this as unknown as HeadWriter, firstLine + this.lines, headers)
  }
}

/**
 * What the head of a reply says first, in place of what was set before; to be called before it is written.
 * @param lines `name: value\r\n` for each, of printable ASCII alone, which nobody checks: nothing that others choose, and no header that
 * Node has to know of
 */
export function setLines(res: ServerResponse, lines: string): void {
  if (res instanceof LinedResponse) res.lines = lines
  // A server of somebody else's makes other replies.
  else
    for (const line of lines.split('\r\n')) {
      const colon = line.indexOf(':')
      if (colon > 0) res.setHeader(line.slice(0, colon), line.slice(colon + 2))
    }
}

/** The reply that a connection of our server is busy with. Node has no public name for it; to note each request would cost every one of them. */
export function replyOn(socket: Socket & { _httpMessage?: LinedResponse | null }): LinedResponse | undefined {
  return socket._httpMessage ?? undefined
}
