// A server that speaks three vendors' wires with usage as each of them tells it, breaks off now and then, and keeps an invoice of its own.
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Disjoint, as the vendor charges them. */
export type Charged = Record<'input' | 'cacheRead' | 'cacheWrite5m' | 'cacheWrite1h' | 'output' | 'reasoning', number>

export interface InvoiceLine {
  readonly target: string
  readonly charged: Charged
  /** All of it was written to the wire. */
  told: boolean
}

export interface InvoicingVendor {
  readonly url: string
  readonly lines: InvoiceLine[]
  close(): Promise<void>
}

interface Reply {
  json: unknown
  frames: string[]
}

const data = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`
const event = (type: string, value: object): string => `event: ${type}\n${data({ type, ...value })}`

const words = ['one ', 'two ', 'three ']

/** By the first part of the path, which is the provider's name. */
const wires: Record<string, (charged: Charged, model: string) => Reply> = {
  openai({ input, cacheRead, cacheWrite5m, cacheWrite1h, output, reasoning }, model) {
    const prompt = input + cacheRead + cacheWrite5m + cacheWrite1h
    const usage = {
      prompt_tokens: prompt,
      completion_tokens: output + reasoning,
      total_tokens: prompt + output + reasoning,
      prompt_tokens_details: { cached_tokens: cacheRead, cache_write_tokens: cacheWrite5m + cacheWrite1h },
      completion_tokens_details: { reasoning_tokens: reasoning },
    }
    const chunk = (choices: object[], more = {}): string => data({ id: 'x', model, choices, ...more })
    const message = { role: 'assistant', content: words.join('') }
    return {
      json: { id: 'x', model, choices: [{ index: 0, message, finish_reason: 'stop' }], usage },
      frames: [
        ...words.map((content) => chunk([{ index: 0, delta: { content }, finish_reason: null }])),
        chunk([{ index: 0, delta: {}, finish_reason: 'stop' }]),
        `${chunk([], { usage })}data: [DONE]\n\n`,
      ],
    }
  },
  anthropic({ input, cacheRead, cacheWrite5m, cacheWrite1h, output, reasoning }, model) {
    const asked = {
      input_tokens: input,
      cache_read_input_tokens: cacheRead,
      cache_creation_input_tokens: cacheWrite5m + cacheWrite1h,
      cache_creation: { ephemeral_5m_input_tokens: cacheWrite5m, ephemeral_1h_input_tokens: cacheWrite1h },
    }
    const answered = { output_tokens: output + reasoning, output_tokens_details: { thinking_tokens: reasoning } }
    const message = { id: 'm', type: 'message', role: 'assistant', model, stop_sequence: null }
    const text = words.join('')
    const start = { ...message, content: [], stop_reason: null, usage: { ...asked, output_tokens: 1 } }
    return {
      json: {
        ...message,
        content: [{ type: 'text', text }],
        stop_reason: 'end_turn',
        usage: { ...asked, ...answered },
      },
      frames: [
        event('message_start', { message: start }) +
          event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
        ...words.map((word) => event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: word } })),
        event('content_block_stop', { index: 0 }) +
          event('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: answered }) +
          event('message_stop', {}),
      ],
    }
  },
  gemini({ input, cacheRead, cacheWrite5m, cacheWrite1h, output, reasoning }, model) {
    const prompt = input + cacheRead + cacheWrite5m + cacheWrite1h
    const usageMetadata = {
      promptTokenCount: prompt,
      cachedContentTokenCount: cacheRead,
      candidatesTokenCount: output,
      thoughtsTokenCount: reasoning,
      totalTokenCount: prompt + output + reasoning,
    }
    const part = (text: string, more = {}) => ({ index: 0, content: { role: 'model', parts: [{ text }] }, ...more })
    const end = part('.', { finishReason: 'STOP' })
    return {
      json: { candidates: [end], usageMetadata, modelVersion: model },
      frames: [
        ...words.map((word) => data({ candidates: [part(word)], modelVersion: model })),
        data({ candidates: [end], usageMetadata, modelVersion: model }),
      ],
    }
  },
}

/** What a vendor knows of caches: Gemini is told of none that are written, OpenAI of no lifetime. */
const writes: Record<string, number> = { openai: 1, anthropic: 2, gemini: 0 }

/** Models `broken-…` fail in all ways; `alias` answers as `real`. Each charge is another one, so that it is known again. */
export async function startInvoicingVendor(draw: () => number): Promise<InvoicingVendor> {
  const lines: InvoiceLine[] = []
  const upTo = (most: number): number => Math.floor(draw() * (most + 1))

  async function answer(path: string, body: { model?: string; stream?: boolean }, res: ServerResponse): Promise<void> {
    const provider = path.split('/')[1]!
    const model = body.model ?? decodeURIComponent(/models\/(.*):/.exec(path)![1]!)
    const stream = body.stream === true || path.includes(':stream')
    const way = model.startsWith('broken') ? upTo(4) : 9
    if (way === 0) return void res.writeHead(503).end('{"error":{"message":"busy"}}')
    if (way === 1) return void res.socket?.destroy()
    const charged: Charged = {
      input: 1_000 + lines.length,
      cacheRead: upTo(50),
      cacheWrite5m: writes[provider]! > 0 ? upTo(50) : 0,
      cacheWrite1h: writes[provider]! > 1 ? upTo(50) : 0,
      output: 1 + upTo(90),
      reasoning: upTo(20),
    }
    const line = { target: `${provider}/${model}`, charged, told: false }
    lines.push(line)
    const { json, frames } = wires[provider]!(charged, model === 'alias' ? 'real' : model)
    const type = stream ? 'text/event-stream' : 'application/json'
    res.writeHead(200, { 'content-type': type })
    const pieces = stream ? frames : [JSON.stringify(json)]
    // Broken ones stop in the middle, and say so or not.
    const count = way < 4 ? upTo(pieces.length - 1) : pieces.length
    for (const piece of pieces.slice(0, count)) {
      if (res.destroyed) return
      res.write(piece)
      if (draw() < 0.5) await new Promise(setImmediate)
    }
    line.told = count === pieces.length && !res.destroyed
    if (way === 2) res.destroy()
    else res.end()
  }

  const server = createServer(async (req, res) => {
    res.on('error', () => {})
    const pieces: Buffer[] = []
    for await (const piece of req) pieces.push(piece as Buffer)
    await answer(req.url!, JSON.parse(Buffer.concat(pieces).toString()), res)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lines,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
