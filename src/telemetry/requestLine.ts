// The line of a request, written byte by byte where it is sent from: the strings of a line were most of its cost.

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

/** Bytes that no line is longer than: 32 fields of at most 128 characters, each six bytes long where it is escaped (`\u001f`). */
export const longestLine = 32 * 1024

/**
 * Writes the line as pino would, and returns where it ends. Values that are neither text, finite number nor boolean are left out, and
 * so is every field that is not named here.
 * @param at where it begins; `longestLine` bytes must be free from there
 * @param moment Unix milliseconds
 */
export function writeRequest(bytes: Buffer, at: number, line: RequestLine, moment: number): number {
  let end = putTime(bytes, at, moment)
  end = put(bytes, end, ',"id":', line.id)
  end = putPassage(bytes, end, line)
  end = put(bytes, end, ',"fault":', line.fault)
  end = put(bytes, end, ',"refusal":', line.refusal)
  end = put(bytes, end, ',"limit":', line.limit)
  end = put(bytes, end, ',"queuedMs":', line.queuedMs)
  end = put(bytes, end, ',"attempts":', line.attempts)
  end = put(bytes, end, ',"cache":', line.cache)
  end = put(bytes, end, ',"durationMs":', line.durationMs)
  end = put(bytes, end, ',"firstTokenMs":', line.firstTokenMs)
  end = put(bytes, end, ',"overheadMs":', line.overheadMs)
  end = put(bytes, end, ',"inputTokens":', line.inputTokens)
  end = put(bytes, end, ',"outputTokens":', line.outputTokens)
  end = put(bytes, end, ',"costNanoUsd":', line.costNanoUsd)
  end = put(bytes, end, ',"config":', line.config)
  end = put(bytes, end, ',"key":', line.key)
  end = put(bytes, end, ',"team":', line.team)
  end = put(bytes, end, ',"rollout":', line.rollout)
  end = put(bytes, end, ',"arm":', line.arm)
  end = put(bytes, end, ',"address":', line.address)
  end = put(bytes, end, ',"user":', line.user)
  end = put(bytes, end, ',"trace":', line.trace)
  end = put(bytes, end, ',"finish":', line.finish)
  return putPlain(bytes, end, ',"msg":"request"}\n')
}

/** What most requests of one kind have in common, as it was written last. */
interface Passage {
  line: RequestLine
  readonly bytes: Buffer
  length: number
}

const passages: (Passage | undefined)[] = []
/** A power of two. */
const mostPassages = 16
/** Longer ones are made of odd names, and not kept. */
const longestPassage = 1024

/** From the route to the outcome: nearly half of a line, and the same in the next one. */
function putPassage(bytes: Buffer, at: number, line: RequestLine): number {
  const { route, model = '', target = '', status } = line
  const place = (route.length + 3 * model.length + 5 * target.length + 7 * status) & (mostPassages - 1)
  const known = passages[place]
  if (known && isAlike(known.line, line)) return at + known.bytes.copy(bytes, at, 0, known.length)
  const end = writePassage(bytes, at, line)
  // A client may send a name of megabytes, which would be held for as long as the passage.
  if (end - at > longestPassage || model.length > longestText) return end
  const made = known ?? { line, bytes: Buffer.allocUnsafeSlow(longestPassage), length: 0 }
  made.line = line
  made.length = bytes.copy(made.bytes, 0, at, end)
  passages[place] = made
  return end
}

const isAlike = (one: RequestLine, other: RequestLine): boolean =>
  one.route === other.route &&
  one.model === other.model &&
  one.target === other.target &&
  one.provider === other.provider &&
  one.servedModel === other.servedModel &&
  one.dialect === other.dialect &&
  one.lane === other.lane &&
  one.stream === other.stream &&
  one.status === other.status &&
  one.outcome === other.outcome

function writePassage(bytes: Buffer, at: number, line: RequestLine): number {
  let end = put(bytes, at, ',"route":', line.route)
  end = put(bytes, end, ',"model":', line.model)
  end = put(bytes, end, ',"target":', line.target)
  end = put(bytes, end, ',"provider":', line.provider)
  end = put(bytes, end, ',"servedModel":', line.servedModel)
  end = put(bytes, end, ',"dialect":', line.dialect)
  end = put(bytes, end, ',"lane":', line.lane)
  end = put(bytes, end, ',"stream":', line.stream)
  end = put(bytes, end, ',"status":', line.status)
  return put(bytes, end, ',"outcome":', line.outcome)
}

const longestText = 128

/** At most 128 characters of a text that others chose. */
export const cut = (text: string): string => (text.length > longestText ? `${text.slice(0, longestText - 1)}…` : text)

let second = -1
let opening = ''

/** How a line begins. All but the last three digits of the time is made once a second. */
function putTime(bytes: Buffer, at: number, moment: number): number {
  const now = Math.floor(moment / 1000)
  if (now !== second) {
    second = now
    opening = `{"level":"info","time":"${new Date(now * 1000).toISOString().slice(0, 20)}`
  }
  let end = putPlain(bytes, at, opening)
  const ms = moment - now * 1000
  bytes[end++] = zero + Math.floor(ms / 100)
  bytes[end++] = zero + (Math.floor(ms / 10) % 10)
  bytes[end++] = zero + (ms % 10)
  return putPlain(bytes, end, 'Z"')
}

function put(bytes: Buffer, at: number, key: string, value: unknown): number {
  if (value === undefined || value === null) return at
  if (typeof value === 'string') return putText(bytes, putPlain(bytes, at, key), value)
  if (typeof value === 'number') return Number.isFinite(value) ? putNumber(bytes, putPlain(bytes, at, key), value) : at
  return typeof value === 'boolean' ? putPlain(bytes, putPlain(bytes, at, key), value ? 'true' : 'false') : at
}

const zero = 0x30
const quote = 0x22
const backslash = 0x5c

/** ASCII alone, as it is. */
function putPlain(bytes: Buffer, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i)
  return at + text.length
}

/** As JSON. Nearly all text is plain: what is not is left to `JSON.stringify`. */
function putText(bytes: Buffer, at: number, text: string): number {
  const { length } = text
  if (length > longestText) return putOdd(bytes, at, text)
  let end = at
  bytes[end++] = quote
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code > 0x7e || code === quote || code === backslash) return putOdd(bytes, at, text)
    bytes[end++] = code
  }
  bytes[end++] = quote
  return end
}

const putOdd = (bytes: Buffer, at: number, text: string): number => at + bytes.write(JSON.stringify(cut(text)), at)

/** As `String(value)`. Whole numbers and those with three decimals, which is what lines have, need no string. */
function putNumber(bytes: Buffer, at: number, value: number): number {
  if (!(value >= 0 && value < 2_000_000_000)) return putPlain(bytes, at, String(value))
  if (Number.isInteger(value)) return putInteger(bytes, at, value)
  const thousandths = Math.round(value * 1000)
  if (value >= 2_000_000 || thousandths / 1000 !== value) return putPlain(bytes, at, String(value))
  const whole = Math.floor(thousandths / 1000)
  let rest = thousandths - whole * 1000
  let end = putInteger(bytes, at, whole)
  bytes[end++] = 0x2e
  for (let size = 100; rest > 0; size /= 10) {
    const digit = Math.floor(rest / size)
    bytes[end++] = zero + digit
    rest -= digit * size
  }
  return end
}

/** From 0 to below 2^31. */
function putInteger(bytes: Buffer, at: number, value: number): number {
  let end = at + 1
  for (let rest = value; rest >= 10; rest = (rest / 10) | 0) end++
  let rest = value
  for (let place = end - 1; place >= at; place--) {
    const tens = (rest / 10) | 0
    bytes[place] = zero + rest - tens * 10
    rest = tens
  }
  return end
}
