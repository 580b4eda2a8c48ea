// Makes the server's settings: command line over file over environment over defaults.
import { BlockList, isIP } from 'node:net'
import { bareHost } from './binding.ts'
import { defaults } from './defaults.ts'
import { firstSet } from './env.ts'
import type { Env } from './interpolation.ts'
import type { Report } from './problem.ts'
import type { Settings } from './schema.ts'
import type { ServerSettings } from './snapshot.ts'

/** What the command line may set; it wins over everything. */
export interface Overrides {
  port?: number | undefined
  host?: string | undefined
  logLevel?: string | undefined
  dataDir?: string | undefined
}

/** Tells of a PORT that is none and of proxy ranges and origins that cannot be read. */
export function buildServer(
  settings: Settings['server'],
  env: Env,
  overrides: Overrides,
  report: Report,
): ServerSettings {
  const given = settings ?? {}
  const base = defaults.server
  settings?.trustedProxies?.forEach((range, index) => {
    if (!isRange(range))
      report(['server', 'trustedProxies', index], 'expected an address or a range such as 10.0.0.0/8')
  })
  settings?.corsOrigins?.forEach((origin, index) => {
    if (!isOrigin(origin))
      report(['server', 'corsOrigins', index], 'expected an origin such as https://app.example.com')
  })
  return {
    port: overrides.port ?? given.port ?? readPort(env, report) ?? base.port,
    host: bareHost(overrides.host ?? given.host ?? firstSet(env, ['HOST'])?.value ?? base.host),
    maxBodyBytes: given.maxBody ?? base.maxBodyBytes,
    maxReplyBytes: given.maxReply ?? base.maxReplyBytes,
    maxJsonDepth: given.maxJsonDepth ?? base.maxJsonDepth,
    maxJsonValues: given.maxJsonValues ?? base.maxJsonValues,
    maxMessages: given.maxMessages ?? base.maxMessages,
    maxHops: given.maxHops ?? base.maxHops,
    keepAliveTimeout: given.keepAliveTimeout ?? base.keepAliveTimeout,
    headersTimeout: given.headersTimeout ?? base.headersTimeout,
    bodyTimeout: given.bodyTimeout ?? base.bodyTimeout,
    sendTimeout: given.sendTimeout ?? base.sendTimeout,
    drainDelay: given.drainDelay ?? base.drainDelay,
    drainTimeout: given.drainTimeout ?? base.drainTimeout,
    trustedProxies: given.trustedProxies ?? base.trustedProxies,
    corsOrigins: given.corsOrigins ?? base.corsOrigins,
    connectionsPerOrigin: given.connectionsPerOrigin ?? base.connectionsPerOrigin,
  }
}

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** Least severe level that is logged. Tells of a variable that names none. */
export function buildLogLevel(settings: Settings['log'], env: Env, overrides: Overrides, report: Report): string {
  const written = overrides.logLevel ?? settings?.level
  if (written !== undefined) return written
  const variable = firstSet(env, ['TURNOUT_LOG_LEVEL', 'LOG_LEVEL'])
  if (variable === undefined) return defaults.logLevel
  const found = variable.value.toLowerCase()
  if (!logLevels.includes(found)) report([variable.name], `expected one of ${logLevels.join(', ')}`)
  return found
}

function readPort(env: Env, report: Report): number | undefined {
  const found = firstSet(env, ['PORT'])?.value
  if (found === undefined) return undefined
  const port = /^\d{1,5}$/.test(found) ? Number(found) : Number.NaN
  if (port <= 65_535) return port
  report(['PORT'], 'expected a port: a number from 0 to 65535')
  return undefined
}

/** An address, or a range in CIDR notation. */
export function isRange(text: string): boolean {
  const [address = '', bits, more] = text.split('/')
  const family = isIP(address)
  if (family === 0 || more !== undefined) return false
  if (bits === undefined) return true
  if (!/^\d{1,3}$/.test(bits)) return false
  try {
    new BlockList().addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6')
    return true
  } catch {
    return false
  }
}

function isOrigin(text: string): boolean {
  if (text === '*' || text === 'null') return true
  return URL.canParse(text) && new URL(text).origin === text
}
