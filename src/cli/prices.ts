// `turnout prices`: shows what a model costs and why, and refreshes the price list from a file or URL.
import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError } from 'commander'
import { readDocument } from '../config/document.ts'
import { type ProxyOf, readEgress } from '../config/egress.ts'
import { readEnv } from '../config/env.ts'
import { findConfigFile } from '../config/load.ts'
import { ConfigError } from '../config/problem.ts'
import { createPriceBook, type Explained, type PriceBook } from '../pricing/book.ts'
import { formatDecimal } from '../pricing/decimal.ts'
import { readLastGood, writeLastGood } from '../pricing/lastGood.ts'
import { builtInLayers, loadLayers } from '../pricing/layers.ts'
import { firstSeller, splitModel } from '../pricing/names.ts'
import { type Prices, pricesSchema } from '../pricing/priceSchema.ts'
import { type PriceVariant, perMillionScale, type RateSet } from '../pricing/rates.ts'
import { judgePrices } from '../pricing/refresh.ts'
import { findLedger, type LedgerFlags } from './ledgerFile.ts'
import { readPriceFile } from './priceFile.ts'

interface PlaceFlags extends Omit<LedgerFlags, 'db'> {
  dataDir?: string
}

interface ShowFlags extends PlaceFlags {
  json?: boolean
  at?: number
}

interface RefreshFlags extends PlaceFlags {
  force?: boolean
}

/** Where a gateway looks for the refreshed list. */
const dataDirOf = ({ dataDir, ...found }: PlaceFlags): string => dataDir ?? findLedger(found).dataDir

const addPlaceOptions = (command: Command): Command =>
  command
    .option(
      '-c, --config <file>',
      'configuration with `prices:` and the data folder, found as `serve` finds it unless given',
    )
    .option('--env-file <file>', 'file of environment variables; `.env` is read in any case')
    .option('--data-dir <dir>', 'folder of the refreshed price list, whatever the configuration says')

/** Adds `prices show MODEL` and `prices refresh FILE|URL`. */
export function addPricesCommand(program: Command): void {
  const prices = program.command('prices').description('what models cost, and where that is known from')

  const show = addPlaceOptions(
    prices
      .command('show')
      .description('print the price lists and facts of a model; exit code 1 when its price is unknown')
      .argument('<model>', '`provider/model`, or a well-known model alone'),
  )
    .option('--json', 'print one JSON object')
    .option('--at <date>', 'the moment to price at, such as 2026-06-01', parseDate)
    .action((model: string, flags: ShowFlags) => {
      const shown = showPrice(model, flags, (text) => show.configureOutput().writeErr!(`${text}\n`))
      show.configureOutput().writeOut!(flags.json ? `${JSON.stringify(jsonOf(shown), null, 2)}\n` : render(shown))
      if (shown.source === null) process.exitCode = 1
    })

  const refresh = addPlaceOptions(
    prices
      .command('refresh')
      .description("replace the refreshed price list by LiteLLM's model_prices JSON or models.dev's api.json")
      .argument('<source>', 'a file, or an http(s) URL'),
  )
    .option('--force', 'accept prices that differ wildly from the ones known so far')
    .action(async (source: string, flags: RefreshFlags) => {
      const { lines, done } = await refreshPrices(source, flags)
      const { writeOut, writeErr } = refresh.configureOutput()
      ;(done ? writeOut! : writeErr!)(`${lines.join('\n')}\n`)
      if (!done) process.exitCode = 1
    })
}

/** Explains one model's price by all layers. `warn` hears of a refreshed list that cannot be used. */
export function showPrice(model: string, flags: ShowFlags, warn: (text: string) => void): Explained {
  const prices = configPrices(flags)
  const config = prices && { prices, version: 'file' }
  const book = createPriceBook(loadLayers({ config, dataDir: dataDirOf(flags) }, warn))
  const at = flags.at ?? Date.now()
  const named = splitModel(model)
  if (named) return book.explain(named.provider, named.model, at)
  const seller = firstSeller((provider) => book.explain(provider, model, at).source !== null)
  if (seller) return book.explain(seller, model, at)
  // `my-server/my-model`: a provider of the configuration's own naming.
  const slash = model.indexOf('/')
  return book.explain(slash > 0 ? model.slice(0, slash) : 'unknown', model.slice(slash + 1), at)
}

/**
 * Reads, judges and stores a price list. Nothing is written unless the whole list is good.
 * Returns the text for the user and whether the list was replaced.
 */
export async function refreshPrices(
  source: string,
  flags: RefreshFlags,
  now: Date = new Date(),
): Promise<{ done: boolean; lines: string[] }> {
  const dataDir = dataDirOf(flags)
  const notes: string[] = []
  const last = readLastGood(dataDir, (problem) => notes.push(`note: ${problem}`))
  const layers = last ? [last.layer, ...builtInLayers()] : builtInLayers()
  const json = await readPriceFile(source, proxiesFor(flags))
  const judged = judgePrices(json, knownPrice(createPriceBook(layers), now), last ? Object.keys(last.prices).length : 0)
  const keep = last ? `the list of ${last.at.slice(0, 10)} stays` : 'nothing was stored'
  const refused = (why: string, list: string[]): { done: false; lines: string[] } => ({
    done: false,
    lines: [
      ...notes,
      `refused: ${why}; ${keep}`,
      ...list.slice(0, 20).map((line) => `  ${line}`),
      ...more(list.length - 20),
    ],
  })
  if (judged.problems.length > 0 || !judged.prices)
    return refused('the file is not a usable price list', judged.problems)
  if (judged.jumps.length > 0 && !flags.force) {
    return refused('prices differ wildly from the ones known so far (--force accepts them)', judged.jumps)
  }
  await writeLastGood(dataDir, source, now, judged.prices)
  const line = `stored ${judged.models} models from ${judged.format} (${judged.skipped} entries without a usable price left out)`
  return { done: true, lines: [...notes, line, 'a running gateway takes them up when it reloads its configuration'] }
}

const more = (count: number): string[] => (count > 0 ? [`  and ${count} more`] : [])

/** What a `provider/model` costs today, for the comparison with a new list. */
function knownPrice(book: PriceBook, now: Date) {
  return (key: string): { input: number | undefined; output: number | undefined } | undefined => {
    const named = splitModel(key)
    const explained = named && book.explain(named.provider, named.model, now.getTime())
    const base = explained?.variants[explained.current]?.base
    return base && { input: usd(base.input), output: usd(base.output) }
  }
}

const usd = (rate: bigint | undefined): number | undefined => (rate === undefined ? undefined : Number(rate) / 1e12)

/** @throws ConfigError where the environment names what is no proxy */
function proxiesFor({ envFile }: PlaceFlags): ProxyOf {
  const { env } = readEnv({ processEnv: process.env, envFile })
  return readEgress(env, ([name], message) => {
    throw new ConfigError([{ path: String(name), line: 0, column: 0, message }])
  })
}

/** The `prices:` of a configuration, checked. What else it says may be faulty: showing a price needs no keys. */
function configPrices({ config, envFile }: PlaceFlags): Prices | undefined {
  const { env } = readEnv({ processEnv: process.env, envFile })
  const place = findConfigFile(config, env)
  if (place === undefined) return undefined
  const { document, problems } = readDocument(readFileSync(place, 'utf8'), env)
  const grave = problems.filter(({ path }) => path === '' || /^prices\b/.test(path))
  if (grave.length > 0) throw new ConfigError(grave, place)
  const { prices } = (document.data ?? {}) as { prices?: unknown }
  if (prices === undefined) return undefined
  const checked = pricesSchema.safeParse(prices)
  if (checked.success) return checked.data
  const issues = checked.error.issues.map((issue) => `prices.${issue.path.join('.')}: ${issue.message}`)
  throw new Error(`${place}: ${issues.join('; ')}`)
}

function parseDate(text: string): number {
  const at = Date.parse(text)
  if (Number.isNaN(at)) throw new InvalidArgumentError('not a date')
  return at
}

function pricesOf(rates: RateSet): Record<string, string> {
  return Object.fromEntries(Object.entries(rates).map(([name, rate]) => [name, formatDecimal(rate, perMillionScale)]))
}

function validityOf({ from, window }: PriceVariant): { from?: string; hours?: string } {
  const clock = (second: number): string => new Date(second * 1000).toISOString().slice(11, 16)
  return {
    ...(from === undefined ? {} : { from: new Date(from).toISOString().slice(0, 10) }),
    ...(window ? { hours: `${clock(window.start)}-${clock(window.end)} UTC` } : {}),
  }
}

function jsonOf(shown: Explained): object {
  const { provider, model, source, version, note, correctedBy, variants, current, perSearch, serviceTiers, info } =
    shown
  return {
    provider,
    model,
    known: source !== null,
    source,
    version,
    note,
    correctedBy,
    unit: 'USD per million tokens',
    prices: variants.map((variant, i) => ({
      current: i === current,
      ...validityOf(variant),
      ...pricesOf(variant.base),
      ...(variant.perRequest === undefined ? {} : { perRequest: formatDecimal(variant.perRequest, 18) }),
      tiers: variant.tiers.map(({ above, rates }) => ({ above, ...pricesOf(rates) })),
    })),
    ...(perSearch === undefined ? {} : { webSearch: formatDecimal(BigInt(perSearch), 9) }),
    serviceTiers: Object.fromEntries([...serviceTiers].map(([tier, { by }]) => [tier, formatDecimal(by, 9)])),
    ...info,
  }
}

function render(shown: Explained): string {
  const { provider, model, source, version, note, correctedBy, variants, current, perSearch, serviceTiers, info } =
    shown
  const lines = [`${provider}/${model}`]
  if (source === null) lines.push('  price: unknown (counted as NULL, never as 0; set it under `prices:`)')
  else {
    const corrected = correctedBy.length > 0 ? `, corrected by ${correctedBy.join(', ')}` : ''
    lines.push(`  source: ${source} ${version}${note ? ` (${note})` : ''}${corrected}`, '  USD per million tokens:')
  }
  for (const [i, variant] of variants.entries()) {
    const { from, hours } = validityOf(variant)
    const when = [from && `from ${from}`, hours].filter(Boolean).join(', ')
    if (variants.length > 1) lines.push(`  ${i === current ? '→' : ' '} ${when || 'otherwise'}`)
    lines.push(...listOf(variant.base).map((line) => `    ${line}`))
    if (variant.perRequest !== undefined) lines.push(`    each request  ${formatDecimal(variant.perRequest, 18)} USD`)
    for (const { above, rates } of variant.tiers) {
      lines.push(`    above ${above} prompt tokens:`, ...listOf(rates).map((line) => `      ${line}`))
    }
  }
  if (perSearch !== undefined) lines.push(`  each web search: ${formatDecimal(BigInt(perSearch), 9)} USD`)
  if (serviceTiers.size > 0) {
    lines.push(
      `  service tiers: ${[...serviceTiers].map(([tier, { by }]) => `${tier} ×${formatDecimal(by, 9)}`).join(', ')}`,
    )
  }
  if (info.contextWindow) lines.push(`  context window: ${info.contextWindow}`)
  if (info.maxOutput) lines.push(`  longest answer: ${info.maxOutput}`)
  if (info.tier) lines.push(`  tier: ${info.tier}`)
  if (info.capabilities) lines.push(`  can: ${info.capabilities.join(', ')}`)
  return `${lines.join('\n')}\n`
}

function listOf(rates: RateSet): string[] {
  return Object.entries(pricesOf(rates)).map(([name, price]) => `${name.padEnd(14)}${price}`)
}
