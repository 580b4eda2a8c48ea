// Asks one upstream for its list of models: the cheapest call that shows both that it is there and that the key is good.
import type { Dispatcher } from 'undici'
import type { Provider } from '../config/snapshot.ts'
import { dialects } from '../dialects/index.ts'
import { openAgent } from '../egress/agent.ts'

/** DNS, connection, TLS and the reply's headers together. */
const limitMs = 3_000

/** Bytes of an error that are read: its words may say what its status does not. */
const mostWords = 16 * 1024

export type ProbeAnswer = { status: number; ms: number; refusesKey: boolean } | { failure: string }

/** Never throws, never follows a redirect, and repeats nothing of the body: it may hold a part of the key. */
export async function askModels(provider: Provider, limit: number = limitMs): Promise<ProbeAnswer> {
  const { kind, origin, basePath, apiVersion, headers } = provider
  const path = kind.modelsPath?.({ apiVersion }) ?? '/models'
  const { request } = await import('undici')
  const dispatcher = await openAgent(provider.proxy, limit)
  const started = performance.now()
  try {
    const signal = AbortSignal.timeout(limit)
    const reply = await request(`${origin}${basePath}${path}`, {
      dispatcher,
      headers: { ...kind.modelsHeaders, ...headers },
      signal,
    })
    const ms = Math.round(performance.now() - started)
    return { status: reply.statusCode, ms, refusesKey: await refusesKey(provider, reply) }
  } catch (error) {
    const { name, code, message } = error as NodeJS.ErrnoException
    if (name === 'TimeoutError' || code === 'UND_ERR_CONNECT_TIMEOUT') return { failure: `no answer in ${limit} ms` }
    if (name === 'HTTPParserError') return { failure: 'what answers there is no HTTP server' }
    if (code === 'ERR_PROXY') return { failure: message }
    return { failure: code ?? name }
  } finally {
    await dispatcher.destroy()
  }
}

/** Google and xAI say 400 to a wrong key, and only in words what it is about. */
async function refusesKey(provider: Provider, reply: Dispatcher.ResponseData): Promise<boolean> {
  const { statusCode: status, headers, body } = reply
  body.on('error', () => {})
  const words = status === 400 ? await startOf(body) : Buffer.alloc(0)
  body.destroy()
  if (status !== 400) return status === 401 || status === 403
  return dialects.get(provider.dialect)!.outbound!.fault(status, headers, words).kind === 'auth_failed'
}

/** What comes of a body in time, as far as it is read. */
async function startOf(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of body) {
      chunks.push(chunk)
      size += chunk.length
      if (size >= mostWords) break
    }
  } catch {
    // Too late, or cut off.
  }
  return Buffer.concat(chunks)
}
