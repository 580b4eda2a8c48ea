// Loading a configuration: file to snapshot, every problem with its place, and what wins.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: such references are what is tested.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Env } from '../src/config/interpolation.ts'
import { findConfigFile, type LoadOptions, loadConfig } from '../src/config/load.ts'
import { ConfigError, type ConfigProblem } from '../src/config/problem.ts'
import { providerKinds } from '../src/providers/index.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-config-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const keys = { OPENAI_API_KEY: 'sk-test-openai', ANTHROPIC_API_KEY: 'sk-test-anthropic' }
const now = new Date('2026-06-01T12:00:00Z')

function load(text: string, env: Env = keys, more: Partial<LoadOptions> = {}) {
  const file = join(folder, 'turnout.yaml')
  writeFileSync(file, text)
  return loadConfig({ file, env, version: 7, now, ...more })
}

function problemsOf(run: () => unknown): readonly ConfigProblem[] {
  try {
    run()
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  throw new Error('nothing was thrown')
}

const brief = (list: readonly ConfigProblem[]) => list.map(({ path, line, column }) => `${line}:${column} ${path}`)
const two = 'providers:\n  openai:\n  anthropic:\n'

describe('aliases and nesting', () => {
  test('what nests too deeply for the parser is told so, in our words', () => {
    const [problem] = problemsOf(() => load(`providers: ${'['.repeat(20_000)}`))
    expect(problem).toMatchObject({ line: 1, message: 'YAML syntax: it nests too deeply' })
  })

  test('thousands of aliases are looked up once, not once for each', () => {
    const links = Array.from({ length: 4000 }, (_, at) => `k${at}: &x${at + 1} [*x${at}]`).join('\n')
    const began = process.cpuUsage()
    const [problem] = problemsOf(() => load(`k: &x0 [1]\n${links}\n`))
    expect(problem?.message).toContain('Excessive alias count')
    // The parser alone takes a part of a second; with a search for each alias it took more than ten. Of the processor: others may have it.
    expect(process.cpuUsage(began).user / 1e6).toBeLessThan(7)
  })

  test('an alias means the last anchor of its name before it', () => {
    const { snapshot } = load(`providers: { openai: {} }
routes:
  a: &chain [openai/one, openai/two]
  b: *chain
  c: &chain [openai/three, openai/four]
  d: *chain
`)
    expect(['b', 'd'].map((name) => snapshot.routes.get(name)!.targets[0]!.id)).toEqual(['openai/one', 'openai/three'])
  })
})

describe('a whole file', () => {
  const text = `
server: { port: 4100, maxBody: 2MB, drainTimeout: 90s, keepAliveTimeout: 1500 }
log: { level: debug }
dataDir: ./somewhere
providers:
  openai:
    headers: { OpenAI-Project: proj_1 }
  local: { kind: vllm, baseUrl: http://127.0.0.1:9/v1/, passHeaders: [X-Trace] }
  cloud: { kind: azure, baseUrl: https://r.openai.azure.com/openai/v1/, apiKey: \${AZURE}, apiVersion: 2024-06-01 }
targets:
  fast:
    provider: openai
    model: gpt-4o-mini
    params: { temperature: 0.5, stop: [a] }
    timeouts: { firstToken: 3s }
routes:
  main:
    targets: [fast, local/meta/llama]
    timeouts: { firstToken: 9s, total: 2m }
    commitAfter: 4s
    toolArguments: pass
  short: local/x
  list: [fast, cloud/dep]
  gpt-*: openai/*
  gpt-4*-mini: fast
  '*': local/*
keys:
  - { name: app, key: a1b2c3d4e5f6g7h8 }
  - { name: boss, key: \${BOSS}, role: admin }
`
  const { snapshot } = (() => {
    const dir = mkdtempSync(join(tmpdir(), 'turnout-config-'))
    try {
      writeFileSync(join(dir, 'c.yaml'), text)
      const env = { ...keys, AZURE: 'az-test', BOSS: 'boss-key-0123456789' }
      return loadConfig({ file: join(dir, 'c.yaml'), env, version: 7, now })
    } finally {
      rmSync(dir, { recursive: true })
    }
  })()

  test('units are read into milliseconds and bytes', () => {
    expect(snapshot.server).toMatchObject({
      port: 4100,
      maxBodyBytes: 2 * 1024 * 1024,
      drainTimeout: 90_000,
      keepAliveTimeout: 1500,
    })
    expect(snapshot).toMatchObject({ version: 7, source: 'file', log: { level: 'debug' }, directModels: false })
    expect(snapshot.dataDir).toBe(resolve('./somewhere'))
    expect(snapshot.hash).toMatch(/^[0-9a-f]{12}$/)
  })

  test('providers carry address, credentials and headers', () => {
    expect(snapshot.providers.get('openai')).toMatchObject({
      origin: 'https://api.openai.com',
      basePath: '/v1',
      keyFrom: 'OPENAI_API_KEY',
      headers: { authorization: 'Bearer sk-test-openai', 'openai-project': 'proj_1' },
      passHeaders: ['openai-beta'],
    })
    expect(snapshot.providers.get('local')).toMatchObject({
      origin: 'http://127.0.0.1:9',
      basePath: '/v1',
      apiKey: undefined,
      headers: {},
      passHeaders: ['x-trace'],
    })
    expect(snapshot.providers.get('cloud')).toMatchObject({
      origin: 'https://r.openai.azure.com',
      basePath: '',
      keyFrom: 'file',
      apiVersion: '2024-06-01',
      headers: { 'api-key': 'az-test' },
      // stream_options is refused by versions before 2024-09-01.
      streamUsage: 'never',
    })
  })

  test('limits come from the target, then its route, then the defaults', () => {
    const [fast, local] = snapshot.routes.get('main')!.targets
    expect(fast!.timeouts).toEqual({ connect: 5000, firstToken: 3000, idle: 120_000, total: 120_000 })
    expect(local!.timeouts).toEqual({ connect: 5000, firstToken: 9000, idle: 120_000, total: 120_000 })
    expect(snapshot.targets.get('fast')!.timeouts.total).toBe(1_800_000)
    expect(snapshot.routes.get('list')!.targets[0]!.timeouts.firstToken).toBe(3000)
    expect(fast!.params).toEqual({ temperature: 0.5, stop: ['a'] })
    expect(snapshot.routes.get('main')).toMatchObject({ commitAfter: 4000, toolArguments: 'pass', implicit: false })
  })

  test('inline targets are split at the first slash and have the text as their id', () => {
    const target = snapshot.targets.get('local/meta/llama')!
    expect(target).toMatchObject({ id: 'local/meta/llama', model: 'meta/llama' })
    expect(target.provider).toBe(snapshot.providers.get('local'))
    expect(snapshot.targets.get('openai/*')!.model).toBe('*')
  })

  test('patterns are sorted by their literal length', () => {
    expect(snapshot.patterns.map(({ route }) => route.name)).toEqual(['gpt-4*-mini', 'gpt-*', '*'])
  })

  test('keys are kept as digests only', () => {
    const [app, boss] = [...snapshot.keys.keys()]
    expect([...snapshot.keys.values()]).toEqual([
      { name: 'app', digest: app, role: 'app' },
      { name: 'boss', digest: boss, role: 'admin' },
    ])
    // printf %s a1b2c3d4e5f6g7h8 | sha256sum
    expect([...snapshot.keys.keys()][0]).toBe('e116b146089ce6f65d25ad7c86390e27e58df6bc1e8ff9805c8e8c713507526d')
    expect(JSON.stringify([...snapshot.keys])).not.toContain('a1b2c3d4')
  })

  test('nothing in it can be changed', () => {
    const route = snapshot.routes.get('main')!
    const writes: (() => unknown)[] = [
      () => Object.assign(snapshot, { version: 8 }),
      () => Object.assign(snapshot.server, { port: 1 }),
      () => (snapshot.routes as Map<string, unknown>).set('x', route),
      () => (snapshot.keys as Map<string, unknown>).clear(),
      () => (snapshot.providers as Map<string, unknown>).delete('openai'),
      () => (route.targets as unknown[]).push(1),
      () => Object.assign(route.targets[0]!.params!, { temperature: 2 }),
      () => (route.targets[0]!.params!.stop as string[]).push('b'),
      () => Object.assign(route.targets[0]!.provider.headers, { x: 'y' }),
      () => Object.assign(snapshot.patterns[0]!, { route }),
    ]
    for (const write of writes) expect(write).toThrow(TypeError)
    expect(snapshot.patterns[1]!.pattern.test('gpt-9')).toBe(true)
    expect(snapshot.patterns[1]!.pattern.test('gpt')).toBe(false)
  })
})

describe('problems', () => {
  test('all of them at once, each with path, line and column', () => {
    const text = `server:
  prot: 1
  port: abc
  maxBody: 20XB
providers:
  openai:
  opnai: { kind: opena }
  a/b: {}
targets:
  fast: { provider: openai, model: m, timeouts: { idle: 5 parsecs } }
  slow: { provider: opennai, model: m }
routes:
  r: [fast, slwo, openai/x, openai/x]
  s: { target: [fast] }
  t: [xai/grok]
keys:
  - { name: k, key: \${NOT_SET} }
  - { name: k, key: y, role: king }
`
    const problems = problemsOf(() => load(text))
    expect(brief(problems)).toEqual([
      '2:3 server.prot',
      '3:9 server.port',
      '4:12 server.maxBody',
      '7:18 providers.opnai.kind',
      '8:3 providers["a/b"]',
      '10:57 targets.fast.timeouts.idle',
      '11:21 targets.slow.provider',
      '13:13 routes.r[1]',
      '13:29 routes.r[3]',
      '14:3 routes.s.targets',
      '14:8 routes.s.target',
      '15:7 routes.t[0]',
      '17:21 keys[0].key',
      '18:30 keys[1].role',
    ])
    const message = (path: string) => problems.find((problem) => problem.path === path)!.message
    expect(message('server.prot')).toContain('did you mean "port"?')
    expect(message('providers.opnai.kind')).toContain('did you mean "openai"?')
    expect(message('targets.slow.provider')).toContain('did you mean "openai"?')
    expect(message('routes.r[1]')).toContain('did you mean "slow"?')
    expect(message('routes.t[0]')).toContain('"xai" is not configured')
    expect(message('keys[0].key')).toContain('NOT_SET')
  })

  test('an unknown key that resembles none gets the list of known ones', () => {
    const [problem] = problemsOf(() => load(`${two}telemetry: {}\n`))
    expect(problem!.message).toMatch(/unknown key "telemetry"; known here: server, log, /)
  })

  test('YAML syntax errors and duplicate keys', () => {
    const duplicate = problemsOf(() => load(`${two}log: { level: info }\nroutes:\n  a: openai/x\n  a: openai/y\n`))
    expect(duplicate).toEqual([{ path: '', line: 7, column: 3, message: 'duplicate key "a"' }])
    const syntax = problemsOf(() => load('providers:\n  openai: [1\nroutes: {}\n'))
    expect(syntax[0]!.line).toBeGreaterThan(1)
    expect(syntax[0]!.message).toMatch(/^YAML syntax: /)
  })

  test('keys that stand twice are found in one pass, in blocks of either form', () => {
    const routes = Array.from({ length: 300 }, (_, index) => `  r${index}: openai/m\n`).join('')
    const some = vi.spyOn(Array.prototype, 'some')
    load(`${two}routes:\n${routes}`)
    const looks = some.mock.calls.length
    some.mockRestore()
    expect(looks).toBeLessThan(300)
    const twice = problemsOf(() =>
      load(`${two}targets:\n  t: { provider: openai, model: m, 'provider': openai }\nroutes:\n${routes}  r7: t\n`),
    )
    expect(twice.map(({ message }) => message)).toEqual([`duplicate key "'provider'"`, 'duplicate key "r7"'])
  })

  test('an alias that contains itself and one that explodes are refused', () => {
    expect(
      problemsOf(() => load(`${two}targets: &t\n  a: { provider: openai, model: m, params: { p: *t } }\n`))[0],
    ).toMatchObject({
      line: 5,
      message: expect.stringContaining('alias'),
    })
    const lines = [
      'x0: &x0 [a]',
      ...Array.from({ length: 9 }, (_, i) => `x${i + 1}: &x${i + 1} [${`*x${i},`.repeat(9)}]`),
    ]
    expect(problemsOf(() => load(lines.join('\n'))).some(({ message }) => /alias/i.test(message))).toBe(true)
  })

  test('neither a missing file nor an unreadable one is anything but a ConfigError', () => {
    const missing = problemsOf(() => loadConfig({ file: join(folder, 'nope.yaml'), env: {}, version: 1 }))
    expect(missing[0]!.message).toBe('does not exist')
    expect(problemsOf(() => loadConfig({ file: folder, env: {}, version: 1 }))[0]!.message).toContain('EISDIR')
    for (const text of ['[]', 'text', '- a', '4']) expect(problemsOf(() => load(text))[0]!.message).toContain('a block')
  })

  test('secrets stay out of messages', () => {
    const text = `providers:\n  openai: { baseUrl: "https://user:hunter2secret@h/v1", apiKey: "sk-hunter2secret x" }\nkeys:\n  - { name: a, key: hunter2secret }\n`
    const problems = problemsOf(() => load(text))
    expect(problems.length).toBeGreaterThanOrEqual(2)
    expect(JSON.stringify(problems)).not.toContain('hunter2')
    const broken = problemsOf(() => load('providers:\n  openai: { apiKey: sk-hunter2secret\nroutes: [\n'))
    expect(JSON.stringify(broken)).not.toContain('hunter2')
  })

  test.each([
    ['model', 'x'],
    ['stream', true],
    ['stream_options', {}],
    ['messages', []],
  ])('a target may not force %s', (name, value) => {
    const params = JSON.stringify({ [name]: value })
    const text = `${two}targets:\n  t: { provider: openai, model: m, params: ${params} }\nroutes: { r: [t, anthropic/m] }\n`
    expect(problemsOf(() => load(text))[0]!.path).toBe(`targets.t.params.${name}`)
  })

  test.each(['authorization', 'Cookie', 'OpenAI-Organization', 'openai-project', 'x-api-key', 'api-key'])(
    'a client can never set %s',
    (header) => {
      const text = `providers:\n  openai: { passHeaders: [x-ok, ${header}] }\n`
      expect(problemsOf(() => load(text))).toMatchObject([{ path: 'providers.openai.passHeaders[1]', line: 2 }])
    },
  )

  test.each(['Content-Length', 'host', 'transfer-encoding', 'Authorization'])('no static header %s', (header) => {
    const text = `providers:\n  openai: { headers: { ${header}: x } }\n`
    expect(problemsOf(() => load(text))).toMatchObject([{ line: 2, column: 24 }])
  })

  test.each(['ftp://h/v1', 'h.example', 'https://u:p@h/v1', 'https://h/v1?api-version=1'])('no base URL %s', (url) => {
    const text = `providers:\n  openai: { baseUrl: "${url}" }\n`
    expect(problemsOf(() => load(text))).toMatchObject([{ path: 'providers.openai.baseUrl', line: 2 }])
  })

  test.each([
    ['openai', 'https://h/v1/chat/completions'],
    ['openai-compatible', 'https://h/chat/completions/'],
    ['anthropic', 'https://h/v1/messages'],
    ['gemini', 'https://h/v1beta/models/g:generateContent'],
  ])('no address of a call as the base URL of %s: %s', (kind, url) => {
    const text = (baseUrl: string) => `providers:\n  ${kind}: { baseUrl: "${baseUrl}", apiKey: "\${K:-k}" }\n`
    const message = expect.stringMatching(/ends before .* put behind it for each call/)
    expect(problemsOf(() => load(text(url)))).toMatchObject([{ path: `providers.${kind}.baseUrl`, line: 2, message }])
    load(text(`${url.slice(0, 9)}/chat/completions-of-ours/v1`))
  })
})

describe('what wins', () => {
  test('command line over file over environment over defaults', () => {
    const env = { ...keys, PORT: '4001', HOST: '::1', TURNOUT_LOG_LEVEL: 'warn', TURNOUT_DATA_DIR: '/env' }
    const file = `${two}server: { port: 4002, host: 127.0.0.2 }\nlog: { level: error }\ndataDir: /file\n`
    const seen = (loaded: ReturnType<typeof load>) => {
      const { server, log, dataDir } = loaded.snapshot
      return [server.port, server.host, log.level, dataDir]
    }
    expect(seen(load(two))).toEqual([4000, '127.0.0.1', 'info', resolve('data')])
    expect(seen(load(two, env))).toEqual([4001, '::1', 'warn', '/env'])
    expect(seen(load(file, env))).toEqual([4002, '127.0.0.2', 'error', '/file'])
    const overrides = { port: 4003, host: 'localhost', logLevel: 'fatal', dataDir: '/flag' }
    expect(seen(load(file, env, { overrides }))).toEqual([4003, 'localhost', 'fatal', '/flag'])
  })

  test("a provider's address and key: file, then environment, then its kind", () => {
    const env = { OPENAI_API_KEY: 'sk-test-env', OPENAI_BASE_URL: 'http://env.example/v1' }
    const provider = (text: string, given: Env) => load(text, given).snapshot.providers.get('openai')!
    const plain = 'providers:\n  openai:\n'
    const full = 'providers:\n  openai: { baseUrl: http://file.example/v2, apiKey: sk-test-file }\n'
    expect(provider(plain, { OPENAI_API_KEY: 'k' }).origin).toBe('https://api.openai.com')
    expect(provider(plain, env)).toMatchObject({ origin: 'http://env.example', apiKey: 'sk-test-env' })
    expect(provider(full, env)).toMatchObject({
      origin: 'http://file.example',
      basePath: '/v2',
      apiKey: 'sk-test-file',
    })
    expect(provider(plain, { ...env, OPENAI_BASE_URL: ' ' }).origin).toBe('https://api.openai.com')
  })

  test('a PORT or log level that is none is a problem without a line', () => {
    const env = { ...keys, PORT: '80a', TURNOUT_LOG_LEVEL: 'loud' }
    expect(brief(problemsOf(() => load(two, env)))).toEqual(['0:0 PORT', '0:0 TURNOUT_LOG_LEVEL'])
  })

  test('without `providers` in the file they come from the environment', () => {
    const { snapshot } = load('routes: { r: [openai/x, anthropic/y] }\n')
    expect([...snapshot.providers.keys()]).toEqual(['openai', 'anthropic'])
    expect(snapshot.directModels).toBe(false)
  })

  test('which file: flag, TURNOUT_CONFIG, turnout.yaml if there is one', () => {
    const empty = mkdtempSync(join(folder, 'empty-'))
    writeFileSync(join(folder, 'turnout.yaml'), two)
    expect(findConfigFile('a.yaml', { TURNOUT_CONFIG: 'b.yaml' }, folder)).toBe('a.yaml')
    expect(findConfigFile(undefined, { TURNOUT_CONFIG: 'b.yaml' }, folder)).toBe('b.yaml')
    expect(findConfigFile(undefined, { TURNOUT_CONFIG: '' }, folder)).toBe('turnout.yaml')
    expect(findConfigFile(undefined, {}, empty)).toBeUndefined()
  })

  test('the hash is that of the document before interpolation', () => {
    const text = 'providers:\n  openai: { apiKey: "${KEY}" }\n'
    const one = load(text, { KEY: 'sk-test-1' }).snapshot
    const other = load(text, { KEY: 'sk-test-2' }).snapshot
    expect(one.hash).toBe(other.hash)
    expect(load(`${text}# more\n`, { KEY: 'sk-test-1' }).snapshot.hash).not.toBe(one.hash)
  })
})

describe('without a file', () => {
  const found = (env: Env) => loadConfig({ env, version: 1, now }).snapshot

  test('every provider whose key is set, with direct models', () => {
    const names = [
      ['OPENAI_API_KEY', 'openai'],
      ['ANTHROPIC_API_KEY', 'anthropic'],
      ['GEMINI_API_KEY', 'gemini'],
      ['GOOGLE_API_KEY', 'gemini'],
      ['OPENROUTER_API_KEY', 'openrouter'],
      ['GROQ_API_KEY', 'groq'],
      ['MISTRAL_API_KEY', 'mistral'],
      ['DEEPSEEK_API_KEY', 'deepseek'],
      ['TOGETHER_API_KEY', 'together'],
      ['FIREWORKS_API_KEY', 'fireworks'],
      ['XAI_API_KEY', 'xai'],
    ] as const
    for (const [variable, provider] of names) {
      const snapshot = found({ [variable]: 'sk-test-1' })
      expect([...snapshot.providers.keys()]).toEqual([provider])
      expect(snapshot).toMatchObject({ source: 'environment', directModels: true })
      expect(snapshot.providers.get(provider)!.keyFrom).toBe(variable)
    }
    const all = found(Object.fromEntries(names.map(([variable]) => [variable, 'sk-test-1'])))
    expect([...all.providers.keys()].sort()).toEqual([...new Set(names.map(([, provider]) => provider))].sort())
  })

  test.each([
    ['ANTHROPIC_BASE_URL', 'https://api.anthropic.com', '/v1'],
    ['ANTHROPIC_BASE_URL', 'https://api.z.ai/api/anthropic', '/api/anthropic/v1'],
    ['ANTHROPIC_BASE_URL', 'https://proxy.example/claude/v1/', '/claude/v1'],
    ['GOOGLE_GEMINI_BASE_URL', 'https://proxy.example/v1/google-ai-studio/', '/v1/google-ai-studio/v1beta'],
    ['GEMINI_BASE_URL', 'https://proxy.example/v1alpha', '/v1alpha'],
    ['OPENAI_BASE_URL', 'https://proxy.example/openai', '/openai'],
  ])('%s is read as the SDKs read it: %s', (variable, url, basePath) => {
    const [kind] = [...providerKinds.values()].filter(({ baseUrlEnv }) => baseUrlEnv?.includes(variable))
    const { providers } = found({ [kind!.keyEnv[0]!]: 'sk-test-1', [variable]: url })
    expect(providers.get(kind!.name)).toMatchObject({ origin: new URL(url).origin, basePath })
  })

  test('the address of a call is none in a variable, either', () => {
    const env = { ANTHROPIC_API_KEY: 'sk-test-1', ANTHROPIC_BASE_URL: 'https://proxy.example/v1/messages' }
    expect(problemsOf(() => found(env))).toMatchObject([
      { message: expect.stringMatching(/^ANTHROPIC_BASE_URL: .* ends before `\/v1\/messages`/) },
    ])
  })

  test('Azure needs its endpoint too, and says so', () => {
    const env = { AZURE_OPENAI_API_KEY: 'k', AZURE_OPENAI_ENDPOINT: 'https://r.openai.azure.com/' }
    expect(found({ ...env, OPENAI_API_VERSION: '2025-01-01-preview' }).providers.get('azure')).toMatchObject({
      origin: 'https://r.openai.azure.com',
      apiVersion: '2025-01-01-preview',
      streamUsage: 'ask',
    })
    expect(found(env).providers.get('azure')!.apiVersion).toBeUndefined()
    const loaded = loadConfig({ env: { AZURE_OPENAI_API_KEY: 'k', GROQ_API_KEY: 'k' }, version: 1 })
    expect(loaded.snapshot.providers.has('azure')).toBe(false)
    expect(loaded.warnings).toMatchObject([
      { path: 'AZURE_OPENAI_API_KEY', line: 0, message: expect.stringContaining('AZURE_OPENAI_ENDPOINT') },
    ])
  })

  test('Ollama by its host alone', () => {
    expect(found({ OLLAMA_HOST: '0.0.0.0' }).providers.get('ollama')).toMatchObject({
      origin: 'http://127.0.0.1:11434',
      basePath: '/v1',
      headers: {},
    })
  })

  test('with nothing set it says what to set', () => {
    const problems = problemsOf(() => loadConfig({ env: { OPENAI_API_KEY: '' }, version: 1 }))
    expect(problems).toHaveLength(1)
    for (const name of ['OPENAI_API_KEY', 'ANTHROPIC_API_KEY', 'OLLAMA_HOST'])
      expect(problems[0]!.message).toContain(name)
    expect(problemsOf(() => load('', {}))[0]!.message).toContain('OPENAI_API_KEY')
  })

  test('the hash holds no secret and is the same for other keys', () => {
    expect(found({ OPENAI_API_KEY: 'sk-test-1' }).hash).toBe(found({ OPENAI_API_KEY: 'sk-test-2' }).hash)
  })
})
