// What the database keeps of configurations: versions, overlay, audit rows, shut targets; and that no read shows a literal secret.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Version } from '../src/config/memory.ts'
import { createRedactor, UnknownMark } from '../src/config/redaction.ts'
import { changesBetween, dataOf } from '../src/config/writtenDocument.ts'
import { openAudit } from '../src/store/audit.ts'
import { openConfigVersions } from '../src/store/configVersions.ts'
import { loadDriver } from '../src/store/driver.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { openSavedHealth } from '../src/store/savedHealth.ts'
import fc from './support/seededCheck.ts'

let folder: string
let store: Store
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-versions-'))
  store = openStore({ file: join(folder, 'turnout.db') })
})
afterEach(() => {
  store.close()
  rmSync(folder, { recursive: true })
})
const reopen = (): void => {
  store.close()
  store = openStore({ file: join(folder, 'turnout.db') })
}

const version = (number: number, document = `n: ${number}`): Version => ({
  number,
  at: 1000 + number,
  hash: `hash-of-${document}`,
  source: 'write',
  actor: 'on-call',
  note: 'written',
  document,
})
const { document: _, ...line } = version(1)

describe('versions', () => {
  test('are listed newest first, in pages, and survive a restart', async () => {
    const before = openConfigVersions(store)
    expect(before.newest()).toBeUndefined()
    for (let number = 1; number <= 5; number++) await before.save(version(number), undefined)
    reopen()
    const versions = openConfigVersions(store)
    expect(versions.newest()).toEqual(version(5))
    expect(versions.version(2)).toEqual(version(2))
    expect(versions.version(6)).toBeUndefined()
    expect(versions.versions(2).map(({ number }) => number)).toEqual([5, 4])
    expect(versions.versions(9, 2)).toEqual([line])
  })

  test('share a document that is the same, and old ones go with it when they are too many', async () => {
    const versions = openConfigVersions(store)
    await versions.save(version(1, 'old'), undefined)
    for (const number of [2, 3, 4]) await versions.save(version(number, 'same'), undefined)
    const documents = () => store.db.prepare('SELECT text FROM config_document ORDER BY text').pluck().all()
    expect(documents()).toEqual(['old', 'same'])
    await versions.save(version(1002, 'new'), undefined)
    expect(versions.version(2)).toBeUndefined()
    expect(versions.version(3)).toBeDefined()
    expect(documents()).toEqual(['new', 'same'])
  })

  test('and overlay are written together or not at all', async () => {
    const versions = openConfigVersions(store)
    const overlay = { baseHash: 'b', document: 'x: 1', primaries: { chat: 'a/b' }, changes: ['x'] }
    await versions.save(version(1), overlay)
    expect(versions.overlay()).toEqual(overlay)
    // The number is taken.
    await expect(versions.save(version(1, 'other'), undefined)).rejects.toThrow()
    expect(versions.overlay()).toEqual(overlay)
    expect(store.db.prepare('SELECT count(*) FROM config_document').pluck().get()).toBe(1)
    await versions.saveOverlay({ ...overlay, document: undefined, primaries: {} })
    expect(versions.overlay()).toEqual({ ...overlay, document: undefined, primaries: {} })
    await versions.saveOverlay(undefined)
    expect(versions.overlay()).toBeUndefined()
  })

  test('wait for a database that another connection holds', async () => {
    const other = new (loadDriver())(store.file)
    other.exec('BEGIN IMMEDIATE')
    const saved = openConfigVersions(store).save(version(1), undefined)
    setImmediate(() => other.exec('COMMIT'))
    await saved
    other.close()
    expect(openConfigVersions(store).newest()).toEqual(version(1))
  })
})

test('the bypass switch survives a restart', async () => {
  const bypass = { reason: 'incident 7', actor: 'on-call', at: 5 }
  await openConfigVersions(store).saveBypass(bypass)
  reopen()
  expect(openConfigVersions(store).bypass()).toEqual(bypass)
  await openConfigVersions(store).saveBypass(undefined)
  expect(openConfigVersions(store).bypass()).toBeUndefined()
})

describe('audit rows', () => {
  const entry = {
    actor: 'on-call',
    role: 'operator',
    verb: 'bypass',
    subject: '',
    before: { on: false },
    after: { on: true },
  }

  test('are added and listed newest first', async () => {
    const audit = openAudit(store, () => 7)
    await audit.add(entry)
    await audit.add({ ...entry, verb: 'reset', before: undefined })
    expect(audit.list(10)).toEqual([
      { ...entry, id: 2, at: 7, verb: 'reset', before: null },
      { ...entry, id: 1, at: 7 },
    ])
    expect(audit.list(10, 2).map(({ id }) => id)).toEqual([1])
  })

  test.each([
    'UPDATE audit SET actor = 1',
    'DELETE FROM audit',
    "INSERT OR REPLACE INTO audit SELECT id, at, 'x', role, verb, subject, before, after FROM audit",
  ])('refuse %s', async (sql) => {
    await openAudit(store).add(entry)
    const before = openAudit(store).list(10)
    try {
      store.db.exec(sql)
    } catch (error) {
      expect((error as Error).message).toMatch(/audit rows are never/)
    }
    expect(openAudit(store).list(10)).toEqual(before)
  })
})

describe('shut targets', () => {
  test('are kept until they are closed again', async () => {
    const saved = openSavedHealth(store, () => 1)
    await saved.save({ target: 'a', state: 'open', reason: 'server_error', until: 99 })
    await saved.save({ target: 'b', state: 'disabled', reason: 'operator', until: undefined })
    reopen()
    const again = openSavedHealth(store)
    expect(again.list()).toEqual([
      { target: 'a', state: 'open', reason: 'server_error', until: 99 },
      { target: 'b', state: 'disabled', reason: 'operator', until: undefined },
    ])
    await again.save({ target: 'a', state: 'half_open', reason: 'waited', until: undefined })
    expect(again.list()[0]).toEqual({ target: 'a', state: 'half_open', reason: 'server_error', until: undefined })
    await again.save({ target: 'a', state: 'closed', reason: 'probe', until: undefined })
    expect(again.list().map(({ target }) => target)).toEqual(['b'])
  })

  test('end in the state that was told last, although the database was locked in between', async () => {
    const saved = openSavedHealth(store)
    const other = new (loadDriver())(store.file)
    other.exec('BEGIN IMMEDIATE')
    const first = saved.save({ target: 'a', state: 'open', reason: 'server_error', until: 99 })
    const second = saved.save({ target: 'a', state: 'closed', reason: 'probe', until: undefined })
    setImmediate(() => other.exec('COMMIT'))
    await Promise.all([first, second])
    other.close()
    expect(saved.list()).toEqual([])
  })
})

describe('redaction', () => {
  const planted = [
    'sk-planted-0123456789abcdef',
    'planted-plain-secret',
    'planted/header+value=1234',
    'planted-default-of-variable',
    'planted-key-of-a-client-42',
    'AIzaPlanted0123456789abcdefghijklmnopqr',
    'planted-parameter-secret',
    'planted-in-a-block-scalar',
    'c0mm3ntP1antedS3cretWithoutAnyPrefix42',
  ]
  const document = `# rotated on Monday, was ${planted[8]}; ${planted[1]} is still in use
providers:
  openai: { apiKey: ${planted[0]}, headers: { x-proxy: "${planted[2]}", openai-project: "\${PROJECT}" } }
  azure:
    baseUrl: https://example.com # not ${planted[0]}
    apiKey: &shared '${planted[1]}'
  vllm: { apiKey: *shared, baseUrl: "http://gpu:8000/v1" }
  groq: { apiKey: \${GROQ} }
  xai: { apiKey: "\${XAI:-${planted[3]}}" }
  gemini:
    apiKey: |-
      ${planted[7]}
targets:
  t: { provider: openai, model: gpt-5-mini-2025-08-07, params: { max_tokens: 5, internal_token: ${planted[6]} } }
keys:
  - { name: app, key: ${planted[4]} }
  - { name: other, key: "\${OTHER}" }
routes:
  chat: [t, openai/claude-sonnet-4-5-20250929] # ${planted[5]}
`
  const { redact, restore } = createRedactor('pepper')

  test('reads a document through for secrets once, however often it is looked at', () => {
    const shown = redact(document)
    const replaced = vi.spyOn(String.prototype, 'replace')
    const again = redact(`${document}`)
    const looks = replaced.mock.calls.length
    replaced.mockRestore()
    expect([again, looks]).toEqual([shown, 0])
    // And remembers few of them.
    for (const line of ['# a', '# b', '# c', '# d']) expect(redact(document + line)).toBe(shown + line)
    expect(redact(document)).toBe(shown)
  })

  test('leaves no literal secret, in no place, and everything else as it was', () => {
    const shown = redact(document)
    for (const secret of planted) expect(shown).not.toContain(secret)
    for (const kept of [
      '${PROJECT}',
      '${GROQ}',
      '${OTHER}',
      'gpt-5-mini-2025-08-07',
      'max_tokens: 5',
      '20250929',
      '# rotated on Monday',
    ])
      expect(shown).toContain(kept)
    expect(dataOf(shown)).toMatchObject({
      providers: { openai: { headers: { 'openai-project': '${PROJECT}' } }, azure: { baseUrl: 'https://example.com' } },
      keys: [{ name: 'app' }, { name: 'other', key: '${OTHER}' }],
    })
  })

  test.each([
    'metrics: { token: plain-and-planted }',
    'trace: { otlp: { url: "https://collector.example/v1/traces", headers: { x-tenant: plain-and-planted } } }',
    'admin: { jwt: { secret: plain-and-planted } }',
    'auth: { jwt: { secret: plain-and-planted } }',
    'webhooks: { ops: { url: "https://hooks.example/plain-and-planted" } }',
    'webhooks: { ops: { url: "${URL}", secret: plain-and-planted } }',
    'webhooks: { ops: { url: "${URL}", secret: ["${OLD}", plain-and-planted] } }',
    'webhooks: { ops: { url: "${URL}", headers: { x-tenant: plain-and-planted } } }',
    'misplaced: { api_key: plain-and-planted }',
  ])('hides what looks like any word where secrets belong: %s', (text) => {
    const shown = redact(text)
    expect(shown).not.toContain('planted')
    expect(dataOf(restore(shown, [text]))).toEqual(dataOf(text))
    expect(dataOf(restore(shown.replace('{', '{ '), [text]))).toEqual(dataOf(text))
  })

  test('hides a short secret in its own place, and leaves the same word alone elsewhere', () => {
    const text = 'providers: { app: { apiKey: app } }\nroutes: { app: app/app }\n'
    expect(redact(text)).toBe(text.replace('apiKey: app', `apiKey: "${/\[.*\]/.exec(redact(text))![0]}"`))
  })

  test.each([
    'https://us:pa55-planted@collector.example/v1/traces',
    'https://collector.example/v1/traces?k=pa55-planted',
  ])('hides a collector’s address with a secret in it: %s', (url) => {
    const text = `trace: { otlp: { url: "${url}" } }`
    expect(redact(text)).not.toContain('planted')
    expect(restore(redact(text), [text])).toBe(text)
    const plain = text.replace('us:pa55-planted@', '').replace('?k=pa55-planted', '')
    expect(redact(plain)).toBe(plain)
  })

  test('written back says the same as before, comments included', () => {
    const back = restore(redact(document), [document])
    expect(dataOf(back)).toEqual(dataOf(document))
    expect(back).toContain(planted[8])
    expect(restore(document, [])).toBe(document)
  })

  test('written back in another place and with other values keeps each secret its own', () => {
    const shown = dataOf(redact(document)) as { keys: { name: string; key: string }[] }
    const edited = { ...shown, keys: [{ name: 'new', key: 'a-new-key-of-a-client' }, ...shown.keys.toReversed()] }
    const back = dataOf(restore(JSON.stringify(edited), [document])) as typeof shown
    expect(back.keys).toEqual([
      { name: 'new', key: 'a-new-key-of-a-client' },
      { name: 'other', key: '${OTHER}' },
      { name: 'app', key: planted[4] },
    ])
  })

  test('the same secret has the same mark, another pepper makes others, and a mark of nothing is refused', () => {
    const [first, second] = ['a', 'b'].map((name) => redact(`providers: { ${name}: { apiKey: ${planted[0]} } }`))
    const markIn = (text: string) => /\[redacted:\w+\]/.exec(text)![0]
    expect(markIn(first!)).toBe(markIn(second!))
    expect(markIn(createRedactor('other').redact(document))).not.toBe(markIn(redact(document)))
    expect(() => restore('providers: { a: { apiKey: "[redacted:000000000000]" } }', [document])).toThrow(UnknownMark)
  })

  test('in places for none, a secret that begins as another does has its own mark', () => {
    const [long, short] = ['word-and-word-and-more', 'word-and-word']
    const text = (short: string, long: string) =>
      `providers: { a: { apiKey: ${short} }, b: { apiKey: ${long} } } # ${long}, ${short}${short}.\nroutes: { r: ${long} }\n`
    const shown = redact(text(short!, long!))
    const [a, b] = [...shown.matchAll(/apiKey: "(.+?)"/g)].map(([, mark]) => mark!)
    expect(shown.replace(`"${a}"`, a!).replace(`"${b}"`, b!)).toBe(text(a!, b!))
    expect(restore(shown, [text(short!, long!)])).toBe(text(short!, long!))
  })

  test('a difference between two documents shows no secret either, but that it is another', () => {
    const changed = document.replace(planted[0]!, 'sk-planted-other-abcdef0123')
    const changes = changesBetween(redact(document), redact(changed))
    expect(changes.map(({ path }) => path)).toEqual(['providers.openai.apiKey'])
    expect(JSON.stringify(changes)).not.toMatch(/planted/)
  })

  test('any secret whatever, however it is quoted, goes and comes back', () => {
    const secret = fc
      .string({ unit: 'grapheme-ascii', minLength: 8, maxLength: 60 })
      .filter((text) => /^[!-~]+$/.test(text))
    const style = fc.constantFrom<(text: string) => string>(
      (text) => JSON.stringify(text),
      (text) => `'${text.replaceAll("'", "''")}'`,
    )
    fc.assert(
      fc.property(secret, style, (text, quote) => {
        // What only names variables is no secret.
        fc.pre(!text.includes('${') && !/redacted/.test(text))
        const written = `providers:\n  openai:\n    apiKey: ${quote(text)} # why\n    baseUrl: https://api.example.com/v1\n`
        const shown = redact(written)
        expect(shown.replace(/\[redacted:\w+\]/g, '')).not.toContain(text)
        expect(dataOf(restore(shown, [written]))).toEqual(dataOf(written))
      }),
      { numRuns: 500 },
    )
  })
})
