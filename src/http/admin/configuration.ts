// /admin/config: the document that is served, its versions, their differences, and the way back. No read shows a literal secret.
import * as z from 'zod'
import type { VersionLine } from '../../config/memory.ts'
import { changesBetween } from '../../config/writtenDocument.ts'
import { Refusal } from '../../dialects/errors.ts'
import { type AdminControl, actorOf, controlOf, withRefusals } from './control.ts'
import { whole } from './requests.ts'
import { type AdminAnswer, type AdminCall, defineRoute } from './route.ts'
import { whole as integer, listed, named, type Shown, texts, time, word } from './shape.ts'

const number = z.coerce.number({ error: 'expected the number of a version' }).int().min(1)

const versionFields = {
  version: integer,
  created_at: time,
  hash: z.string(),
  source: z.string(),
  actor: z.string(),
  note: z.string(),
}
const differences = z.array(z.object({ path: z.string(), before: z.unknown(), after: z.unknown() }))
const changed = named('ConfigChange', {
  object: word('config_change'),
  swapped: z.boolean(),
  version: integer,
  hash: z.string(),
  changes: differences,
  warnings: texts,
  lost_changes: texts,
})

export const showConfig = defineRoute({
  method: 'GET',
  path: '/config',
  role: 'viewer',
  summary: 'The document that is served, before variables are replaced. Literal secrets are replaced by marks.',
  reply: named('Config', {
    object: word('config'),
    version: integer,
    hash: z.string(),
    source: z.string(),
    file: z.string().nullable(),
    document: z.string(),
    stored_changes: texts,
    temporary_primaries: z.record(z.string(), z.string()),
    bypass: z.object({ reason: z.string(), actor: z.string(), at: time }).nullable(),
    warnings: texts,
  }),
  async answer({ deps }) {
    const { live } = controlOf(deps)
    const { snapshot, document, file, stored, temporary, bypass, warnings } = live.state()
    return {
      json: {
        object: 'config',
        version: snapshot.version,
        hash: snapshot.hash,
        source: snapshot.source,
        file: file ?? null,
        document,
        stored_changes: stored,
        temporary_primaries: temporary,
        bypass: bypass ? { reason: bypass.reason, actor: bypass.actor, at: new Date(bypass.at).toISOString() } : null,
        warnings,
      },
      headers: [['etag', `"${snapshot.version}"`]],
    }
  },
})

export const writeConfig = defineRoute({
  method: 'PUT',
  path: '/config',
  role: 'admin',
  summary:
    'Serves another document, stored beside the file until that changes. Needs `If-Match` with the version it was made from.',
  verb: 'write-config',
  headers: ['if-match'],
  refuses: [422, 428],
  body: z.strictObject({
    document: z.union([z.string().min(1), z.record(z.string(), z.unknown())], {
      error: 'expected the document as YAML text, or as an object',
    }),
  }),
  reply: changed,
  async answer({ body: { document }, key, req, deps }) {
    const control = controlOf(deps)
    const wanted = versionIn(req.headers['if-match'])
    if (wanted === undefined)
      throw new Refusal('precondition_required', "Send the version that the change was made from as 'If-Match'.")
    const text = typeof document === 'string' ? document : JSON.stringify(document, null, 2)
    return change((actor) => control.live.write(text, actor, wanted === '*' ? undefined : wanted), key)
  },
})

export const listVersions = defineRoute({
  method: 'GET',
  path: '/config/versions',
  role: 'viewer',
  summary: 'Versions, newest first.',
  query: z.strictObject({ limit: whole(1, 1000), before: number.optional() }),
  reply: listed('ConfigVersionList', z.object({ ...versionFields, current: z.boolean() }), { has_more: z.boolean() }),
  async answer({ query: { limit = 50, before }, deps }) {
    const { live } = controlOf(deps)
    const lines = live.memory.versions(limit + 1, before)
    const data = lines.slice(0, limit)
    const current = live.snapshot.version
    return {
      json: {
        object: 'list',
        data: data.map((line) => ({ ...presentVersion(line), current: line.number === current })),
        has_more: lines.length > limit,
      },
    }
  },
})

export const showVersion = defineRoute({
  method: 'GET',
  path: '/config/versions/:version',
  role: 'viewer',
  summary: 'One version with its document.',
  reply: named('ConfigVersion', { object: word('config_version'), ...versionFields, document: z.string() }),
  async answer({ params, deps }) {
    const { document, ...line } = versionOf(controlOf(deps), params.version!, 'version')
    return { json: { object: 'config_version', ...presentVersion(line), document } }
  },
})

export const diffVersions = defineRoute({
  method: 'GET',
  path: '/config/diff',
  role: 'viewer',
  summary: 'In what two versions differ; without `to` the newest.',
  query: z.strictObject({ from: number, to: number.optional() }),
  reply: named('ConfigDiff', { object: word('config_diff'), from: integer, to: integer, changes: differences }),
  async answer({ query: { from, to }, deps }) {
    const control = controlOf(deps)
    const a = versionOf(control, from, 'from')
    const b = versionOf(control, to ?? control.live.snapshot.version, 'to')
    return {
      json: {
        object: 'config_diff',
        from: a.number,
        to: b.number,
        changes: present(changesBetween(a.document, b.document)),
      },
    }
  },
})

export const rollBack = defineRoute({
  method: 'POST',
  path: '/config/rollback',
  role: 'admin',
  summary: 'Serves the document of an earlier version again, as a new version.',
  verb: 'rollback',
  headers: ['if-match'],
  refuses: [422],
  body: z.strictObject({ version: z.number({ error: 'expected the number of a version' }).int().min(1) }),
  reply: changed,
  async answer({ body: { version }, key, req, deps }) {
    const control = controlOf(deps)
    const wanted = versionIn(req.headers['if-match'])
    return change(async (actor) => {
      const result = await control.live.rollback(version, actor, typeof wanted === 'number' ? wanted : undefined)
      if (!result) throw new Refusal('not_found', `There is no version ${version}.`, 'version')
      return result
    }, key)
  },
})

async function change(
  work: (actor: ReturnType<typeof actorOf>) => ReturnType<AdminControl['live']['reload']>,
  key: AdminCall<unknown, unknown>['key'],
): Promise<AdminAnswer<Shown<typeof changed>>> {
  const result = await withRefusals(() => work(actorOf(key)))
  const { before, after } = result
  const changes = changesBetween(before.document, after.document)
  const side = (pick: 'before' | 'after') => Object.fromEntries(changes.map((each) => [each.path, each[pick] ?? null]))
  return {
    json: {
      object: 'config_change',
      swapped: result.swapped,
      version: result.version,
      hash: after.snapshot.hash,
      changes: present(changes),
      warnings: result.warnings,
      lost_changes: result.lost,
    },
    headers: [['etag', `"${result.version}"`]],
    audit: {
      subject: `version ${result.version}`,
      before: { version: before.snapshot.version, ...side('before') },
      after: { version: result.version, ...side('after') },
    },
  }
}

/** @throws Refusal `not_found` */
function versionOf({ live }: AdminControl, wanted: string | number, param: string) {
  const found = /^\d{1,15}$/.test(String(wanted)) ? live.version(Number(wanted)) : undefined
  if (!found) throw new Refusal('not_found', `There is no version ${String(wanted).slice(0, 32)}.`, param)
  return found
}

/** @throws Refusal `invalid_value` */
function versionIn(header: string | undefined): number | '*' | undefined {
  if (header === undefined) return undefined
  if (header.trim() === '*') return '*'
  const match = /^(?:W\/)?"?(\d{1,15})"?$/.exec(header.trim())
  if (!match)
    throw new Refusal(
      'invalid_value',
      "'If-Match': expected the version that GET /admin/config tells, or *.",
      'If-Match',
    )
  return Number(match[1])
}

const presentVersion = ({ number: version, at, hash, source, actor, note }: VersionLine) => ({
  version,
  created_at: new Date(at).toISOString(),
  hash,
  source,
  actor,
  note,
})

const present = (changes: ReturnType<typeof changesBetween>) =>
  changes.map(({ path, before, after }) => ({ path, before: before ?? null, after: after ?? null }))
