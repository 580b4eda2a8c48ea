// The ids of a trace, in the words of W3C Trace Context (https://www.w3.org/TR/trace-context/): read from clients, made here, sent on.
import { randomBytes } from 'node:crypto'

export interface TraceContext {
  /** 32 hex digits. */
  readonly traceId: string
  /** The client's span, 16 hex digits; undefined where the trace begins here. */
  readonly parent: string | undefined
  /** What others added to it, sent on as it is. */
  readonly state: string | undefined
  /** Kept in any case; the others are where something went wrong or took long. */
  readonly sampled: boolean
}

/** Version ff is forbidden; later versions than 00 may have more parts, which nobody here understands. */
const pattern = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const noTrace = '0'.repeat(32)
const noSpan = '0'.repeat(16)

/** What a client says of its trace; undefined when it says nothing, or nothing that can be understood. */
export function readTraceparent(header: string): { traceId: string; parent: string; sampled: boolean } | undefined {
  const [, version, traceId, parent, flags, more] = pattern.exec(header) ?? []
  if (!version || traceId === noTrace || parent === noSpan || (version === '00' && more !== undefined)) return undefined
  return { traceId: traceId!, parent: parent!, sampled: (Number.parseInt(flags!, 16) & 1) === 1 }
}

/** The header of a call that `span` makes. */
export const writeTraceparent = ({ traceId, sampled }: TraceContext, span: string): string =>
  `00-${traceId}-${span}-${sampled ? '01' : '00'}`

/**
 * The context of a request.
 * @param request its id: half of a trace id that begins here, so that the trace is found by it without an index
 * @param sample share of traces that is kept, from 0 to 1
 */
export function beginTrace(
  request: number,
  headers: Readonly<Record<string, string | string[] | undefined>>,
  sample: number,
): TraceContext {
  const { traceparent, tracestate } = headers
  const given = typeof traceparent === 'string' ? readTraceparent(traceparent) : undefined
  const drawn = sample >= 1 || (sample > 0 && Math.random() < sample)
  if (!given) return { traceId: hexOf(request) + randomHalf(), parent: undefined, state: undefined, sampled: drawn }
  return {
    traceId: given.traceId,
    parent: given.parent,
    state: typeof tracestate === 'string' && tracestate.length <= 512 ? tracestate : undefined,
    sampled: given.sampled || drawn,
  }
}

/** The request whose trace has begun here with this id; it may also be somebody else's id. */
export function requestIn(traceId: string): number | undefined {
  const id = Number.parseInt(traceId.slice(0, 16), 16)
  return Number.isSafeInteger(id) ? id : undefined
}

// Span ids come from the ledger's ids. Two gateways of one trace may have equal ones: each mixes in a number of its own.
const mask = randomBytes(8)
const high = mask.readUInt32BE(0)
const low = mask.readUInt32BE(4)

/** The span of a request or attempt, by its id in the ledger: 16 hex digits. */
export const spanOf = (id: number): string =>
  word((Math.floor(id / 0x1_0000_0000) ^ high) >>> 0) + word(((id % 0x1_0000_0000) ^ low) >>> 0)

const pairs = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** 8 hex digits of 32 bits. `toString(16)` of a number beyond 2^31 takes four times as long. */
const word = (value: number): string =>
  pairs[value >>> 24]! + pairs[(value >>> 16) & 255]! + pairs[(value >>> 8) & 255]! + pairs[value & 255]!

const hexOf = (id: number): string => word(Math.floor(id / 0x1_0000_0000)) + word(id % 0x1_0000_0000)

// Randomness by the page: asked for one by one it costs more than all the rest.
let page = ''
let used = 0

function randomHalf(): string {
  if (used >= page.length) {
    page = randomBytes(4096).toString('hex')
    used = 0
  }
  const half = page.slice(used, used + 16)
  used += 16
  return half
}
