// The committed JSON Schema: fresh, complete in its explanations, and of one mind with the loader about the examples.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: such references are what is tested.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { configJsonSchema } from '../src/config/jsonSchema.ts'
import { loadConfig, parseConfig } from '../src/config/load.ts'

const root = fileURLToPath(new URL('../', import.meta.url))
const committed = JSON.parse(readFileSync(join(root, 'config.schema.json'), 'utf8'))
const validate = new Ajv2020({ strict: true, strictTypes: false, validateFormats: false }).compile(committed)
const examples = readdirSync(join(root, 'examples')).filter((file) => file.endsWith('.yaml'))
const secret = 'test-client-key-'
const env = {
  OPENAI_API_KEY: 'sk-test-1',
  ANTHROPIC_API_KEY: 'sk-test-2',
  OPENROUTER_API_KEY: 'sk-test-3',
  CEREBRAS_API_KEY: 'sk-test-4',
  AZURE_OPENAI_API_KEY: 'sk-test-5',
  AZURE_OPENAI_ENDPOINT: 'https://resource.openai.azure.com',
  WEB_APP_KEY: `${secret}1`,
  BATCH_KEY: `${secret}2`,
  OPERATIONS_KEY: `${secret}3`,
  TURNOUT_WEBHOOK_SECRET: `${secret}4`,
  END_USER_SECRET: `${secret}5-and-long-enough-for-hs256`,
}

test('is fresh: `npm run schema` would change nothing', () => {
  expect(committed).toEqual(JSON.parse(JSON.stringify(configJsonSchema())))
})

test('`npm run schema` writes exactly the committed file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-schema-'))
  try {
    const made = join(folder, 'made.json')
    execFileSync(join(root, 'node_modules/.bin/tsx'), ['src/cli/writeSchema.ts', made], { cwd: root })
    expect(readFileSync(made, 'utf8')).toBe(readFileSync(join(root, 'config.schema.json'), 'utf8'))
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('explains every field', () => {
  const silent: string[] = []
  let fields = 0
  const look = (node: unknown, path: string) => {
    if (typeof node !== 'object' || node === null) return
    const { properties } = node as { properties?: Record<string, { description?: string }> }
    for (const [name, field] of Object.entries(properties ?? {})) {
      fields++
      if (!field.description || field.description.length < 10) silent.push(`${path}/${name}`)
    }
    for (const [key, child] of Object.entries(node)) look(child, `${path}/${key}`)
  }
  look(committed, '')
  expect(silent).toEqual([])
  expect(fields).toBeGreaterThan(40)
})

describe.each(examples)('example %s', (file) => {
  const text = readFileSync(join(root, 'examples', file), 'utf8')

  test('names the schema in its first line, and is valid by it', () => {
    expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=../config.schema.json')
    // Flow references such as `[${A}]` are Turnout's own reading: the examples keep to plain YAML.
    expect(validate(parse(text)), JSON.stringify(validate.errors)).toBe(true)
  })

  test('loads without a warning, on any day', () => {
    const { snapshot, warnings } = loadConfig({ file: join(root, 'examples', file), env, version: 1 })
    expect(warnings).toEqual([])
    expect(snapshot.routes.size).toBeGreaterThan(0)
  })
})

describe('schema and loader agree', () => {
  const base = { providers: { ollama: null }, directModels: true }
  const accepted: [string, object][] = [
    ['numbers from variables', { server: { port: '${PORT:-80}' }, directModels: '${D:-true}' }],
    ['enums from variables', { log: { level: '${LEVEL:-debug}' } }],
    [
      'durations and sizes',
      { server: { bodyTimeout: '1.5s', drainTimeout: 90000, maxBody: '512 KB', maxReply: 4096 } },
    ],
    ['empty blocks', { server: null, log: null, targets: null, routes: null, keys: null }],
    ['empty retries and breaker', { retries: null, breaker: null }],
    [
      'how to survive',
      {
        fallback: true,
        retries: { attempts: '${N:-2}', baseDelay: '100ms', budget: 0.5 },
        breaker: { failures: 3, openFor: 5000 },
        routes: {
          a: { targets: ['ollama/x', 'route:b'], retries: { attempts: 1 }, onAllFailed: 'message' },
          b: 'ollama/y',
        },
      },
    ],
    ['shorthand routes', { routes: { a: 'ollama/x', b: ['ollama/x', 'ollama/y'], 'c*': { targets: ['ollama/*'] } } }],
  ]
  const refused: [string, object][] = [
    ['an unknown key', { servers: {} }],
    ['a bad unit', { server: { bodyTimeout: '5 parsecs' } }],
    ['a port out of range', { server: { port: 65536 } }],
    ['a slash in a provider name', { providers: { 'a/b': null } }],
    ['an empty route', { routes: { a: [] } }],
    ['an unknown key in a route', { routes: { a: { targets: ['ollama/x'], retry: 2 } } }],
    ['retries that are no block', { routes: { a: { targets: ['ollama/x'], retries: 2 } } }],
    ['more than 100 percent', { breaker: { percent: 101 } }],
    ['a forced stream', { targets: { t: { provider: 'ollama', model: 'm', params: { stream: true } } } }],
    ['a date that is none', { targets: { t: { provider: 'ollama', model: 'm', sunset: '2026-13-01' } } }],
  ]
  const load = (document: object) => parseConfig(JSON.stringify(document), { file: 'f.yaml', env: {}, version: 1 })

  test.each(accepted)('%s', (_, part) => {
    expect(validate({ ...base, ...part }), JSON.stringify(validate.errors)).toBe(true)
    expect(() => load({ ...base, ...part })).not.toThrow()
  })

  test.each(refused)('not %s', (_, part) => {
    expect(validate({ ...base, ...part })).toBe(false)
    expect(() => load({ ...base, ...part })).toThrow()
  })

  test('defaults that the schema tells of are the ones that are used', () => {
    const { server } = load(base).snapshot
    const told = committed.properties.server.anyOf[0].properties as Record<string, { default?: unknown }>
    const written = Object.fromEntries(
      Object.entries(told).flatMap(([key, { default: value }]) => (value === undefined ? [] : [[key, value]])),
    )
    expect(Object.keys(written).length).toBeGreaterThan(8)
    expect(load({ ...base, server: written }).snapshot.server).toEqual(server)
  })
})
