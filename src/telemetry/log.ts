// Writes the log: one JSON line per request and per event of note, from closed lists of fields, so that no content can get in.
import { mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Logger, pino } from 'pino'
import { prettyLine } from './prettyLine.ts'

export interface LogOptions {
  /** pino's levels, or `silent`. */
  level: string
  /** Standard output when absent. */
  file?: string | undefined
  /** For human eyes in place of JSON. Standard output only. */
  pretty?: boolean | undefined
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
  /** Name of the limit that refused it. */
  limit?: string | undefined
  /** How long it waited for its turn. */
  queuedMs?: number | undefined
  attempts?: number | undefined
  /** What the response cache did: hit, miss, stale, coalesced, bypass. */
  cache?: string | undefined
  durationMs: number
  firstTokenMs?: number | undefined
  overheadMs?: number | undefined
  inputTokens?: number | undefined
  outputTokens?: number | undefined
  costNanoUsd?: number | undefined
  config?: number | undefined
  key?: string | undefined
  team?: string | undefined
  /** The rollout that assigned it, and to which arm. */
  rollout?: string | undefined
  arm?: string | undefined
  address?: string | undefined
  /** The end user, under another name. */
  user?: string | undefined
  trace?: string | undefined
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
  /** Id of a message, as its receivers see it. */
  id?: string | undefined
  webhook?: string | undefined
  alert?: string | undefined
  severity?: string | undefined
  budget?: string | undefined
  percent?: number | undefined
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
  'limit',
  'queuedMs',
  'attempts',
  'cache',
  'durationMs',
  'firstTokenMs',
  'overheadMs',
  'inputTokens',
  'outputTokens',
  'costNanoUsd',
  'config',
  'key',
  'team',
  'rollout',
  'arm',
  'address',
  'user',
  'trace',
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
  'id',
  'webhook',
  'alert',
  'severity',
  'budget',
  'percent',
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
    // Not 0, with which a flush would not wait.
    minLength: 1,
  } as Parameters<typeof pino.destination>[0])
  // A terminal is read as it is written: line by line, at no great speed.
  const shown = options.pretty ? { write: (line: string) => void destination.write(prettyLine(line)) } : destination
  return makeLog(pino(settings(options.level), shown), destination)
}

function openFile(file: string): number {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  return openSync(file, 'a', 0o600)
}

const settings = (level: string) => ({
  level,
  base: null,
  formatters: { level: (label: string) => ({ level: label }) },
  timestamp: () => `,"time":"${isoTime(Date.now())}"`,
})

let lastMoment = -1
let lastText = ''

/** The time as text, made once per millisecond. */
function isoTime(moment: number): string {
  if (moment !== lastMoment) {
    lastMoment = moment
    lastText = new Date(moment).toISOString()
  }
  return lastText
}

function makeLog(logger: Logger, destination: ReturnType<typeof pino.destination>): Log {
  let failures = 0
  // A log that cannot be written (disk full) must not end the gateway; the number of failures is shown instead.
  destination.on('error', () => failures++)
  const lines = gatherLines(destination)
  const say = (level: 'debug' | 'info' | 'warn' | 'error') => (text: string, facts?: Facts) => {
    if (!logger.isLevelEnabled(level)) return
    lines.handOver()
    logger[level](facts ? pickFacts(facts) : {}, scrubText(text))
  }
  return {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    request(line) {
      if (logger.isLevelEnabled('info')) lines.add(`${requestText(line)}\n`)
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
    flush: () => {
      lines.handOver()
      return new Promise((resolve, reject) => {
        // Flushing ends in an fsync, which pipes and terminals do not know.
        const unknown = (error: NodeJS.ErrnoException): boolean => error.code === 'EINVAL' || error.code === 'ENOTSUP'
        destination.flush((error) => (error && !unknown(error) ? reject(error) : resolve()))
      })
    },
  }
}

/** Lines of requests that are written together, and how many milliseconds the first of them waits at most. */
const MOST_LINES = 32
const LONGEST_WAIT = 100

interface Lines {
  add(line: string): void
  /** Gives what was gathered to the destination: before anything else is written, so that the log keeps its order. */
  handOver(): void
}

const gathering = new Set<() => void>()

function endAll(): void {
  for (const end of gathering) end()
}

/**
 * Gathers the lines of requests: each write of the destination walks over all that it holds, and wakes a thread.
 * Registered for the end of the process, where the destination's own listener may have run before.
 */
function gatherLines(destination: ReturnType<typeof pino.destination>): Lines {
  let lines: string[] = []
  let timer: NodeJS.Timeout | undefined
  const handOver = (): void => {
    clearTimeout(timer)
    timer = undefined
    if (lines.length === 0) return
    const text = lines.join('')
    lines = []
    destination.write(text)
  }
  if (gathering.size === 0) process.once('exit', endAll)
  gathering.add(() => {
    if (lines.length === 0) return
    handOver()
    try {
      destination.flushSync()
    } catch {
      // Nobody is left to tell.
    }
  })
  return {
    add(line) {
      lines.push(line)
      if (lines.length >= MOST_LINES) handOver()
      else timer ??= setTimeout(handOver, LONGEST_WAIT).unref()
    },
    handOver,
  }
}

const requestKeys = requestFields.map((name) => `,"${name}":`)

/** One line as pino would write it; values that are neither text, number nor boolean are left out. Put together by hand: `JSON.stringify` of a picked object takes three times as long. */
function requestText(line: RequestLine): string {
  let text = `{"level":"info","time":"${isoTime(Date.now())}"`
  for (let i = 0; i < requestFields.length; i++) {
    const value = line[requestFields[i]!]
    if (value === undefined || value === null) continue
    if (typeof value === 'string') text += requestKeys[i] + quote(value)
    else if (typeof value === 'boolean' || Number.isFinite(value)) text += `${requestKeys[i]}${value}`
  }
  return `${text},"msg":"request"}`
}

function quote(text: string): string {
  const short = cut(text)
  return /^[ !#-[\]-~]*$/.test(short) ? `"${short}"` : JSON.stringify(short)
}

const cut = (text: string): string => (text.length > 128 ? `${text.slice(0, 127)}…` : text)

function pickFields(from: object, names: readonly string[]): Record<string, unknown> {
  const picked: Record<string, unknown> = {}
  for (const name of names) {
    const value = (from as Record<string, unknown>)[name]
    if (value === undefined || value === null) continue
    if (typeof value === 'string') picked[name] = cut(value)
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
  // JSON.parse quotes what it cannot read (V8: `Unexpected token 'S', "Say hello" is not valid JSON`).
  const message = error instanceof SyntaxError ? 'a text could not be read' : scrubText(error.message)
  const described: Record<string, string> = { name: error.name, message }
  if (typeof code === 'string') described.code = code
  // The stack begins with the message, which may have lines of its own.
  const { stack = '' } = error
  const places = stack
    .slice(Math.max(0, stack.indexOf(error.message)) + error.message.length)
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
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
