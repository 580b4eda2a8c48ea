// The contract of provider kinds, held by every one of them, and the addresses and paths that some of them compute.
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { azure } from '../src/providers/azure.ts'
import { providerKinds } from '../src/providers/index.ts'
import { ollama } from '../src/providers/ollama.ts'
import { neverPassed, withPath } from '../src/providers/provider.ts'
import { hasShared, needsShared, sharedPath } from './support/shared.ts'

const folder = new URL('../src/providers/', import.meta.url)
const kinds = [...providerKinds.values()]

describe.each(kinds)('provider kind $name', (kind) => {
  test('is one file of 12 to 45 lines, named like it', () => {
    const lines = readFileSync(new URL(`${kind.name}.ts`, folder), 'utf8')
      .trimEnd()
      .split('\n')
    expect(lines[0]).toMatch(/^\/\/ \S/)
    expect(lines.length).toBeGreaterThanOrEqual(12)
    expect(lines.length).toBeLessThanOrEqual(45)
  })

  test('has a name that fits into provider/model and a title', () => {
    expect(kind.name).toMatch(/^[a-z][a-z0-9-]*$/)
    expect(kind.title).not.toBe('')
    expect(kind.dialects.length).toBeGreaterThan(0)
  })

  test('has a usable base URL, or says where it comes from', () => {
    if (kind.baseUrl === undefined) {
      expect(kind.keyless || (kind.baseUrlEnv?.length ?? 0) > 0).toBe(true)
      return
    }
    const url = new URL(kind.baseUrl)
    expect(kind.baseUrl.endsWith('/')).toBe(false)
    expect([url.username, url.password, url.search, url.hash]).toEqual(['', '', '', ''])
    // A key must not travel in the clear.
    expect(url.protocol).toBe(kind.keyless ? 'http:' : 'https:')
    if (kind.keyless) expect(url.hostname).toBe('127.0.0.1')
  })

  test('normalises its own base URL, and what it made of one, to itself', () => {
    for (const url of [
      kind.baseUrl,
      'https://proxy.example/some/path',
      'http://127.0.0.1:9/',
      'https://h.example:8443',
    ]) {
      if (url === undefined || !kind.normalizeBaseUrl) continue
      const once = kind.normalizeBaseUrl(url)
      expect(kind.normalizeBaseUrl(once)).toBe(once)
      expect(once.endsWith('/')).toBe(false)
      expect(new URL(once).host).toBe(new URL(url).host)
      if (url === kind.baseUrl) expect(once).toBe(url)
      if (url.includes('/some/path')) expect(once).toBe(url)
    }
  })

  test('reads the environment by names in capitals', () => {
    const names = [...kind.keyEnv, ...(kind.baseUrlEnv ?? []), ...(kind.apiVersionEnv ?? [])]
    for (const name of names) expect(name).toMatch(/^[A-Z][A-Z0-9_]+$/)
    if (!kind.keyless) expect(kind.keyEnv.length).toBeGreaterThan(0)
  })

  test('C13 lets through no credentials and nothing that decides who pays', () => {
    for (const header of kind.passHeaders ?? []) {
      expect(header).toBe(header.toLowerCase())
      expect(neverPassed).not.toContain(header)
    }
    expect(neverPassed).toContain(kind.keyHeader)
    for (const header of Object.keys(kind.headers ?? {})) expect(header).toBe(header.toLowerCase())
  })

  test('has sunsets that are dates, and lists no model that is past its own', () => {
    for (const [model, date] of Object.entries(kind.sunsets ?? {})) {
      expect(date).toMatch(/^\d{4}-\d{2}-\d{2}$/)
      expect(new Date(date).toISOString().slice(0, 10)).toBe(date)
      expect(kind.models ?? []).not.toContain(model)
    }
  })

  test('computes paths that start with a slash and hold the model where they hold one', () => {
    for (const apiVersion of [undefined, 'v1', 'preview', '2024-10-21']) {
      const path = kind.chatPath?.('a%2Fb', { apiVersion })
      if (path !== undefined) expect(path).toMatch(/^\/[\w%./-]+(\?api-version=[\w-]+)?$/)
      expect(kind.modelsPath?.({ apiVersion }) ?? '/models').toMatch(/^\/[\w/]+(\?api-version=[\w-]+)?$/)
      expect(['ask', 'always', 'never']).toContain(kind.streamUsageFor?.({ apiVersion }) ?? kind.streamUsage)
    }
  })
})

describe('the registry', () => {
  test('holds every file of the folder, by its name', () => {
    const files = readdirSync(folder).filter((file) => !['index.ts', 'provider.ts', 'history.ts'].includes(file))
    expect([...providerKinds.keys()].sort()).toEqual(files.map((file) => file.replace(/\.ts$/, '')).sort())
  })

  test('shares no environment variable between two kinds', () => {
    const names = kinds.flatMap((kind) => [...kind.keyEnv, ...(kind.baseUrlEnv ?? [])])
    expect(new Set(names).size).toBe(names.length)
  })

  test('gives every bare model name to one kind at most', () => {
    const prefixes = kinds.flatMap((kind) => (kind.modelPrefixes ?? []).map((prefix) => ({ prefix, name: kind.name })))
    for (const { prefix, name } of prefixes) {
      const rivals = prefixes.filter((other) => other.name !== name && other.prefix.startsWith(prefix))
      expect(rivals).toEqual([])
    }
    const bare = kinds.filter((kind) => kind.modelPrefixes).flatMap((kind) => kind.models ?? [])
    expect(new Set(bare).size).toBe(bare.length)
    for (const model of bare) expect(model).not.toContain('/')
  })
})

describe('addresses', () => {
  test.each([
    ['https://r.openai.azure.com', 'https://r.openai.azure.com'],
    ['https://r.openai.azure.com/', 'https://r.openai.azure.com'],
    ['https://r.openai.azure.com/openai/v1/', 'https://r.openai.azure.com'],
    ['https://r.services.ai.azure.com/openai', 'https://r.services.ai.azure.com'],
    [
      'https://r.cognitiveservices.azure.com/openai/deployments/d/chat/completions?api-version=2024-02-01',
      'https://r.cognitiveservices.azure.com',
    ],
    ['https://apim.example/team/openai/v1', 'https://apim.example/team'],
    ['https://openai.example', 'https://openai.example'],
  ])('azure %s', (url, expected) => {
    expect(azure.normalizeBaseUrl!(url)).toBe(expected)
  })

  test.each([
    [undefined, '/openai/v1/chat/completions', 'ask'],
    ['v1', '/openai/v1/chat/completions', 'ask'],
    ['preview', '/openai/v1/chat/completions?api-version=preview', 'ask'],
    ['2024-10-21', '/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21', 'ask'],
    ['2024-09-01-preview', '/openai/deployments/my%20dep/chat/completions?api-version=2024-09-01-preview', 'ask'],
    ['2024-02-01', '/openai/deployments/my%20dep/chat/completions?api-version=2024-02-01', 'never'],
  ])('azure with API version %s', (apiVersion, path, usage) => {
    expect(azure.chatPath!('my%20dep', { apiVersion })).toBe(path)
    expect(azure.streamUsageFor!({ apiVersion })).toBe(usage)
  })

  test.each([
    ['127.0.0.1', 'http://127.0.0.1:11434/v1'],
    ['0.0.0.0', 'http://127.0.0.1:11434/v1'],
    ['0.0.0.0:8080', 'http://127.0.0.1:8080/v1'],
    [':1234', 'http://127.0.0.1:1234/v1'],
    ['box.local', 'http://box.local:11434/v1'],
    ['[::]:11434', 'http://127.0.0.1:11434/v1'],
    ['http://box:11434', 'http://box:11434/v1'],
    ['http://box:11434/', 'http://box:11434/v1'],
    ['https://ollama.com', 'https://ollama.com/v1'],
    ['https://ollama.com/v1', 'https://ollama.com/v1'],
  ])('ollama %s', (host, expected) => {
    expect(ollama.normalizeBaseUrl!(host)).toBe(expected)
  })

  test('an address without a path gets the usual one, any other stays', () => {
    expect(withPath('/v1')('https://h.example//')).toBe('https://h.example/v1')
    expect(withPath('/v1')('https://h.example/x/')).toBe('https://h.example/x')
  })
})

/** Kinds by the host that a recording was made at. */
const kindOfHost: Record<string, string> = {
  'api.openai.com': 'openai',
  'api.groq.com': 'groq',
  'api.mistral.ai': 'mistral',
  'api.deepseek.com': 'deepseek',
  'openrouter.ai': 'openrouter',
}

interface Recording {
  request: { url: string; body: string }
  response: { status: number; body: string }
}

/** Chunks' `usage` fields of one recorded stream: whether there is one that is not null, anywhere. */
const sendsUsage = (body: string): boolean =>
  body.split(/\r\n|\n|\r/).some((line) => {
    if (!line.startsWith('data:') || line.includes('[DONE]')) return false
    return Boolean((JSON.parse(line.slice(5)) as { usage?: unknown }).usage)
  })

describe.skipIf(!hasShared)(`recorded streams${needsShared}`, () => {
  test('usage comes as each kind says: always unasked, or whenever asked', () => {
    const seen: Record<string, { asked: number; unasked: number }> = {}
    for (const line of readFileSync(sharedPath('recordings', 'openai-chat.ndjson'), 'utf8').split('\n')) {
      if (line === '') continue
      const { request, response } = JSON.parse(line) as Recording
      const kind = providerKinds.get(kindOfHost[new URL(request.url).hostname] ?? '')
      if (!kind || response.status !== 200 || !/^(data|event|:)/.test(response.body)) continue
      const asked = request.body.includes('"include_usage"')
      seen[kind.name] ??= { asked: 0, unasked: 0 }
      seen[kind.name]![asked ? 'asked' : 'unasked']++
      if (asked || kind.streamUsage === 'always')
        expect(sendsUsage(response.body), `${kind.name}: ${request.url}`).toBe(true)
    }
    expect(seen.mistral!.unasked).toBeGreaterThan(0)
    expect(seen.deepseek!.unasked).toBeGreaterThan(0)
    expect(seen.openai!.asked).toBeGreaterThan(0)
    expect(seen.openrouter!.asked).toBeGreaterThan(0)
  })
})
