// What clients switch by headers of ours. (Those of the cache: cacheWishes.ts.)
import type { IncomingHttpHeaders } from 'node:http'
import { Refusal } from '../dialects/errors.ts'

const words = {
  'x-turnout-strict': ['true', 'false'],
  'x-turnout-fallback': ['on', 'off'],
  'x-turnout-usage': ['cost'],
  'x-turnout-echo': ['request'],
} as const
type Switch = keyof typeof words

const names = Object.keys(words) as Switch[]

/** Whether the client says this word. Python writes `True`. */
export function says<Name extends Switch>(
  headers: IncomingHttpHeaders,
  name: Name,
  word: (typeof words)[Name][number],
): boolean {
  const said = headers[name]
  return said !== undefined && (said === word || wordOf(said) === word)
}

/** @throws Refusal `invalid_value` for what means nothing: a typing error would else be passed over in silence, and cost money or a parameter */
export function checkSwitches(headers: IncomingHttpHeaders): void {
  for (const name of names) {
    const said = headers[name]
    if (said === undefined || (words[name] as readonly string[]).includes(wordOf(said))) continue
    throw new Refusal('invalid_value', `Invalid header '${name}': expected ${words[name].join(' or ')}.`, name)
  }
}

const wordOf = (said: string | string[]): string => String(said).trim().toLowerCase()
