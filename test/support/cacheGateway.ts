// A gateway whose route keeps answers, before an upstream that counts how often it is asked.
import { onTestFinished } from 'vitest'
import { ask, CHAT, chunks, reply, usageChunk } from './chatBodies.ts'
import { type Exchange, post } from './exchange.ts'
import { type FakeUpstream, type Handler, sendJson, sendSse, sseText, startFakeUpstream } from './fakeUpstream.ts'
import { type GatewayOptions, startGateway, type TestGateway, upstreamAt } from './gateway.ts'

type Json = Record<string, unknown>

export interface CacheGateway {
  readonly gateway: TestGateway
  readonly upstream: FakeUpstream
  /** Asks with temperature 0. */
  chat(more?: Json, headers?: Record<string, string>): Promise<Exchange>
}

/** Answers as OpenAI does: a document or a stream, with its usage where that was asked for. */
export const speak =
  (text: (body: Json, n: number) => string = (_, n) => `answer ${n}`): Handler =>
  async (_, res, raw, n) => {
    const body = JSON.parse(raw.toString()) as Json
    const id = `chatcmpl-vendor-${n}`
    if (!body.stream) return sendJson(res, 200, { ...reply(text(body, n)), id })
    const events = chunks(...text(body, n).split(/(?<= )/)).map((event) => ({ ...event, id }))
    const options = body.stream_options as { include_usage?: boolean } | undefined
    if (options?.include_usage) events.push({ ...usageChunk, id })
    await sendSse(res, sseText(events))
  }

export async function startCacheGateway(
  cache: Json | boolean = true,
  handler: Handler = speak(),
  config: Json | ((url: string) => Json) = {},
  options: GatewayOptions = {},
): Promise<CacheGateway> {
  const upstream = await startFakeUpstream(handler)
  onTestFinished(() => upstream.close())
  const gateway = await startGateway(
    {
      providers: { p: upstreamAt(upstream.url) },
      routes: { m: { targets: ['p/m'], cache } },
      prices: { '*': { input: 1, output: 5 } },
      ...(typeof config === 'function' ? config(upstream.url) : config),
    },
    options,
  )
  onTestFinished(() => gateway.close())
  return {
    gateway,
    upstream,
    chat: (more = {}, headers = {}) => post(gateway.url + CHAT, ask('m', { temperature: 0, ...more }), headers),
  }
}

/** The value of `x-turnout-cache`, less the age. */
export const markOf = ({ headers }: Exchange): string => String(headers['x-turnout-cache']).replace(/; age=\d+/, '')
