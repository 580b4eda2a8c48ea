// The overlay: our reviewed facts about models (models.yaml) as a layer of the price book.
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { z } from 'zod'
import { createPriceMapLayer, type PriceLayer } from './layer.ts'
import { pricesSchema } from './priceSchema.ts'

const overlaySchema = z.strictObject({ version: z.string().min(1), models: pricesSchema })

/** Reads an overlay from YAML text. Throws with the path of what is wrong: it is our own file, so that is a broken build. */
export function parseOverlay(text: string): PriceLayer {
  const { version, models } = overlaySchema.parse(parse(text))
  return createPriceMapLayer('overlay', version, models)
}

/** The overlay that comes with the program. */
export function loadOverlay(): PriceLayer {
  // The compiler copies no YAML: from src/pricing and from dist/pricing alike, this is the file in the sources, which is shipped.
  return parseOverlay(readFileSync(new URL('../../src/pricing/models.yaml', import.meta.url), 'utf8'))
}
