// The overlay: our reviewed facts about models (models.ts) as a layer of the price book.
import * as z from 'zod'
import { createPriceMapLayer, type PriceLayer } from './layer.ts'
import { overlayModels, overlayVersion } from './models.ts'
import { pricesSchema } from './priceSchema.ts'

const overlaySchema = z.strictObject({ version: z.string().min(1), models: pricesSchema })

/** An overlay from plain data. Throws with the path of what is wrong: it is our own file, so that is a broken build. */
export function readOverlay(data: unknown): PriceLayer {
  const { version, models } = overlaySchema.parse(data)
  return createPriceMapLayer('overlay', version, models)
}

/** The overlay that comes with the program. */
export const loadOverlay = (): PriceLayer => readOverlay({ version: overlayVersion, models: overlayModels })
