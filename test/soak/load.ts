// Clients that ask without pause over connections that they keep, and judge each reply: whole, broken, or left behind.
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  text: string
  /** The message ended as HTTP says it must. */
  complete: boolean
  /** Why there is no reply, or no more of it. */
  error: string | undefined
}

export interface Asking {
  /** Called with each piece, and the function that makes the client leave. */
  onPiece?: (piece: Buffer, leave: () => void) => void
  /** Milliseconds after which the client leaves, whatever has come. */
  leaveAfter?: number
  headers?: Record<string, string>
  /** Milliseconds between the two halves of the body. */
  bodyGap?: number
}

/** One client with connections of its own. */
export class LoadClient {
  readonly #url: URL
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  constructor(url: string) {
    this.#url = new URL('/v1/chat/completions', url)
  }

  /** Never rejects. A client that has left gets what had come until then, with the error `left`. */
  ask(body: Record<string, unknown>, { onPiece, leaveAfter, bodyGap, headers }: Asking = {}): Promise<Reply> {
    return new Promise((resolve) => {
      const it: Reply = { status: 0, headers: {}, text: '', complete: false, error: undefined }
      const pieces: Buffer[] = []
      let timer: NodeJS.Timeout | undefined
      const end = (error?: string): void => {
        clearTimeout(timer)
        it.error ??= error
        it.text = Buffer.concat(pieces).toString('utf8')
        resolve(it)
      }
      const sent = request(this.#url, {
        method: 'POST',
        agent: this.#agent,
        headers: { 'content-type': 'application/json', ...headers },
      })
      const leave = (): void => {
        it.error = 'left'
        sent.destroy()
      }
      if (leaveAfter !== undefined) timer = setTimeout(leave, leaveAfter)
      sent.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
      sent.on('response', (response: IncomingMessage) => {
        it.status = response.statusCode ?? 0
        it.headers = response.headers
        response.on('data', (piece: Buffer) => {
          pieces.push(piece)
          onPiece?.(piece, leave)
        })
        response.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
        response.on('close', () => {
          it.complete = response.complete && it.error === undefined
          end()
        })
      })
      const text = JSON.stringify(body)
      if (bodyGap === undefined) sent.end(text)
      else {
        sent.setHeader('content-length', Buffer.byteLength(text))
        sent.write(text.slice(0, 20))
        setTimeout(() => sent.end(text.slice(20)), bodyGap)
      }
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** Runs so many clients, each asking again as soon as it is done, until `stopped` says so. Resolves when all are done. */
export async function runClients(
  url: string,
  count: number,
  stopped: () => boolean,
  turn: (client: LoadClient, number: number) => Promise<void>,
): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, async (_, number) => {
      const client = new LoadClient(url)
      while (!stopped()) await turn(client, number)
      client.close()
    }),
  )
}

/** The events of a chat stream as JSON, and whether the end marker came. */
export function readStream(text: string): {
  events: { model?: string; error?: unknown; choices?: { delta?: { content?: string } }[] }[]
  done: boolean
} {
  const data = text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice(6))
  return {
    events: data.filter((line) => line !== '[DONE]').map((line) => JSON.parse(line)),
    done: data.at(-1) === '[DONE]',
  }
}
