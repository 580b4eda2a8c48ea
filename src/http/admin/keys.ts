// Virtual keys for operators: make, look at, change, rotate, take away. A secret is shown once, in the answer that made it.
import * as z from 'zod'
import { ownRulesSchema } from '../../config/limitSchema.ts'
import { formatPath } from '../../config/problem.ts'
import type { ApiKey } from '../../config/snapshot.ts'
import { Refusal } from '../../dialects/errors.ts'
import { type KeyFacts, type Keyring, NameTaken, readRules, type VirtualKey } from '../../state/keyring.ts'
import { withRefusals } from './control.ts'
import { pageShape, placeOf } from './requests.ts'
import { mayAct, roleOf, roles } from './role.ts'
import { type AdminCall, type AdminDeps, type Audited, defineRoute } from './route.ts'
import { listed, named, page, type Shown, texts, time, word } from './shape.ts'

const name = z
  .string({ error: 'expected a text' })
  .regex(/^[\w.@:-]{1,128}$/, { error: 'letters, digits and . @ : - _, at most 128' })
const patterns = z.array(z.string().min(1).max(256), { error: 'expected a list of names' }).max(256)
const { limits, budgets } = ownRulesSchema.shape
const facts = {
  name,
  team: name.nullable(),
  role: z.enum(['app', ...roles], { error: `expected app, ${roles.join(', ')}` }),
  tags: z.record(z.string().min(1).max(64), z.string().max(256)).nullable(),
  routes: patterns.nullable(),
  models: patterns.nullable(),
  limits: limits.nullable(),
  budgets: budgets.nullable(),
  expires_at: z.iso.datetime({ offset: true, error: 'expected a time such as 2027-01-31T00:00:00Z' }).nullable(),
  disabled: z.boolean({ error: 'expected true or false' }),
}
const changes = z.strictObject(facts).partial()

const rules = z.array(z.record(z.string(), z.unknown())).nullable()
const keyFields = {
  id: z.string(),
  object: word('key'),
  name: z.string(),
  hint: z.string(),
  team: z.string().nullable(),
  role: z.string(),
  tags: z.record(z.string(), z.string()).nullable(),
  routes: texts.nullable(),
  models: texts.nullable(),
  limits: rules,
  budgets: rules,
  expires_at: time.nullable(),
  disabled: z.boolean(),
  old_secret_until: time.nullable(),
  created_at: time,
  updated_at: time,
}
const keyShape = named('Key', keyFields)
const madeKey = named('KeyWithSecret', { ...keyFields, secret: z.string() })

export const listKeys = defineRoute({
  method: 'GET',
  path: '/keys',
  role: 'viewer',
  summary: 'Virtual keys without their secrets, oldest first, in pages.',
  query: z.strictObject(pageShape),
  reply: listed('KeyList', keyShape, page),
  async answer({ deps, query: { cursor, limit = 100 } }) {
    const all = keyringOf(deps).list()
    // By id, so that keys that come and go meanwhile move nothing.
    const begin = cursor === undefined ? 0 : firstAfter(all, cursor)
    const page = all.slice(begin, begin + limit)
    return {
      json: {
        object: 'list',
        data: page.map(present),
        ...placeOf(begin + limit < all.length ? page.at(-1)!.id : undefined),
      },
    }
  },
})

export const createKey = defineRoute({
  method: 'POST',
  path: '/keys',
  role: 'operator',
  summary: 'Makes a virtual key. The secret is in this answer and nowhere else.',
  verb: 'create-key',
  body: changes.extend({ name }),
  reply: madeKey,
  async answer({ body, deps, key: by }) {
    const keyring = keyringOf(deps)
    refuseRole(by, body.role)
    refuseName(deps, body.name)
    const wanted: KeyFacts = { ...factsOf(body), name: body.name, disabled: body.disabled ?? false }
    refusePast(wanted)
    refuseRules(deps, wanted)
    const { key, secret } = await written(() => keyring.create(wanted))
    deps.log.info('a key was made', { event: 'key', key: `${by.name} made ${key.name}` })
    return { json: { ...present(key), secret }, audit: audited(undefined, key) }
  },
})

export const showKey = defineRoute({
  method: 'GET',
  path: '/keys/:id',
  role: 'viewer',
  summary: 'One virtual key by its id or name, without its secret.',
  reply: keyShape,
  answer: async (call) => ({ json: present(find(call)) }),
})

export const changeKey = defineRoute({
  method: 'PATCH',
  path: '/keys/:id',
  role: 'operator',
  summary: 'Changes what a key may do; null takes a restriction away. Takes effect with the next request.',
  verb: 'change-key',
  body: changes,
  reply: keyShape,
  async answer(call) {
    const { body, deps } = call
    const old = find(call)
    refuseRole(call.key, old.role)
    refuseRole(call.key, body.role)
    if (body.name !== undefined && body.name !== old.name) refuseName(deps, body.name)
    const wanted = factsOf(body)
    // With the name that it will have: rules are called after it.
    refuseRules(deps, { ...old, ...wanted })
    const { before, after } = there(await written(() => keyringOf(deps).change(old.id, wanted)))
    return { json: present(after), audit: audited(before, after) }
  },
})

export const rotateKey = defineRoute({
  method: 'POST',
  path: '/keys/:id/rotate',
  role: 'operator',
  summary: 'A new secret for a key; the old one is good for `grace_seconds` more.',
  verb: 'rotate-key',
  body: z.strictObject({ grace_seconds: z.int().min(0).max(2_592_000).default(0) }),
  reply: madeKey,
  async answer(call) {
    const grace = call.body.grace_seconds * 1000
    const old = find(call)
    // Whoever turns a key over has its secret afterwards.
    refuseRole(call.key, old.role)
    const rotated = there(await written(() => keyringOf(call.deps).rotate(old.id, grace)))
    return {
      json: { ...present(rotated.after), secret: rotated.secret },
      audit: audited(rotated.before, rotated.after),
    }
  },
})

export const deleteKey = defineRoute({
  method: 'DELETE',
  path: '/keys/:id',
  role: 'operator',
  summary: 'Takes a key away at once. Its rows in the ledger stay.',
  verb: 'delete-key',
  reply: named('KeyRemoval', { id: z.string(), object: word('key'), name: z.string(), deleted: z.boolean() }),
  async answer(call) {
    const old = find(call)
    refuseRole(call.key, old.role)
    const key = there(await written(() => keyringOf(call.deps).remove(old.id)))
    return {
      json: { id: idOf(key), object: 'key', name: key.name, deleted: true },
      audit: audited(key, undefined),
    }
  },
})

function keyringOf(deps: AdminDeps): Keyring {
  if (deps.keyring) return deps.keyring
  throw new Refusal('ledger_unavailable', 'This gateway runs without a database: keys stand in its configuration.')
}

/** Index of the first key of a list in order of ids that comes after an id. */
function firstAfter(keys: readonly VirtualKey[], id: number): number {
  let [low, high] = [0, keys.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (keys[middle]!.id > id) high = middle
    else low = middle + 1
  }
  return low
}

const notThere = (): Refusal => new Refusal('not_found', 'There is no such key.', 'id')

/** Names never look like ids: see `refuseName`. */
function find({ params, deps }: AdminCall<unknown, unknown>): VirtualKey {
  const keyring = keyringOf(deps)
  const id = idPattern.exec(params.id!)?.[1]
  const key = id === undefined ? keyring.list().find((one) => one.name === params.id) : keyring.get(Number(id))
  if (key) return key
  // At night nobody has to find out which of the two it is.
  if ([...deps.snapshot().keys.values()].some((one) => one.name === params.id))
    throw new Refusal(
      'not_found',
      `'${params.id}' is a key of the file: it is changed there. A block keeps it out at once.`,
      'id',
    )
  throw notThere()
}

/** Somebody else may have taken the key away in between. */
function there<Result>(result: Result | undefined): Result {
  if (result === undefined) throw notThere()
  return result
}

/** Runs a write. @throws Refusal for a name that is taken, and where nothing could be stored */
function written<Result>(work: () => Promise<Result>): Promise<Result> {
  return withRefusals(async () => {
    try {
      return await work()
    } catch (error) {
      throw error instanceof NameTaken ? new Refusal('invalid_value', error.message, 'name') : error
    }
  })
}

/** Nobody makes or takes over a key that may do more than theirs. @throws Refusal `permission_denied` */
function refuseRole(by: ApiKey, role: ApiKey['role'] = 'app'): void {
  if (role === 'app' || mayAct(roleOf(by)!, role)) return
  throw new Refusal('permission_denied', `Only a key with the role '${role}' may make or change such a key.`, 'role')
}

const idPattern = /^key_([1-9]\d{0,14})$/

/** The ledger tells keys apart by name: those of the file, the master key and what tokens stand for have theirs already. */
function refuseName(deps: AdminDeps, wanted: string): void {
  const { keys, clientJwt } = deps.snapshot()
  const standIn = typeof clientJwt?.standIn === 'object' ? clientJwt.standIn.name : undefined
  const taken = [...keys.values()].some((key) => key.name === wanted) || wanted === standIn
  if (taken || keyringOf(deps).named(wanted)) throw new Refusal('invalid_value', new NameTaken(wanted).message, 'name')
  if (wanted === 'master' || wanted.startsWith('jwt:') || idPattern.test(wanted))
    throw new Refusal(
      'invalid_value',
      `A key cannot be called '${wanted}': the name means something else here.`,
      'name',
    )
}

/** A change to a time that has passed ends a key. @throws Refusal for a new one that would never open anything */
function refusePast({ expiresAt }: KeyFacts): void {
  if (expiresAt !== undefined && expiresAt <= Date.now())
    throw new Refusal(
      'invalid_value',
      `'expires_at': ${iso(expiresAt)} has passed: the key would open nothing.`,
      'expires_at',
    )
}

/** @throws Refusal for limits and budgets that mean nothing: one that limits nothing, a route that is not there, … */
function refuseRules(deps: AdminDeps, wanted: Pick<KeyFacts, 'name' | 'limits' | 'budgets'>): void {
  readRules(
    wanted,
    (path, message) => {
      throw new Refusal('invalid_value', `'${formatPath(path)}': ${message}.`, formatPath(path))
    },
    [...deps.snapshot().routes.keys()],
  )
}

/** Absent stays absent, null becomes "no restriction". */
function factsOf(body: z.output<typeof changes>) {
  const { expires_at: expires, ...rest } = body
  const facts: Record<string, unknown> = {}
  for (const [field, value] of Object.entries(rest)) facts[field] = value ?? undefined
  if (expires !== undefined) facts.expiresAt = expires === null ? undefined : Date.parse(expires)
  return facts
}

const audited = (before: VirtualKey | undefined, after: VirtualKey | undefined): Audited => ({
  subject: (after ?? before)!.name,
  before: before ? present(before) : null,
  after: after ? present(after) : null,
})

const idOf = (key: VirtualKey): string => `key_${key.id}`
const iso = (at: number): string => new Date(at).toISOString()

/** Rules are kept as they were taken: as a list. */
const listOf = (rules: unknown) => (rules ?? null) as Shown<typeof keyShape>['limits']

/** What may be known of a key: no secret, no digest. */
function present(key: VirtualKey): Shown<typeof keyShape> {
  return {
    id: idOf(key),
    object: 'key',
    name: key.name,
    hint: `tk-…${key.hint}`,
    team: key.team ?? null,
    role: key.role ?? 'app',
    tags: key.tags ?? null,
    routes: key.routes ?? null,
    models: key.models ?? null,
    limits: listOf(key.limits),
    budgets: listOf(key.budgets),
    expires_at: key.expiresAt === undefined ? null : iso(key.expiresAt),
    disabled: key.disabled,
    old_secret_until: key.oldUntil === undefined ? null : iso(key.oldUntil),
    created_at: iso(key.createdAt),
    updated_at: iso(key.updatedAt),
  }
}
