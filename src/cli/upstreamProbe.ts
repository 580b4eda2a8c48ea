// Asks one upstream for its list of models: the cheapest call that shows both that it is there and that the key is good.
import type { Provider } from '../config/snapshot.ts'

/** DNS, connection, TLS and the reply's headers together. */
const limitMs = 3_000

export type ProbeAnswer = { status: number; ms: number } | { failure: string }

/** Never throws, never follows a redirect, and repeats nothing of the body: it may hold a part of the key. */
export async function askModels(provider: Provider, limit: number = limitMs): Promise<ProbeAnswer> {
  const { kind, origin, basePath, apiVersion, headers } = provider
  const path = kind.modelsPath?.({ apiVersion }) ?? '/models'
  const { Agent, request } = await import('undici')
  const dispatcher = new Agent({ connect: { timeout: limit } })
  const started = performance.now()
  try {
    const signal = AbortSignal.timeout(limit)
    const { statusCode, body } = await request(`${origin}${basePath}${path}`, { dispatcher, headers, signal })
    const ms = Math.round(performance.now() - started)
    body.on('error', () => {})
    body.destroy()
    return { status: statusCode, ms }
  } catch (error) {
    const { name, code } = error as NodeJS.ErrnoException
    if (name === 'TimeoutError' || code === 'UND_ERR_CONNECT_TIMEOUT') return { failure: `no answer in ${limit} ms` }
    if (name === 'HTTPParserError') return { failure: 'what answers there is no HTTP server' }
    return { failure: code ?? name }
  } finally {
    await dispatcher.destroy()
  }
}
