// Posts one signed message to one webhook, once, and says what came of it.
import type { Agent, Dispatcher } from 'undici'
import type { WebhookSettings } from '../../config/alertTypes.ts'
import { retryAfterOf } from '../../dialects/retryAfter.ts'
import { openAgent } from '../../egress/agent.ts'
import { signMessage } from './signature.ts'

const connectTimeout = 10_000
/** No bound on sockets: webhooks of one origin would wait for each other. The sender says how many messages go at a time. */
const agentOptions = { pipelining: 1, keepAliveTimeout: 10_000, maxHeaderSize: 16 * 1024 }

/** An answer is read this far and no further: nothing in it matters but its status. */
const maxAnswerBytes = 64 * 1024

export interface PostedMessage {
  readonly id: string
  readonly body: string
}

export interface Posted {
  readonly ok: boolean
  readonly status: number | null
  readonly error: string | null
  /** Milliseconds that the receiver asks us to wait. */
  readonly retryAfter?: number | undefined
  /** The receiver wants no more of these (HTTP 410). */
  readonly final?: boolean
}

/** Sockets of their own, apart from those of requests. Redirects are not followed: a signed message goes where the operator said, or nowhere. */
export function openPost(userAgent: string): {
  post(webhook: WebhookSettings, message: PostedMessage, now: number, signal: AbortSignal): Promise<Posted>
  close(): Promise<void>
} {
  /** One for each proxy, and one for what is dialled itself. */
  const agents = new Map<string | undefined, Promise<Agent>>()
  const agentFor = (proxy: string | undefined): Promise<Agent> => {
    let agent = agents.get(proxy)
    if (!agent) {
      agent = openAgent(proxy, connectTimeout, agentOptions)
      agents.set(proxy, agent)
    }
    return agent
  }
  return {
    async post(webhook, message, now, stopped) {
      const { request } = await import('undici')
      const timestamp = Math.floor(now / 1000)
      // Not `AbortSignal.any`: in Node 20 each of its signals is held by `stopped` for ever, up to 2 KB a message.
      const cut = new AbortController()
      const stop = (): void => cut.abort(stopped.reason)
      if (stopped.aborted) stop()
      stopped.addEventListener('abort', stop)
      const late = setTimeout(() => cut.abort(new DOMException('too late', 'TimeoutError')), webhook.timeout)
      try {
        const answer = request(webhook.url, {
          dispatcher: await agentFor(webhook.proxy),
          method: 'POST',
          headers: {
            ...webhook.headers,
            'content-type': 'application/json',
            'user-agent': userAgent,
            'webhook-id': message.id,
            'webhook-timestamp': String(timestamp),
            'webhook-signature': signMessage(webhook.secrets, { ...message, timestamp }),
          },
          body: message.body,
          signal: cut.signal,
        })
        return await judge(await Promise.race([answer, ending(cut.signal)]), now)
      } catch (error) {
        return { ok: false, status: null, error: codeOf(error) }
      } finally {
        clearTimeout(late)
        stopped.removeEventListener('abort', stop)
      }
    },
    close: async () => {
      for (const agent of agents.values()) await (await agent).destroy()
    },
  }
}

/** Rejects when the signal says so. undici (7) does not listen to it while it dials, which may take until `connectTimeout`. */
const ending = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))

async function judge({ statusCode, headers, body }: Dispatcher.ResponseData, now: number): Promise<Posted> {
  // The answer counts once its headers are there; what follows is only let pass, so that the socket can be used again.
  await body.dump({ limit: maxAnswerBytes }).catch(() => {})
  if (statusCode >= 200 && statusCode < 300) return { ok: true, status: statusCode, error: null }
  return {
    ok: false,
    status: statusCode,
    error: statusCode >= 300 && statusCode < 400 ? 'redirect' : `status_${statusCode}`,
    retryAfter: retryAfterOf(headers, now),
    // Standard Webhooks: the receiver is gone for good.
    final: statusCode === 410,
  }
}

/** Never the message of an error: it may name the address, which may be a secret. */
function codeOf(error: unknown): string {
  const { name, code } = error as { name?: unknown; code?: unknown }
  if (name === 'TimeoutError') return 'timeout'
  if (name === 'AbortError') return 'stopped'
  return typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) ? code : 'failed'
}
