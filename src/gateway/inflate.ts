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

/** Where the inflated bytes go. `onError` is the last that is called. */
export interface Inflated {
  onData(chunk: Buffer): void
  onEnd(): void
  onError(fault: UpstreamFault): void
}

/**
 * What takes the compressed bytes; undefined where they are not compressed.
 * @param encoding the reply's `content-encoding`
 * @throws UpstreamFault for one that is not known
 */
export function inflaterFor(encoding: string | string[] | undefined, to: Inflated): Transform | undefined {
  const name = String(encoding ?? '')
    .trim()
    .toLowerCase()
  if (name === '' || name === 'identity') return undefined
  const create = Object.hasOwn(inflaters, name) ? inflaters[name] : undefined
  if (!create) {
    const shown = name.slice(0, 32)
    throw new UpstreamFault('garbage', `The upstream compressed its reply as '${shown}', which was not asked for.`)
  }
  const inflater = create()
  inflater.on('data', (chunk: Buffer) => to.onData(chunk))
  inflater.on('end', () => to.onEnd())
  inflater.on('error', () =>
    to.onError(new UpstreamFault('garbage', `The upstream's reply is not valid ${name} data.`)),
  )
  return inflater
}
