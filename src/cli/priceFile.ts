// Fetches a price list from a file or URL within bounds, and parses it.
import { createReadStream } from 'node:fs'
import type { ProxyOf } from '../config/egress.ts'
import { openAgent } from '../egress/agent.ts'

/** Bytes. The largest list in use is about 2 MB. */
const largest = 64 * 1024 * 1024
const timeout = 30_000

/** The JSON of a price list. Throws Error with a text for the user: not found, too large, not JSON, bad status. */
export async function readPriceFile(source: string, proxyOf: ProxyOf): Promise<unknown> {
  const text = /^https?:\/\//i.test(source) ? await download(source, proxyOf) : await readWhole(source)
  try {
    return JSON.parse(text)
  } catch {
    // Node's own message quotes the text.
    throw new Error(`${source} is not JSON`)
  }
}

async function readWhole(file: string): Promise<string> {
  // Counted while reading, not by its size: a device or pipe has none.
  return collect(createReadStream(file), file)
}

async function download(url: string, proxyOf: ProxyOf): Promise<string> {
  const { request } = await import('undici')
  const dispatcher = await openAgent(proxyOf(url), 10_000, { headersTimeout: timeout, bodyTimeout: timeout })
  try {
    // A total bound too: `bodyTimeout` is between chunks. Redirects are not followed: the user names the real address.
    const signal = AbortSignal.timeout(timeout * 4)
    const { statusCode, headers, body } = await request(url, {
      dispatcher,
      signal,
      headers: { accept: 'application/json' },
    })
    if (statusCode !== 200) {
      body.on('error', () => {}) // What destroying it would otherwise throw at the process.
      body.destroy()
      const where = typeof headers.location === 'string' ? ` (it points to ${headers.location.slice(0, 200)})` : ''
      throw new Error(`${url} answered ${statusCode}${where}`)
    }
    return await collect(body, url)
  } finally {
    await dispatcher.destroy()
  }
}

async function collect(chunks: AsyncIterable<Buffer>, source: string): Promise<string> {
  const kept: Buffer[] = []
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.length
    if (bytes > largest) throw tooLarge(source)
    kept.push(chunk)
  }
  return Buffer.concat(kept).toString('utf8')
}

const tooLarge = (source: string): Error => new Error(`${source} is larger than ${largest / 1024 / 1024} MB`)
