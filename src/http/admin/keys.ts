// Virtual keys for operators: make, look at, change, rotate, take away. A secret is shown once, in the answer that made it.
import { z } from 'zod'
import { Refusal } from '../../dialects/errors.ts'
import type { Keyring, VirtualKey } from '../../state/keyring.ts'
import { type AdminCall, type AdminDeps, defineRoute } from './route.ts'

const name = z
  .string({ error: 'expected a text' })
  .regex(/^[\w.@:-]{1,128}$/, { error: 'letters, digits and . @ : - _, at most 128' })
const patterns = z.array(z.string().min(1).max(256), { error: 'expected a list of names' }).max(256)
const facts = {
  name,
  team: name.nullable(),
  tags: z.record(z.string().min(1).max(64), z.string().max(256)).nullable(),
  routes: patterns.nullable(),
  models: patterns.nullable(),
  expires_at: z.iso.datetime({ offset: true, error: 'expected a time such as 2027-01-31T00:00:00Z' }).nullable(),
  disabled: z.boolean({ error: 'expected true or false' }),
}
const changes = z.strictObject(facts).partial()

export const listKeys = defineRoute({
  method: 'GET',
  path: '/keys',
  role: 'viewer',
  summary: 'All virtual keys, without their secrets.',
  answer: async ({ deps }) => ({ json: { object: 'list', data: keyringOf(deps).list().map(present) } }),
})

export const createKey = defineRoute({
  method: 'POST',
  path: '/keys',
  role: 'operator',
  summary: 'Makes a virtual key. The secret is in this answer and nowhere else.',
  body: changes.required({ name: true }),
  async answer({ body, deps, key: by }) {
    const keyring = keyringOf(deps)
    refuseTaken(keyring, body.name)
    if ([...deps.snapshot().keys.values()].some((key) => key.name === body.name)) throw taken(body.name)
    const { key, secret } = keyring.create({ ...factsOf(body), name: body.name, disabled: body.disabled ?? false })
    deps.log.info('a key was made', { event: 'key', key: `${by.name} made ${key.name}` })
    return { json: { ...present(key), secret } }
  },
})

export const showKey = defineRoute({
  method: 'GET',
  path: '/keys/:id',
  role: 'viewer',
  summary: 'One virtual key, without its secret.',
  answer: async (call) => ({ json: present(find(call)) }),
})

export const changeKey = defineRoute({
  method: 'PATCH',
  path: '/keys/:id',
  role: 'operator',
  summary: 'Changes what a key may do; null takes a restriction away. Takes effect with the next request.',
  body: changes,
  async answer(call) {
    const { body, deps } = call
    const old = find(call)
    const keyring = keyringOf(deps)
    if (body.name !== undefined && body.name !== old.name) refuseTaken(keyring, body.name)
    return { json: present(keyring.change(old.id, factsOf(body))!) }
  },
})

export const rotateKey = defineRoute({
  method: 'POST',
  path: '/keys/:id/rotate',
  role: 'operator',
  summary: 'A new secret for a key; the old one is good for `grace_seconds` more.',
  body: z.strictObject({ grace_seconds: z.int().min(0).max(2_592_000).default(0) }),
  async answer(call) {
    const { key, secret } = keyringOf(call.deps).rotate(find(call).id, call.body.grace_seconds * 1000)!
    return { json: { ...present(key), secret } }
  },
})

export const deleteKey = defineRoute({
  method: 'DELETE',
  path: '/keys/:id',
  role: 'operator',
  summary: 'Takes a key away at once. Its rows in the ledger stay.',
  async answer(call) {
    const key = keyringOf(call.deps).remove(find(call).id)!
    return { json: { id: idOf(key), object: 'key', name: key.name, deleted: true } }
  },
})

function keyringOf(deps: AdminDeps): Keyring {
  if (deps.keyring) return deps.keyring
  throw new Refusal('ledger_unavailable', 'This gateway runs without a database: keys stand in its configuration.')
}

function find({ params, deps }: AdminCall<unknown, unknown>): VirtualKey {
  const id = /^key_([1-9]\d{0,14})$/.exec(params.id!)?.[1]
  const key = id === undefined ? undefined : keyringOf(deps).get(Number(id))
  if (key) return key
  throw new Refusal('not_found', 'There is no such key.', 'id')
}

const taken = (key: string): Refusal => new Refusal('invalid_value', `Another key is called '${key}'.`, 'name')

function refuseTaken(keyring: Keyring, key: string): void {
  if (keyring.list().some((other) => other.name === key)) throw taken(key)
}

/** Absent stays absent, null becomes "no restriction". */
function factsOf(body: z.output<typeof changes>) {
  const { expires_at: expires, ...rest } = body
  const facts: Record<string, unknown> = {}
  for (const [field, value] of Object.entries(rest)) facts[field] = value ?? undefined
  if (expires !== undefined) facts.expiresAt = expires === null ? undefined : Date.parse(expires)
  return facts
}

const idOf = (key: VirtualKey): string => `key_${key.id}`
const time = (at: number | undefined): string | null => (at === undefined ? null : new Date(at).toISOString())

function present(key: VirtualKey) {
  return {
    id: idOf(key),
    object: 'key',
    name: key.name,
    hint: `tk-…${key.hint}`,
    team: key.team ?? null,
    tags: key.tags ?? null,
    routes: key.routes ?? null,
    models: key.models ?? null,
    expires_at: time(key.expiresAt),
    disabled: key.disabled,
    old_secret_until: time(key.oldUntil),
    created_at: time(key.createdAt),
    updated_at: time(key.updatedAt),
  }
}
