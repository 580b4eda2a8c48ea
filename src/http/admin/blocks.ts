// GET, POST and DELETE /admin/blocks: addresses, end users and keys that are kept out for a while.
import { isIP } from 'node:net'
import * as z from 'zod'
import { nearestNames } from '../../config/nearest.ts'
import type { ApiKey } from '../../config/snapshot.ts'
import { Refusal } from '../../dialects/errors.ts'
import type { Admission } from '../../gateway/admission.ts'
import { addressKey } from '../../state/limits/address.ts'
import type { Block, BlockKind } from '../../state/limits/blocks.ts'
import { mayAct, roleOf } from './role.ts'
import { type AdminAnswer, type AdminCall, type AdminDeps, defineRoute } from './route.ts'
import { listed, type Shown, named as shaped, time, word } from './shape.ts'

/** Longest block, in seconds: whoever is to stay away for good belongs into the configuration. */
const longest = 30 * 86_400

const shape = {
  ip: z
    .string()
    .refine((text) => isIP(text) !== 0, { error: 'expected an address' })
    .optional(),
  user: z.string().min(1).max(512).optional(),
  key: z.string().min(1).max(256).optional(),
}
const namesOne = ({ ip, user, key }: { ip?: unknown; user?: unknown; key?: unknown }): boolean =>
  [ip, user, key].filter((value) => value !== undefined).length === 1
const one = { error: 'expected exactly one of `ip`, `user` and `key`' }

const wanted = z
  .strictObject({
    ...shape,
    seconds: z
      .number({ error: 'expected a number' })
      .int()
      .min(1)
      .max(longest, { error: `a block lasts ${longest} seconds at most, which are 30 days` }),
    reason: z.string().trim().min(1).max(500),
  })
  .refine(namesOne, one)
const named = z.strictObject(shape).refine(namesOne, one)
type Named = z.output<typeof named>

const blockFields = {
  object: word('block'),
  kind: z.enum(['ip', 'user', 'key']),
  value: z.string(),
  reason: z.string(),
  until: time,
}
const blockShape = shaped('Block', blockFields)
const removal = shaped('BlockRemoval', { ...blockFields, removed: z.boolean() })

export const listBlocks = defineRoute({
  method: 'GET',
  path: '/blocks',
  role: 'viewer',
  summary: 'Addresses, end users and keys that are blocked, the next to end first. Users are shown as their hashes.',
  reply: listed('BlockList', blockShape, {}),
  answer: async ({ deps }) => ({
    json: { object: 'list', data: admissionOf(deps).blocks.list().map(present) },
  }),
})

export const addBlock = defineRoute({
  method: 'POST',
  path: '/blocks',
  role: 'responder',
  summary: 'Blocks an address, an end user or a key for some seconds, at once; a block of the same one is replaced.',
  verb: 'block',
  body: wanted,
  reply: blockShape,
  async answer(call): Promise<AdminAnswer<Shown<typeof blockShape>>> {
    const { body, deps } = call
    const { blocks } = admissionOf(deps)
    const [kind, value] = subjectOf(deps, body)
    if (kind === 'ip') refuseOwnAddress(call, value)
    if (kind === 'key') refuseKey(call, value)
    const before = blocks.find(kind, value)
    let block: Block
    try {
      block = blocks.add(kind, value, body.seconds, body.reason)
    } catch (error) {
      throw error instanceof RangeError ? new Refusal('not_available', `Not blocked: ${error.message}.`) : error
    }
    return { json: present(block), audit: audited(kind, value, before, block) }
  },
})

export const removeBlock = defineRoute({
  method: 'DELETE',
  path: '/blocks',
  role: 'responder',
  summary: 'Ends a block before its time.',
  verb: 'unblock',
  body: named,
  reply: removal,
  async answer({ body, deps }): Promise<AdminAnswer<Shown<typeof removal>>> {
    const [kind, value] = subjectOf(deps, body)
    const block = admissionOf(deps).blocks.remove(kind, value)
    if (!block) throw new Refusal('not_found', `There is no block of this ${nouns[kind]}.`, kind)
    return { json: { ...present(block), removed: true }, audit: audited(kind, value, block, undefined) }
  },
})

const nouns = { ip: 'address', user: 'user', key: 'key' } as const

type Keeping = Pick<Admission, 'blocks' | 'door' | 'hashUser'>

function admissionOf({ admission }: AdminDeps): Keeping {
  if (admission) return admission
  throw new Refusal('not_available', 'This gateway does not keep anybody out.')
}

/** Whom a block is about, as it is kept: users by their hash, so that no list and no row names them. */
function subjectOf(deps: AdminDeps, { ip, user, key }: Named): [kind: BlockKind, value: string] {
  if (ip !== undefined) return ['ip', addressKey(ip)]
  return user === undefined ? ['key', key!] : ['user', admissionOf(deps).hashUser(user)]
}

const present = ({ kind, value, reason, until }: Block): Shown<typeof blockShape> => ({
  object: 'block',
  kind,
  value,
  reason,
  until: new Date(until).toISOString(),
})

const audited = (kind: BlockKind, value: string, before: Block | undefined, after: Block | undefined) => ({
  subject: `${kind} ${value}`,
  before: before ? present(before) : null,
  after: after ? present(after) : null,
})

/** Whoever operates from behind a balancer that is not trusted has the same address as everybody else. */
function refuseOwnAddress({ req, deps }: AdminCall<unknown, unknown>, address: string): void {
  if (admissionOf(deps).door.addressOf(req) !== address) return
  throw new Refusal('invalid_value', 'This is the address that you come from: you would lock yourself out.', 'ip')
}

/** A typing error must not look like a block. Nobody keeps out somebody who may do more, or themselves. */
function refuseKey({ key: by, deps }: AdminCall<unknown, unknown>, name: string): void {
  if (by.name === name) throw new Refusal('invalid_value', 'This is your own key: you would lock yourself out.', 'key')
  const known = knownKeys(deps)
  const role = name.startsWith('jwt:') ? 'admin' : known.get(name)
  if (role === undefined) {
    const near = nearestNames(name, known.keys())
    const hint = near.length > 0 ? ` Did you mean ${near.map((one) => `'${one}'`).join(', ')}?` : ''
    throw new Refusal('not_found', `There is no key '${name.slice(0, 128)}'.${hint}`, 'key')
  }
  if (role !== 'app' && !mayAct(roleOf(by)!, role))
    throw new Refusal('permission_denied', `Only a key with the role '${role}' may block such a key.`, 'key')
}

/** Names with roles: of the configuration, of virtual keys, and of what end users' tokens stand for. */
function knownKeys({ snapshot, keyring }: AdminDeps): Map<string, ApiKey['role']> {
  const { keys, clientJwt } = snapshot()
  const known = new Map<string, ApiKey['role']>()
  for (const { name, role } of keys.values()) known.set(name, role)
  for (const { name, role } of keyring?.list() ?? []) known.set(name, role ?? 'app')
  if (typeof clientJwt?.standIn === 'object') known.set(clientJwt.standIn.name, 'app')
  return known
}
