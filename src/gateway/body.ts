// Reads a request body once, within bounds, inflating it where the client compressed it.
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate } from 'node:zlib'
import { Refusal } from '../dialects/errors.ts'
import { type Call, ClientGone } from './call.ts'
import { Pieces } from './pieces.ts'

const inflaters = {
  gzip: promisify(gunzip),
  'x-gzip': promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
} as const

/**
 * The whole body, inflated.
 * @param limit most bytes, before and after inflating
 * @param call whose body it is: once that is gone, nobody waits for the rest
 * @throws Refusal `request_too_large`, `unsupported_media_type`, `invalid_encoding`; ClientGone when the client left
 */
export function readBody(req: IncomingMessage, limit: number, call?: Call): Promise<Buffer> {
  if (Number(req.headers['content-length']) > limit) return Promise.reject(tooLarge(limit))
  const encoding = req.headers['content-encoding']?.trim().toLowerCase() ?? 'identity'
  return encoding === 'identity' ? collect(req, limit, call) : readInflated(req, encoding, limit, call)
}

async function readInflated(
  req: IncomingMessage,
  encoding: string,
  limit: number,
  call: Call | undefined,
): Promise<Buffer> {
  if (!Object.hasOwn(inflaters, encoding)) {
    throw new Refusal('unsupported_media_type', 'The content-encoding is not supported: use gzip, deflate, br or none.')
  }
  const raw = await collect(req, limit, call)
  try {
    return await inflaters[encoding as keyof typeof inflaters](raw, { maxOutputLength: limit })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limit)
    throw new Refusal('invalid_encoding', `The body is not valid ${encoding} data.`)
  }
}

function collect(req: IncomingMessage, limit: number, call: Call | undefined): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // Gone while its token was judged or it waited for its turn: no event of a closed request comes again.
    if (req.destroyed || call?.gone) return reject(new ClientGone())
    if (call) call.onGone = () => reject(new ClientGone())
    const pieces = new Pieces()
    let size = 0
    req.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > limit) return reject(tooLarge(limit))
      pieces.add(chunk)
    })
    req.on('end', () => resolve(pieces.whole()))
    req.on('error', () => reject(new ClientGone()))
    req.on('close', () => {
      if (!req.complete) reject(new ClientGone())
    })
  })
}

function tooLarge(limit: number): Refusal {
  return new Refusal('request_too_large', `The request body is larger than ${limit} bytes.`)
}
