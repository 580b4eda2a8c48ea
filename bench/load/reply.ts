// Reads one HTTP/1.1 reply after another off a socket, piece by piece, and compares the body with the expected bytes as it comes.

/** What a finished reply was. */
export interface Reply {
  status: number
  /** Bytes of the body, without chunk framing. */
  bytes: number
  /** All bytes were the expected ones. True when nothing was expected. */
  same: boolean
  /** The body itself, only where it was asked to be kept. */
  body: Buffer | undefined
}

const lineEnd = Buffer.from('\r\n')
const headEnd = Buffer.from('\r\n\r\n')
const empty = Buffer.alloc(0)

/**
 * A reader for one connection. Written for speed, because the generator has to be several times cheaper than what it measures:
 * node:http's client costs more than a gateway's own work. Knows content-length and chunked bodies, nothing else.
 */
export const makeReplyReader = (
  expected: Buffer | undefined,
  keep: boolean,
  onFirstByte: () => void,
  onReply: (reply: Reply) => void,
): ((piece: Buffer) => void) => {
  let state: 'head' | 'length' | 'size' | 'chunk' | 'trailer' = 'head'
  let rest: Buffer = empty
  let left = 0
  let status = 0
  let bytes = 0
  let same = true
  let kept: Buffer[] = []

  const takeBody = (piece: Buffer) => {
    if (bytes === 0) onFirstByte()
    if (expected && same) {
      const end = bytes + piece.length
      same = end <= expected.length && expected.compare(piece, 0, piece.length, bytes, end) === 0
    }
    if (keep) kept.push(piece)
    bytes += piece.length
  }

  const finish = () => {
    const whole = expected === undefined || (same && bytes === expected.length)
    const reply = { status, bytes, same: whole, body: keep ? Buffer.concat(kept) : undefined }
    state = 'head'
    bytes = 0
    same = true
    kept = []
    onReply(reply)
  }

  const takeHead = (head: string) => {
    status = Number(head.slice(9, 12))
    const lower = head.toLowerCase()
    const length = lower.indexOf('\r\ncontent-length:')
    if (length >= 0) {
      left = Number.parseInt(lower.slice(length + 17), 10)
      state = 'length'
      if (left === 0) finish()
    } else if (lower.includes('\r\ntransfer-encoding: chunked')) state = 'size'
    else throw new Error('a reply with neither content-length nor chunks')
  }

  return (piece) => {
    let data = rest.length > 0 ? Buffer.concat([rest, piece]) : piece
    rest = empty
    while (data.length > 0) {
      if (state === 'head') {
        const end = data.indexOf(headEnd)
        if (end < 0) break
        takeHead(data.toString('latin1', 0, end))
        data = data.subarray(end + 4)
      } else if (state === 'length' || state === 'chunk') {
        // A chunk's own line end counts into `left` but not into the body.
        const frame = state === 'chunk' ? 2 : 0
        const part = Math.min(left, data.length)
        const body = Math.min(part, left - frame)
        if (body > 0) takeBody(data.subarray(0, body))
        left -= part
        data = data.subarray(part)
        if (left === 0) {
          if (state === 'length') finish()
          else state = 'size'
        }
      } else {
        const end = data.indexOf(lineEnd)
        if (end < 0) break
        if (state === 'trailer') {
          if (end === 0) finish()
        } else {
          const size = Number.parseInt(data.toString('latin1', 0, end), 16)
          left = size + 2
          state = size === 0 ? 'trailer' : 'chunk'
        }
        data = data.subarray(end + 2)
      }
    }
    rest = data
  }
}
