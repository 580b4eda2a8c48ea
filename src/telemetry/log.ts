// Writes the log: one JSON line per request and per event of note, from closed lists of fields, so that no content can get in.
import { writeSync } from 'node:fs'
import { type Logger, pino } from 'pino'
import { isFile, openLogFile, reopenLogFile } from './logFile.ts'
import { boundQueue, type Destination, type Held, type LogQueue } from './logQueue.ts'
import { prettyLine } from './prettyLine.ts'
import { cut, longestLine, type RequestLine, writeRequest } from './requestLine.ts'

export type { RequestLine } from './requestLine.ts'

export interface LogOptions {
  /** pino's levels, or `silent`. */
  level: string
  /** Standard output when absent. */
  file?: string | undefined
  /** For human eyes in place of JSON. Standard output only. */
  pretty?: boolean | undefined
  /** Bytes of lines that may wait to be written, 8 MB unless given. */
  mostWaiting?: number | undefined
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
  /** Writes that failed (disk full) and are tried again; the gateway runs on. */
  readonly failures: number
  /** Lines that were dropped because too many waited to be written. */
  readonly dropped: number
  /** Resolves when everything said so far is handed to the operating system, or when a write has failed, or a reader stands still for 5 seconds. */
  flush(): Promise<void>
  /** Goes on in the file of its name when that was moved away or removed. Where it cannot, it says so in the old one. */
  reopen(): void
}

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

const MOST_WAITING = 8 * 1024 * 1024

/**
 * Lines are buffered and written in the background; the rest is written when the process exits. Nobody ever waits for the log: lines that
 * cannot be written are kept up to a number of bytes, then dropped, which is said in a line of its own when it works again.
 * Throws when `file` cannot be opened: an operator who asked for a file must learn at start that there is none.
 */
export function createLog(options: LogOptions): Log {
  // Opened here and now: a stream that is still opening its file loses its lines when the process exits.
  const dest = options.file === undefined ? 1 : openLogFile(options.file)
  const destination = pino.destination({
    dest,
    sync: false,
    // Not 0, with which a flush would not wait.
    minLength: 1,
    // Text would be measured, encoded for the write and encoded again to see how much of it was written.
    contentMode: 'buffer',
  } as Parameters<typeof pino.destination>[0])
  // Looked at, its pipe is one that no write waits for: see `openLogFile`.
  if (dest === 1) void process.stdout
  /** Milliseconds that the reader may still take nothing. */
  let patience = PATIENCE
  const flush = async (): Promise<void> => {
    patience = await flushed(destination)
  }
  destination.flushSync = () => writeRest(destination, patience)
  const queue = boundQueue(destination, options.mostWaiting ?? MOST_WAITING, (count) =>
    log.warn('lines are missing here: the log could not be written', { event: 'log', count }),
  )
  const lines = gatherLines(destination, isFile(dest) ? FULL.file : FULL.pipe, options.pretty ? prettyLine : undefined)
  const log = makeLog(
    pino(settings(options.level), { write: lines.say }),
    destination,
    lines,
    queue,
    flush,
    options.file,
  )
  return log
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

function makeLog(
  logger: Logger,
  destination: Destination,
  lines: Lines,
  queue: LogQueue,
  flush: () => Promise<void>,
  file: string | undefined,
): Log {
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
      if (logger.isLevelEnabled('info')) lines.add(line)
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
    get dropped() {
      return queue.dropped
    },
    flush: () => {
      lines.handOver()
      return flush()
    },
    reopen() {
      if (file === undefined) return
      // What was gathered belongs before the signal.
      lines.handOver()
      try {
        reopenLogFile(destination, file)
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        this.error(`the log's file could not be opened again (${code}): the old one is written on`, {
          event: 'log',
          file,
        })
      }
    },
  }
}

/**
 * Bytes of requests that are written together, and how many milliseconds the first of them waits at most. A pipe holds 64 KB: a write
 * that fills it is under way for long, and what is written at the end of the process would come into the middle of it.
 */
const FULL = { file: 256 * 1024, pipe: 15 * 1024 }
const LONGEST_WAIT = 100

interface Lines {
  add(line: RequestLine): void
  /** Writes a line of something else, after what was gathered, so that the log keeps its order. */
  say(line: string): void
  /** Gives what was gathered to the destination. */
  handOver(): void
}

const gathering = new Set<() => void>()

function endAll(): void {
  for (const end of gathering) end()
}

/** Lines that are written one after the other. */
const TOGETHER = 64

/**
 * Gathers the lines of requests in one page: each write of the destination walks over all that it holds, and wakes a thread. Into the page
 * they go many at a time: of a line written by itself between two requests, most of the time went into fetching the code that writes it.
 * Registered for the end of the process, where the destination's own listener may have run before.
 * @param full how many bytes are handed over at once
 * @param show what a line looks like there, if not as it is
 */
function gatherLines(destination: Destination, full: number, show: ((line: string) => string) | undefined): Lines {
  const waiting: RequestLine[] = []
  /** When each of them was said. */
  const moments: number[] = []
  let page: Buffer | undefined
  let used = 0
  let timer: NodeJS.Timeout | undefined
  // Typed for text, which it does not take in its mode for bytes.
  const write = (bytes: Buffer): void => void destination.write(bytes as unknown as string)
  const shown = (text: string): string => (show ? text.replace(/.*\n/g, show) : text)
  const giveAway = (): void => {
    if (page === undefined || used === 0) return
    const lines = page.subarray(0, used)
    used = 0
    // A copy, because the next lines come before these are written.
    write(show ? Buffer.from(shown(lines.toString())) : Buffer.from(lines))
  }
  const writeWaiting = (): void => {
    page ??= Buffer.allocUnsafeSlow(full + longestLine)
    for (let i = 0; i < waiting.length; i++) {
      used = writeRequest(page, used, waiting[i]!, moments[i]!)
      if (used >= full) giveAway()
    }
    waiting.length = 0
    moments.length = 0
  }
  const handOver = (): void => {
    clearTimeout(timer)
    timer = undefined
    if (waiting.length > 0) writeWaiting()
    giveAway()
  }
  if (gathering.size === 0) process.once('exit', endAll)
  gathering.add(() => {
    handOver()
    destination.flushSync()
  })
  return {
    add(line) {
      timer ??= setTimeout(handOver, LONGEST_WAIT).unref()
      moments.push(Date.now())
      if (waiting.push(line) === TOGETHER) writeWaiting()
    },
    say(line) {
      handOver()
      write(Buffer.from(shown(line)))
    },
    handOver,
  }
}

/** Milliseconds that a reader may take nothing when the log is flushed, and while the process ends: of both together, where it stands still. */
const PATIENCE = 5_000

/** Returns how long its reader may still take nothing: one that is slow is waited for as one that has only begun to stand still. */
function flushed(destination: Destination): Promise<number> {
  return new Promise((resolve) => {
    let takenAt = performance.now()
    const taken = (): void => {
      takenAt = performance.now()
    }
    destination.on('write', taken)
    const done = (left: number): void => {
      clearTimeout(timer)
      destination.off('write', taken)
      resolve(left)
    }
    const timer = setTimeout(() => done(Math.max(0, takenAt + PATIENCE - performance.now())), PATIENCE)
    // Flushing ends in an fsync, which pipes and terminals do not know; and what cannot be written is tried again at the end of the process.
    destination.flush(() => done(PATIENCE))
  })
}

/**
 * Writes what is left at the end of the process. The destination's own way tries for ever: with a full disk, or a reader that has gone, no
 * process would end.
 */
function writeRest(destination: Destination, patience: number): void {
  const held = destination as unknown as Held
  const rest = Buffer.concat([...(held._writing ? [] : [held._writingBuf]), ...held._bufs.flat()])
  held._bufs = []
  held._lens = []
  if (!held._writing) held._writingBuf = Buffer.alloc(0)
  let until = performance.now() + patience
  for (let at = 0; at < rest.length; ) {
    try {
      at += writeSync(held.fd, rest, at)
      until = performance.now() + patience
    } catch (error) {
      // Nobody is left to tell.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() > until) return
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
    }
  }
}

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
