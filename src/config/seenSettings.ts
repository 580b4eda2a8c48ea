// Makes the settings of metrics out of what is written.
import type { Report } from './problem.ts'
import type { Settings } from './schema.ts'
import type { MetricsSettings } from './seenTypes.ts'
import type { ServerSettings } from './snapshot.ts'

export interface Seen {
  readonly metrics: MetricsSettings
}

export function buildSeen(settings: Settings, server: ServerSettings, report: Report): Seen {
  const { token, port, host = server.host } = settings.metrics ?? {}
  if (port !== undefined && port !== 0 && port === server.port)
    report(['metrics', 'port'], `is the port of the server itself (${port}): leave it out, or choose another`)
  return { metrics: { token, port, host } }
}
