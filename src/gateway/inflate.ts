// Inflates replies that an upstream, or a proxy before it, has compressed although `accept-encoding: identity` asked it not to.
import type { Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { UpstreamFault } from '../dialects/errors.ts'

const inflaters: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
}

/** Codings that nobody here reads. Other names are none at all: servers write `utf-8` or `none` there. */
const unread: ReadonlySet<string> = new Set(['zstd', 'compress', 'x-compress', 'dcb', 'dcz'])

/** Where the inflated bytes go. `onError` is the last that is called. */
export interface Inflated {
  onData(chunk: Buffer): void
  onEnd(): void
  onError(fault: UpstreamFault): void
}

const nameOf = (encoding: string | string[] | undefined): string =>
  String(encoding ?? '')
    .trim()
    .toLowerCase()

/** False for what is called gzip and begins otherwise (RFC 1952, 2.3.1): some proxies inflate a reply and leave its header as it was. */
export function looksGzipped(encoding: string | string[] | undefined, bytes: Buffer): boolean {
  return bytes[0] === 0x1f || !/gzip$/.test(nameOf(encoding))
}

/**
 * What takes the compressed bytes; undefined where they are not compressed.
 * @param encoding the reply's `content-encoding`
 * @throws UpstreamFault for one that is not known
 */
export function inflaterFor(encoding: string | string[] | undefined, to: Inflated): Transform | undefined {
  const name = nameOf(encoding)
  if (unread.has(name))
    throw new UpstreamFault('garbage', `The upstream compressed its reply as '${name}', which was not asked for.`)
  const create = Object.hasOwn(inflaters, name) ? inflaters[name] : undefined
  if (!create) return undefined
  const inflater = create()
  inflater.on('data', (chunk: Buffer) => to.onData(chunk))
  inflater.on('end', () => to.onEnd())
  inflater.on('error', () =>
    to.onError(new UpstreamFault('garbage', `The upstream's reply is not valid ${name} data.`)),
  )
  return inflater
}
