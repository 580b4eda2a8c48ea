// The overlay: our reviewed facts about models (models.yaml) as a layer of the price book.
import { existsSync, readFileSync } from 'node:fs'
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
  // Beside this module in the sources and, copied by the build, in dist; a bare `tsc` copies nothing, so look in the sources then.
  const places = ['./models.yaml', '../../src/pricing/models.yaml'].map((path) => new URL(path, import.meta.url))
  const file = places.find((place) => existsSync(place))
  if (!file) throw new Error(`models.yaml is not beside ${import.meta.url}: was it copied by the build?`)
  return parseOverlay(readFileSync(file, 'utf8'))
}
