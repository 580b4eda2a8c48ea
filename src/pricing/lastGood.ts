// The last good refreshed price file in the data folder: read at start, replaced atomically, never half written.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { makeFolder } from '../makeFolder.ts'
import { createPriceMapLayer, type PriceLayer } from './layer.ts'
import { type Prices, pricesSchema } from './priceSchema.ts'

const fileSchema = z.object({
  format: z.literal(1),
  /** Where it was read from, for people. */
  from: z.string(),
  at: z.string(),
  prices: pricesSchema,
})

export interface LastGood {
  from: string
  /** ISO time of the refresh. */
  at: string
  prices: Prices
  layer: PriceLayer
}

export const lastGoodFile = (dataDir: string): string => join(dataDir, 'prices.json')

/**
 * The last good prices; undefined when there never were any. A file that cannot be used is reported, not thrown: the layers below
 * still have prices, and an operator should hear of it.
 */
export function readLastGood(dataDir: string, report: (problem: string) => void): LastGood | undefined {
  const file = lastGoodFile(dataDir)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') report(`${file}: ${(error as Error).message}`)
    return undefined
  }
  try {
    const { from, at, prices } = fileSchema.parse(JSON.parse(text))
    const hash = createHash('sha256').update(text).digest('hex').slice(0, 12)
    return { from, at, prices, layer: createPriceMapLayer('refreshed', `${at.slice(0, 10)}-${hash}`, prices) }
  } catch {
    report(`${file} is not a price file; run \`turnout prices refresh\` again`)
    return undefined
  }
}

/** Replaces the last good prices: written beside, synced, renamed over. After a crash there is the old file or the new one. */
export async function writeLastGood(dataDir: string, from: string, at: Date, prices: Prices): Promise<void> {
  // As the store makes it: whoever comes first decides who may look into the ledger.
  makeFolder(dataDir)
  const file = lastGoodFile(dataDir)
  const temporary = `${file}.${process.pid}.tmp`
  try {
    const handle = await open(temporary, 'w', 0o644)
    try {
      await handle.writeFile(JSON.stringify({ format: 1, from, at: at.toISOString(), prices }))
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}
