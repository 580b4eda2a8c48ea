// Who may come in at all: lists of addresses, temporary blocks, how often an address may show wrong keys or ask for a page without one.
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { AccessSettings } from '../config/limitTypes.ts'
import type { ApiKey } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import { type AddressVerdict, addressKey, createAddressRules } from '../state/limits/address.ts'
import type { Block, Blocks } from '../state/limits/blocks.ts'
import { createDoorLimit } from '../state/limits/doorLimit.ts'
import { createFamiliar } from '../state/limits/familiar.ts'
import { retryAfterSeconds } from '../state/limits/limitHeaders.ts'
import type { AuthFailure, doorReasons } from '../telemetry/metricTable.ts'
import { Denied } from './denied.ts'

/** Pages that are answered without a key, or without counting as a request of one. */
export type PageName = 'status' | 'metrics' | 'limits'

export type DoorReason = (typeof doorReasons)[number]

export interface DoorParts {
  access(): AccessSettings
  readonly blocks: Blocks
  /** The client's address, behind the trusted proxies. */
  clientAddress(req: IncomingMessage): string
  /** Told of each refusal. */
  turnedAway(reason: DoorReason): void
  /** Told when an address has shown so many wrong keys that it has to wait. */
  shutOut(address: string): void
  /** Milliseconds of a clock that never goes back. */
  readonly now?: (() => number) | undefined
}

type Shown = ApiKey | undefined | Promise<ApiKey | undefined>

export interface Door {
  /** The client as limits and blocks count it. */
  addressOf(req: IncomingMessage): string
  /** Why an address may not come in, whatever it asks for. Costs nothing where no list and no block is. */
  stop(req: IncomingMessage): Refusal | undefined
  /**
   * The key of a request, found by `check`, which throws Refusal `invalid_api_key` for a wrong one.
   * @throws what `check` throws; Refusal `rate_limit_exceeded` for an address with too many wrong keys, unless the key has come from there
   * before; `blocked`
   */
  enter<Key extends Shown>(req: IncomingMessage, check: () => Key): Key
  /** Counts a call of a page. @throws Refusal `rate_limit_exceeded` */
  visit(page: PageName, req: IncomingMessage): void
}

/** The door of one gateway. Its counts live as long as it does, across configurations. */
export function createDoor(parts: DoorParts): Door {
  const { access, blocks, now } = parts
  const failures = createDoorLimit(() => access().failuresPerMinute, 60_000, now)
  const pages = {
    status: createDoorLimit(() => access().statusPerMinute, 60_000, now),
    metrics: createDoorLimit(() => access().metricsPerMinute, 60_000, now),
    limits: createDoorLimit(() => access().statusPerMinute, 60_000, now),
  }
  const addressOf = (req: IncomingMessage): string => addressKey(parts.clientAddress(req))
  const familiar = createFamiliar()
  /** Most connections show one key: then nothing has to be looked up. */
  const lastKeys = new WeakMap<Socket, string>()
  const rules = new WeakMap<AccessSettings, (address: string) => AddressVerdict>()

  function rulesOf(settings: AccessSettings): (address: string) => AddressVerdict {
    let made = rules.get(settings)
    if (!made) {
      made = createAddressRules(settings)
      rules.set(settings, made)
    }
    return made
  }

  function refuse(reason: DoorReason, refusal: Refusal): Refusal {
    parts.turnedAway(reason)
    return refusal
  }

  /** `shutFor`: milliseconds that the address has to wait for its wrong keys. */
  function admitted(req: IncomingMessage, key: ApiKey, shutFor: number | undefined): ApiKey {
    if (shutFor !== undefined && !familiar.knows(addressOf(req), key.name)) throw shut(shutFor)
    if (access().failuresPerMinute > 0 && lastKeys.get(req.socket) !== key.name) {
      lastKeys.set(req.socket, key.name)
      familiar.note(addressOf(req), key.name)
    }
    const block = blocks.holds('key') ? blocks.find('key', key.name) : undefined
    if (block) throw refuse('blocked', blockedBy(block))
    return key
  }

  const shut = (ms: number): Refusal => refuse('wrong_keys', tooManyFailures(access().failuresPerMinute, ms))

  /** Whoever has to wait does not learn whether a key is right. */
  function failed(req: IncomingMessage, error: unknown, shutFor: number | undefined): unknown {
    if (!(error instanceof Refusal) || error.status !== 401) return error
    if (shutFor !== undefined) return shut(shutFor)
    // A request without any key guesses nothing, and one that has expired was not guessed.
    if (!(error instanceof Denied) || !guesses.has(error.reason)) return error
    const address = addressOf(req)
    failures.count(address)
    if (failures.wait(address) !== undefined) parts.shutOut(address)
    return error
  }

  return {
    addressOf,
    stop(req) {
      const settings = access()
      if (settings.allow.length > 0 || settings.deny.length > 0) {
        if (rulesOf(settings)(parts.clientAddress(req)) !== 'allowed')
          return refuse('address', new Refusal('address_not_allowed', 'Your address may not use this gateway.'))
      }
      if (!blocks.holds('ip')) return undefined
      const block = blocks.find('ip', addressOf(req))
      return block && refuse('blocked', blockedBy(block))
    },
    enter<Key extends Shown>(req: IncomingMessage, check: () => Key): Key {
      const shutFor = failures.size > 0 ? failures.wait(addressOf(req)) : undefined
      let shown: Shown
      try {
        shown = check()
      } catch (error) {
        throw failed(req, error, shutFor)
      }
      if (shown instanceof Promise) {
        return shown.then(
          (key) => key && admitted(req, key, shutFor),
          (error) => {
            throw failed(req, error, shutFor)
          },
        ) as Key
      }
      return (shown && admitted(req, shown, shutFor)) as Key
    },
    visit(page, req) {
      const ms = pages[page].take(addressOf(req))
      if (ms === undefined) return
      const { statusPerMinute, metricsPerMinute } = access()
      throw refuse('page', tooManyVisits(page, page === 'metrics' ? metricsPerMinute : statusPerMinute, ms))
    },
  }
}

/** What somebody who tries keys is refused for. */
const guesses: ReadonlySet<AuthFailure> = new Set(['unknown', 'token_invalid', 'token_key'])

/** What a client is told of a block. The reason is the operator's and stays theirs. */
export function blockedBy({ kind, until }: Block): Refusal {
  const seconds = Math.max(1, Math.ceil((until - Date.now()) / 1000))
  const who = { ip: 'Your address', user: 'This user', key: 'This API key' }[kind]
  return new Refusal('blocked', `${who} is blocked for ${seconds} s more.`, null, {
    scope: kind,
    retry_after_seconds: seconds,
  })
}

function tooManyFailures(allowed: number, ms: number): Refusal {
  const seconds = retryAfterSeconds(ms)
  return new Refusal(
    'rate_limit_exceeded',
    `Too many wrong API keys came from your address. Try again in ${seconds} s.`,
    null,
    { limit: 'wrong keys', scope: 'ip', kind: 'requests', allowed, window_seconds: 60, retry_after_seconds: seconds },
  )
}

function tooManyVisits(page: PageName, allowed: number, ms: number): Refusal {
  const seconds = retryAfterSeconds(ms)
  return new Refusal(
    'rate_limit_exceeded',
    `Rate limit reached: ${allowed} requests in 60 s for this page and address. Try again in ${seconds} s.`,
    null,
    { limit: page, scope: 'ip', kind: 'requests', allowed, window_seconds: 60, retry_after_seconds: seconds },
  )
}
