// What a request wants of the cache, by its headers.
import type { IncomingHttpHeaders } from 'node:http'
import { readDuration } from '../config/unit.ts'
import { Refusal } from '../dialects/errors.ts'

export interface Wishes {
  /** An answer may come from the cache, unless it is older than `maxAge` milliseconds. */
  readonly read: boolean
  readonly maxAge: number
  /** Its answer may be kept, for at most `ttl` milliseconds. */
  readonly write: boolean
  readonly ttl: number
  /** From the cache or not at all. */
  readonly only: boolean
}

const none: Wishes = { read: true, maxAge: Infinity, write: true, ttl: Infinity, only: false }

/** The headers that were read last, and what they said: a client sends the same ones with each request. */
let last: Headers & { readonly wishes: Wishes } = { control: undefined, own: undefined, ttl: undefined, wishes: none }

interface Headers {
  readonly control: string | undefined
  readonly own: string | string[] | undefined
  readonly ttl: string | string[] | undefined
}

/**
 * `cache-control` (RFC 9111, 5.2.1: no-cache, no-store, max-age, only-if-cached; others are passed over) and our own headers.
 * @throws Refusal `invalid_value` for values of ours that mean nothing: a typing error would else cost money in silence
 */
export function readWishes(headers: IncomingHttpHeaders): Wishes {
  const control = headers['cache-control']
  const own = headers['x-turnout-cache']
  const ttl = headers['x-turnout-cache-ttl']
  if (control === last.control && own === last.own && ttl === last.ttl) return last.wishes
  if (control === undefined && own === undefined && ttl === undefined) return none
  const wishes = { ...none }
  if (control !== undefined) obey(control, wishes)
  if (own !== undefined) obeyOwn(String(own).trim().toLowerCase(), wishes)
  if (ttl !== undefined) wishes.ttl = readTtl(String(ttl).trim())
  last = { control, own, ttl, wishes }
  return wishes
}

type Open = { -readonly [Name in keyof Wishes]: Wishes[Name] }

function obey(control: string, wishes: Open): void {
  for (const part of control.toLowerCase().split(',')) {
    const [name, value] = part.trim().split('=', 2)
    if (name === 'no-cache') wishes.read = false
    else if (name === 'no-store') wishes.write = false
    else if (name === 'only-if-cached') wishes.only = true
    else if (name === 'max-age' && /^"?\d+"?$/.test(value ?? ''))
      wishes.maxAge = 1000 * Number(value!.replaceAll('"', ''))
  }
}

function obeyOwn(own: string, wishes: Open): void {
  if (own === 'skip') wishes.read = wishes.write = false
  else if (own === 'refresh') wishes.read = false
  else if (own === 'only') wishes.only = true
  else throw invalid('x-turnout-cache', 'skip, refresh or only')
}

/** Seconds, or a duration as the configuration has them. */
function readTtl(text: string): number {
  const ms = /^\d+$/.test(text) ? 1000 * Number(text) : readDuration(text)
  if (ms === undefined || !Number.isFinite(ms) || ms <= 0)
    throw invalid('x-turnout-cache-ttl', 'seconds, or a duration such as 10m')
  return ms
}

const invalid = (header: string, expected: string): Refusal =>
  new Refusal('invalid_value', `Invalid header '${header}': expected ${expected}.`, header)
