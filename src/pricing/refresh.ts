// Judges a new price file as a whole before it may replace the last good one.
import { parseDecimal } from './decimal.ts'
import { type ModelPrice, type Prices, pricesSchema } from './priceSchema.ts'
import { readSource } from './sources.ts'

export interface Judged {
  /** Present only when there is no problem. */
  prices?: Prices
  format: string
  models: number
  skipped: number
  /** Why the file is refused. Not for --force: a file with these is broken. */
  problems: string[]
  /** Changes so large that a person should look: refused without `force`. */
  jumps: string[]
}

/** Fewer models than this is not a price list of the world's vendors: a wrong URL, an error page, a cut file. */
const fewestModels = 50
/** A price this many times higher or lower than before is more often a slip of the pen than news. */
const wildest = 10

/**
 * Reads and judges a foreign price file. `known` gives what a model costs today (USD per million tokens of input and output) for the
 * comparison, undefined where nothing is known; `before` is how many models the last good file had.
 */
export function judgePrices(
  json: unknown,
  known: (key: string) => { input: number | undefined; output: number | undefined } | undefined,
  before = 0,
): Judged {
  const { format, prices: read, problems, skipped } = readSource(json)
  const judged: Judged = { format, models: read.size, skipped, problems: [...problems], jumps: [] }
  if (problems.length === 0 && read.size < fewestModels) {
    judged.problems.push(`only ${read.size} usable models, fewer than the ${fewestModels} that a price list must have`)
  }
  const checked = pricesSchema.safeParse(Object.fromEntries(read))
  if (!checked.success) {
    for (const issue of checked.error.issues) judged.problems.push(`${issue.path.join('.')}: ${issue.message}`)
  }
  if (judged.problems.length > 0 || !checked.success) return judged

  if (read.size < before * 0.7) judged.jumps.push(`${before} models before, ${read.size} now`)
  for (const [key, price] of Object.entries(checked.data)) {
    const old = known(key)
    if (!old) continue
    for (const side of ['input', 'output'] as const) {
      const jump = jumpOf(old[side], price[side])
      if (jump) judged.jumps.push(`${key}: ${side} ${jump}`)
    }
  }
  judged.prices = checked.data
  return judged
}

function jumpOf(before: number | undefined, now: ModelPrice['input']): string | undefined {
  if (before === undefined || before === 0 || now === undefined) return undefined
  const price = Number(parseDecimal(now, 12)) / 1e12
  if (price > before * wildest || price < before / wildest) return `${before} → ${price} USD per million`
  return undefined
}
