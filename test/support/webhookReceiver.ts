// A server that webhooks post to: keeps what came, answers as it is told, and verifies signatures with OpenAI's own code.
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import OpenAI from 'openai'

export interface ReceivedMessage {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into messages freely
  readonly body: any
  readonly at: number
}

export interface WebhookReceiver {
  readonly url: string
  readonly port: number
  readonly messages: ReceivedMessage[]
  /** How the next ones are answered: a status, or whatever a test wants to do with the response. The last one stays. */
  answer(...with_: (number | Answer)[]): void
  /** Resolves when so many came in all. */
  received(count: number): Promise<ReceivedMessage[]>
  /** Throws unless the message is signed with the secret, as Standard Webhooks says. */
  verify(message: ReceivedMessage, secret: string): Promise<void>
  close(): Promise<void>
}

export type Answer = (res: ServerResponse, req: IncomingMessage) => void

export async function startReceiver(port = 0): Promise<WebhookReceiver> {
  const messages: ReceivedMessage[] = []
  const waiting: (() => void)[] = []
  let script: (number | Answer)[] = [200]
  const sockets = new Set<Socket>()
  const server = createServer(async (req, res) => {
    const text = String(await buffer(req))
    messages.push({
      method: req.method!,
      path: req.url!,
      headers: req.headers,
      text,
      body: JSON.parse(text),
      at: performance.now(),
    })
    const next = script.length > 1 ? script.shift()! : script[0]!
    if (typeof next === 'function') next(res, req)
    else res.writeHead(next).end()
    for (const wake of waiting.splice(0)) wake()
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const listening = (server.address() as AddressInfo).port
  return {
    url: `http://127.0.0.1:${listening}/hooks`,
    port: listening,
    messages,
    answer(...answers) {
      script = answers
    },
    async received(count) {
      while (messages.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
      return messages
    },
    verify: (message, secret) =>
      new OpenAI({ apiKey: 'sk-test' }).webhooks.verifySignature(message.text, message.headers as never, secret),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
