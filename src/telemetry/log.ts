// Writes the log: one JSON line per request and per event of note, from closed lists of fields, so that no content can get in.
import { mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Logger, pino } from 'pino'

export interface LogOptions {
  /** pino's levels, or `silent`. */
  level: string
  /** Standard output when absent. */
  file?: string | undefined
}

/** What is said of a request. Names, numbers and kinds: never text of a prompt or an answer. Times in milliseconds. */
export interface RequestLine {
  id: string
  route: string
  /** The name the client sent may be anything: cut to 128 characters. */
  model?: string | undefined
  target?: string | undefined
  provider?: string | undefined
  servedModel?: string | undefined
  dialect?: string | undefined
  lane?: string | undefined
  stream?: boolean | undefined
  status: number
  outcome: string
  fault?: string | undefined
  refusal?: string | undefined
  attempts?: number | undefined
  durationMs: number
  firstTokenMs?: number | undefined
  overheadMs?: number | undefined
  inputTokens?: number | undefined
  outputTokens?: number | undefined
  costNanoUsd?: number | undefined
  config?: number | undefined
  key?: string | undefined
  team?: string | undefined
  address?: string | undefined
  finish?: string | undefined
}

/** What may be said besides. Anything else that is handed in is not copied. */
export interface Facts {
  event?: string | undefined
  file?: string | undefined
  host?: string | undefined
  port?: number | undefined
  pid?: number | undefined
  signal?: string | undefined
  provider?: string | undefined
  target?: string | undefined
  route?: string | undefined
  key?: string | undefined
  config?: number | undefined
  hash?: string | undefined
  version?: string | undefined
  instance?: string | undefined
  count?: number | undefined
  ms?: number | undefined
  problems?: readonly string[] | undefined
  error?: unknown
}

export interface Log {
  debug(text: string, facts?: Facts): void
  info(text: string, facts?: Facts): void
  warn(text: string, facts?: Facts): void
  error(text: string, facts?: Facts): void
  /** One line, level info. */
  request(line: RequestLine): void
  level: string
  /** Writes that failed (disk full): the lines may be lost, the gateway runs on. */
  readonly failures: number
  /** Resolves when everything said so far is handed to the operating system. */
  flush(): Promise<void>
}

const requestFields = [
  'id',
  'route',
  'model',
  'target',
  'provider',
  'servedModel',
  'dialect',
  'lane',
  'stream',
  'status',
  'outcome',
  'fault',
  'refusal',
  'attempts',
  'durationMs',
  'firstTokenMs',
  'overheadMs',
  'inputTokens',
  'outputTokens',
  'costNanoUsd',
  'config',
  'key',
  'team',
  'address',
  'finish',
] as const satisfies readonly (keyof RequestLine)[]

const factFields = [
  'event',
  'file',
  'host',
  'port',
  'pid',
  'signal',
  'provider',
  'target',
  'route',
  'key',
  'config',
  'hash',
  'version',
  'instance',
  'count',
  'ms',
] as const satisfies readonly (keyof Facts)[]

/**
 * Lines are buffered and written in the background; the rest is written when the process exits.
 * Throws when `file` cannot be opened: an operator who asked for a file must learn at start that there is none.
 */
export function createLog(options: LogOptions): Log {
  const destination = pino.destination({
    // Opened here and now: a stream that is still opening its file loses its lines when the process exits.
    dest: options.file === undefined ? 1 : openFile(options.file),
    sync: false,
    minLength: 8192,
    // A quiet gateway must still show its lines soon.
    periodicFlush: 200,
  } as Parameters<typeof pino.destination>[0])
  return makeLog(pino(settings(options.level), destination), destination)
}

function openFile(file: string): number {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  return openSync(file, 'a', 0o600)
}

const settings = (level: string) => ({
  level,
  base: null,
  formatters: { level: (label: string) => ({ level: label }) },
  timestamp: () => `,"time":"${new Date().toISOString()}"`,
})

function makeLog(logger: Logger, destination: ReturnType<typeof pino.destination>): Log {
  let failures = 0
  // A log that cannot be written (disk full) must not end the gateway; the number of failures is shown instead.
  destination.on('error', () => failures++)
  const say = (level: 'debug' | 'info' | 'warn' | 'error') => (text: string, facts?: Facts) => {
    if (!logger.isLevelEnabled(level)) return
    logger[level](facts ? pickFacts(facts) : {}, scrubText(text))
  }
  return {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    request(line) {
      if (logger.isLevelEnabled('info')) logger.info(pickFields(line, requestFields), 'request')
    },
    get level() {
      return logger.level
    },
    set level(level) {
      logger.level = level
    },
    get failures() {
      return failures
    },
    flush: () =>
      new Promise((resolve, reject) => {
        // Flushing ends in an fsync, which pipes and terminals do not know.
        const unknown = (error: NodeJS.ErrnoException): boolean => error.code === 'EINVAL' || error.code === 'ENOTSUP'
        destination.flush((error) => (error && !unknown(error) ? reject(error) : resolve()))
      }),
  }
}

function pickFields(from: object, names: readonly string[]): Record<string, unknown> {
  const picked: Record<string, unknown> = {}
  for (const name of names) {
    const value = (from as Record<string, unknown>)[name]
    if (value === undefined || value === null) continue
    if (typeof value === 'string') picked[name] = value.length > 128 ? `${value.slice(0, 127)}…` : value
    else if (typeof value === 'number' || typeof value === 'boolean') picked[name] = value
  }
  return picked
}

function pickFacts(facts: Facts): Record<string, unknown> {
  const picked = pickFields(facts, factFields)
  if (facts.problems) picked.problems = facts.problems.slice(0, 50).map(scrubText)
  if (facts.error !== undefined) picked.error = describeError(facts.error)
  return picked
}

/** Name, code and message of an error, and its places in our code: never its other fields, which may hold requests and headers. */
function describeError(error: unknown): Record<string, string> {
  if (!(error instanceof Error)) return { message: scrubText(String(error)) }
  const { code } = error as { code?: unknown }
  const described: Record<string, string> = { name: error.name, message: scrubText(error.message) }
  if (typeof code === 'string') described.code = code
  const places = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  if (places.length > 0)
    described.at = places
      .slice(0, 6)
      .map((line) => line.trim())
      .join(' | ')
  return described
}

/** Blanks what looks like a credential and cuts to 500 characters: messages of other people's errors may quote one. */
export function scrubText(text: string): string {
  const scrubbed = text
    .replace(/\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi, '$1 [hidden]')
    .replace(/\b(sk|tk|gsk|xai|rk|pk)[-_][\w-]{6,}/g, '[hidden]')
    .replace(/\bAIza[\w-]{20,}/g, '[hidden]')
    .replace(/([?&](?:key|api[-_]?key|token|access_token)=)[^&\s"']+/gi, '$1[hidden]')
    .replace(/(\/\/)[^/\s:@]+:[^/\s@]+@/g, '$1[hidden]@')
  return scrubbed.length > 500 ? `${scrubbed.slice(0, 499)}…` : scrubbed
}
