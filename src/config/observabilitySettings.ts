// Makes the settings of log, metrics and traces out of what the document says.
import { resolve } from 'node:path'
import { bareHost } from './binding.ts'
import { defaults } from './defaults.ts'
import type { ProxyOf } from './egress.ts'
import type { LogSettings, MetricsSettings, TraceSettings } from './observabilityTypes.ts'
import type { Report } from './problem.ts'
import type { Settings } from './schema.ts'
import type { ServerSettings } from './snapshot.ts'

/** What of a configuration says how the gateway is watched; the log is built earlier, by `buildLog`. */
export interface Observability {
  readonly metrics: MetricsSettings
  readonly trace: TraceSettings
}

/** The `log` section, with gaps filled. */
export function buildLog(settings: Settings['log'], level: string): LogSettings {
  const { clientAddress = false, file, format, user, userSaltTime } = settings ?? {}
  return {
    level,
    clientAddress,
    file: file === undefined ? undefined : resolve(file),
    format: format ?? defaults.log.format,
    user: user ?? defaults.log.user,
    userSaltTime: userSaltTime ?? defaults.log.userSaltTime,
  }
}

/** The `metrics` and `trace` sections, with gaps filled. */
export function buildObservability(
  settings: Settings,
  { server, proxyOf, report }: { server: ServerSettings; proxyOf: ProxyOf; report: Report },
): Observability {
  const { token, port, host = server.host } = settings.metrics ?? {}
  if (port !== undefined && port !== 0 && port === server.port)
    report(['metrics', 'port'], `is the port of the server itself (${port}): leave it out, or choose another`)
  const { enabled = true, sample, slow, retentionHours, otlp } = settings.trace ?? {}
  const trace: TraceSettings = {
    enabled,
    sample: sample ?? defaults.trace.sample,
    slow: slow ?? defaults.trace.slow,
    retentionHours: retentionHours ?? defaults.trace.retentionHours,
    otlp: otlp && { url: otlp.url, proxy: proxyOf(otlp.url), headers: otlp.headers ?? {} },
  }
  return { metrics: { token, port, host: bareHost(host) }, trace }
}
