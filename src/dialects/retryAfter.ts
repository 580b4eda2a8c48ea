// How long an upstream asks us to wait, from the headers of its error reply.

type Headers = Readonly<Record<string, string | string[] | undefined>>

/**
 * Milliseconds to wait: `retry-after-ms`, or `Retry-After` as seconds or as an HTTP date (RFC 9110, 10.2.3); undefined when it
 * does not say. `now` is in milliseconds since the epoch.
 */
export function retryAfterOf(headers: Headers, now: number): number | undefined {
  const ms = Number.parseFloat(String(headers['retry-after-ms'] ?? ''))
  if (Number.isFinite(ms) && ms >= 0) return ms
  const value = String(headers['retry-after'] ?? '').trim()
  if (/^\d+(\.\d+)?$/.test(value)) return Number.parseFloat(value) * 1000
  const date = value === '' ? Number.NaN : Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
