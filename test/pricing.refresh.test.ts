// Refreshing the price list: foreign formats, judgement as a whole, atomic replacement, and the command line over it.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { addPricesCommand, refreshPrices, showPrice } from '../src/cli/prices.ts'
import { noUsage } from '../src/dialects/chat.ts'
import { createPriceBook } from '../src/pricing/book.ts'
import { lastGoodFile, readLastGood } from '../src/pricing/lastGood.ts'
import { loadLayers } from '../src/pricing/layers.ts'
import { judgePrices } from '../src/pricing/refresh.ts'
import { readSource } from '../src/pricing/sources.ts'

type Entry = Record<string, unknown>

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'turnout-prices-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

/** A list in LiteLLM's shape with enough models to be believed. */
function liteLlm(more: Record<string, Entry> = {}): Record<string, Entry> {
  const file: Record<string, Entry> = {
    sample_spec: { litellm_provider: 'one of …', input_cost_per_token: 0, max_tokens: 'LEGACY', mode: 'one of …' },
    'gpt-4o': { litellm_provider: 'openai', mode: 'chat', input_cost_per_token: 2.6e-6, output_cost_per_token: 1e-5 },
    'ollama/llama3': { litellm_provider: 'ollama', mode: 'chat', input_cost_per_token: 0, output_cost_per_token: 0 },
  }
  for (let i = 0; i < 60; i++) {
    file[`groq/model-${i}`] = {
      litellm_provider: 'groq',
      mode: 'chat',
      input_cost_per_token: 1e-7 * (i + 1),
      output_cost_per_token: 2e-7 * (i + 1),
    }
  }
  return { ...file, ...more }
}

function save(name: string, json: unknown): string {
  const file = join(dir, name)
  writeFileSync(file, JSON.stringify(json))
  return file
}

const flags = (): { dataDir: string } => ({ dataDir: join(dir, 'data') })
const costNow = (provider: string, model: string) =>
  createPriceBook(loadLayers(flags(), (problem) => expect.fail(problem))).price(provider, model, {
    ...noUsage(),
    input: 1_000_000,
  })

describe('foreign formats', () => {
  it("reads LiteLLM's: tiers, caches, audio, service tiers, facts", () => {
    const { prices, problems, format } = readSource({
      'vertex_ai/claude-x': {
        litellm_provider: 'vertex_ai-anthropic_models',
        mode: 'chat',
        input_cost_per_token: 3e-6,
        input_cost_per_token_above_200k_tokens: 6e-6,
        output_cost_per_token: 1.5e-5,
        output_cost_per_token_above_200k_tokens: 2.25e-5,
        cache_read_input_token_cost: 3e-7,
        cache_creation_input_token_cost: 3.75e-6,
        cache_creation_input_token_cost_above_1hr: 6e-6,
        input_cost_per_token_batches: 1.5e-6,
        output_cost_per_token_batches: 7.5e-6,
        input_cost_per_token_priority: 6e-6,
        output_cost_per_token_priority: 2e-5,
        max_input_tokens: 200000,
        max_output_tokens: 64000,
        supports_function_calling: true,
        supports_vision: true,
      },
      'text-embedding-x': {
        litellm_provider: 'openai',
        mode: 'embedding',
        input_cost_per_token: 2e-8,
        output_cost_per_token: 0,
      },
      'gpt-audio-x': {
        litellm_provider: 'openai',
        mode: 'chat',
        input_cost_per_token: 2.5e-6,
        output_cost_per_token: 1e-5,
        input_cost_per_audio_token: 4e-5,
        output_cost_per_audio_token: 8e-5,
      },
    })
    expect({ format, problems }).toEqual({ format: 'litellm', problems: [] })
    expect(prices.get('vertex/claude-x')).toEqual({
      input: '3',
      output: '15',
      cacheRead: '0.3',
      cacheWrite5m: '3.75',
      cacheWrite1h: '6',
      tiers: [{ above: 200_000, input: '6', output: '22.5' }],
      serviceTiers: { batch: '0.5' },
      contextWindow: 200_000,
      maxOutput: 64_000,
      capabilities: ['tools', 'vision'],
    })
    expect(prices.get('openai/text-embedding-x')).toEqual({ input: '0.02', capabilities: ['embeddings'] })
    expect(prices.get('openai/gpt-audio-x')).toMatchObject({ audioIn: '40', audioOut: '80' })
  })

  it("reads models.dev's", () => {
    const { prices, format, skipped } = readSource({
      google: {
        id: 'google',
        models: {
          'gemini-x': {
            id: 'gemini-x',
            tool_call: true,
            reasoning: true,
            modalities: { input: ['text', 'image', 'audio'], output: ['text'] },
            cost: {
              input: 1.25,
              output: 10,
              cache_read: 0.31,
              input_audio: 1,
              context_over_200k: { input: 2.5, output: 15 },
            },
            limit: { context: 1048576, output: 65536 },
          },
          free: { id: 'free', cost: { input: 0, output: 0 } },
        },
      },
      'some-reseller': { id: 'some-reseller', models: { m: { id: 'm', cost: { input: 1, output: 1 } } } },
    })
    expect({ format, skipped }).toEqual({ format: 'models.dev', skipped: 2 })
    expect(Object.fromEntries(prices)).toEqual({
      'gemini/gemini-x': {
        input: '1.25',
        output: '10',
        cacheRead: '0.31',
        audioIn: '1',
        tiers: [{ above: 200_000, input: '2.5', output: '15' }],
        contextWindow: 1_048_576,
        maxOutput: 65_536,
        capabilities: ['tools', 'reasoning', 'vision', 'audioIn'],
      },
    })
  })

  it.each([
    ['negative', -1e-6],
    ['infinite', '1e999'],
    ['text', 'free'],
    ['per million in place of per token', 2.5],
    ['an object', {}],
  ])('refuses the whole file for one price that is %s', (_name, bad) => {
    const entry = { litellm_provider: 'openai', mode: 'chat', input_cost_per_token: bad, output_cost_per_token: 1e-6 }
    const judged = judgePrices(JSON.parse(JSON.stringify(liteLlm({ 'gpt-bad': entry }))), () => undefined)
    expect(judged.prices).toBeUndefined()
    expect(judged.problems).toEqual([expect.stringContaining('gpt-bad')])
  })

  it('refuses what is no price list', () => {
    for (const json of [null, [], 'x', {}, { error: { message: 'not found' } }]) {
      const judged = judgePrices(json, () => undefined)
      expect(judged.prices).toBeUndefined()
      expect(judged.problems.length).toBeGreaterThan(0)
    }
  })
})

describe('C24 a new list replaces the last good one only when all of it is good', () => {
  it('stores a good list, which then prices before the built-in ones', async () => {
    expect(costNow('openai', 'gpt-4o')).toMatchObject({ nanoUsd: 2_500_000_000, priceSource: 'genai-prices' })
    const { done, lines } = await refreshPrices(save('new.json', liteLlm()), flags(), new Date('2026-11-20T00:00:00Z'))
    expect(lines.join('\n')).toMatch(/stored 61 models from litellm/)
    expect(done).toBe(true)
    expect(costNow('openai', 'gpt-4o')).toMatchObject({
      nanoUsd: 2_600_000_000,
      priceSource: 'refreshed',
      priceVersion: expect.stringMatching(/^2026-11-20-[0-9a-f]{12}$/),
    })
    // What the list leaves out (no price for local models) is unknown, not free.
    expect(costNow('ollama', 'llama3').nanoUsd).toBeNull()
    expect(readdirSync(flags().dataDir)).toEqual(['prices.json'])
    // The ledger will lie there, too.
    expect(statSync(flags().dataDir).mode & 0o077).toBe(0)
  })

  it('keeps the old one when the new one is broken, short or wild', async () => {
    await refreshPrices(save('good.json', liteLlm()), flags())
    const kept = readFileSync(lastGoodFile(flags().dataDir), 'utf8')
    const wild = liteLlm()
    wild['groq/model-7'] = { ...wild['groq/model-7'], output_cost_per_token: 1.6e-5 * 2 }
    for (const [file, why] of [
      [{ 'gpt-4o': liteLlm()['gpt-4o'] }, /only 1 usable models/],
      [liteLlm({ 'gpt-x': { litellm_provider: 'openai', input_cost_per_token: -1 } }), /gpt-x/],
      [wild, /groq\/model-7: output 1\.6 → 32/],
      [{ html: '<!doctype html>' }, /neither/],
    ] as const) {
      const { done, lines } = await refreshPrices(save('bad.json', file), flags())
      expect(done).toBe(false)
      expect(lines.join('\n')).toMatch(why)
      expect(readFileSync(lastGoodFile(flags().dataDir), 'utf8')).toBe(kept)
    }
    const forced = await refreshPrices(save('wild.json', wild), { ...flags(), force: true })
    expect(forced.done).toBe(true)
    expect(readdirSync(flags().dataDir)).toEqual(['prices.json'])
  })

  it('does not let --force accept a broken list', async () => {
    const bad = liteLlm({ 'gpt-x': { litellm_provider: 'openai', input_cost_per_token: -1 } })
    expect((await refreshPrices(save('bad.json', bad), { ...flags(), force: true })).done).toBe(false)
    expect(readLastGood(flags().dataDir, () => expect.fail('nothing was stored'))).toBeUndefined()
  })

  it('compares a first list with the built-in prices', async () => {
    const list = liteLlm({
      'gpt-4.1': { litellm_provider: 'openai', input_cost_per_token: 2e-9, output_cost_per_token: 8e-9 },
    })
    const { done, lines } = await refreshPrices(save('slip.json', list), flags())
    expect(done).toBe(false)
    expect(lines.join('\n')).toContain('openai/gpt-4.1: input 2 → 0.002')
  })

  it('refuses a list that lost many of its models', async () => {
    const large = liteLlm()
    for (let i = 60; i < 120; i++) large[`groq/model-${i}`] = { ...large['groq/model-1'] } as Entry
    await refreshPrices(save('large.json', large), flags())
    const { done, lines } = await refreshPrices(save('small.json', liteLlm()), flags())
    expect(done).toBe(false)
    expect(lines.join('\n')).toContain('121 models before, 61 now')
  })

  it('reports a damaged last good file and prices without it', () => {
    writeFileSync(join(dir, 'prices.json'), '{"format":1,"prices":{"a":{"input":-5}}')
    const problems: string[] = []
    const layers = loadLayers({ dataDir: dir }, (problem) => problems.push(problem))
    expect(layers.map(({ source }) => source)).toEqual(['overlay', 'genai-prices'])
    expect(problems).toEqual([expect.stringContaining('prices.json is not a price file')])
  })
})

describe('a list from a URL', () => {
  let server: Server
  let base: string
  beforeEach(async () => {
    server = createServer((request, response) => {
      if (request.url === '/good') response.end(JSON.stringify(liteLlm()))
      else if (request.url === '/moved') response.writeHead(302, { location: '/good' }).end()
      else if (request.url === '/html') response.end('<!doctype html>secret page')
      else if (request.url === '/endless') {
        const chunk = Buffer.alloc(1024 * 1024, 0x20)
        const push = (): void => {
          while (response.write(chunk)) if (response.destroyed) return
        }
        response.on('drain', push)
        push()
      } else response.writeHead(404).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterEach(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  it('is stored', async () => {
    expect((await refreshPrices(`${base}/good`, flags())).done).toBe(true)
    expect(readLastGood(flags().dataDir, () => {})?.from).toBe(`${base}/good`)
  })

  it.each([
    ['/none', /answered 404/],
    ['/moved', /answered 302 \(it points to \/good\)/],
    ['/html', /is not JSON$/],
    ['/endless', /larger than 64 MB/],
  ])('%s is refused', async (path, why) => {
    await expect(refreshPrices(base + path, flags())).rejects.toThrow(why)
    expect(readLastGood(flags().dataDir, () => {})).toBeUndefined()
  })

  it('is not fetched where nobody listens, and large or missing files are refused too', async () => {
    await expect(refreshPrices('http://127.0.0.1:1/x', flags())).rejects.toThrow()
    const large = join(dir, 'large.json')
    writeFileSync(large, '')
    truncateSync(large, 64 * 1024 * 1024 + 1)
    await expect(refreshPrices(large, flags())).rejects.toThrow(/larger than 64 MB/)
    await expect(refreshPrices(join(dir, 'none.json'), flags())).rejects.toThrow(/ENOENT/)
  })
})

describe('turnout prices', () => {
  /** Runs the real command; what it wrote, and the exit code it set. */
  async function run(...args: string[]): Promise<{ out: string; err: string; code: number }> {
    let out = ''
    let err = ''
    const program = new Command('turnout').exitOverride().configureOutput({
      writeOut: (text) => {
        out += text
      },
      writeErr: (text) => {
        err += text
      },
    })
    addPricesCommand(program)
    const before = process.exitCode
    process.exitCode = 0
    try {
      await program.parseAsync(['prices', ...args], { from: 'user' })
      return { out, err, code: Number(process.exitCode) }
    } finally {
      process.exitCode = before
    }
  }

  it('shows a price with its source, tiers and facts', async () => {
    const { out, code } = await run('show', 'anthropic/claude-sonnet-4-5', '--data-dir', dir)
    expect(code).toBe(0)
    expect(out).toMatch(/source: genai-prices \d/)
    expect(out).toMatch(/cacheWrite1h +6\n/)
    expect(out).toMatch(/above 200000 prompt tokens:\n +input +6\n/)
    expect(out).toContain('service tiers: batch ×0.5')
    expect(out).toContain('can: tools')
  })

  it('shows JSON, finds the maker of a bare name, and dates', async () => {
    const { out } = await run('show', 'o3', '--json', '--at', '2025-06-01', '--data-dir', dir)
    const shown = JSON.parse(out)
    expect(shown).toMatchObject({ provider: 'openai', model: 'o3', known: true, unit: 'USD per million tokens' })
    expect(shown.prices.find((price: { current: boolean }) => price.current)).toMatchObject({
      input: '10',
      output: '40',
    })
    expect(shown.prices[1]).toMatchObject({ from: '2025-06-10', input: '2', current: false })
  })

  it('shows what the configuration says first', async () => {
    const file = join(dir, 'turnout.yaml')
    writeFileSync(file, 'prices:\n  my-model: { input: 1.5, output: "6" }\n')
    const { out } = await run('show', 'vllm/my-model', '-c', file, '--json', '--data-dir', dir)
    expect(JSON.parse(out)).toMatchObject({ known: true, provider: 'vllm', model: 'my-model', source: 'config' })
    const named = showPrice('groq/my-model', { config: file, dataDir: dir }, () => {})
    expect(named).toMatchObject({ source: 'config', version: 'file' })
    writeFileSync(file, 'prices:\n  my-model: { input: cheap }\n')
    await expect(run('show', 'my-model', '-c', file)).rejects.toThrow(/prices\.my-model\.input/)
  })

  it('goes by the data folder and the variables of the configuration, as `serve` does', async () => {
    const file = join(dir, 'turnout.yaml')
    const price = `prices: { mine: { input: \${PRICE_OF_MINE:-3}, output: 4 } }`
    writeFileSync(file, `dataDir: ${dir}/elsewhere\nkeys: [{ name: a, key: \${NOBODY_SETS_THIS} }]\n${price}\n`)
    expect(await run('refresh', save('new.json', liteLlm()), '-c', file)).toMatchObject({ code: 0, err: '' })
    expect(readdirSync(join(dir, 'elsewhere'))).toEqual(['prices.json'])
    const refreshed = await run('show', 'groq/model-1', '-c', file, '--json')
    expect(JSON.parse(refreshed.out)).toMatchObject({ source: 'refreshed' })
    const mine = await run('show', 'mine', '-c', file, '--json')
    expect(JSON.parse(mine.out)).toMatchObject({ source: 'config', prices: [{ input: '3' }] })
  })

  it('says unknown, and exits 1', async () => {
    const { out, code } = await run('show', 'openai/gpt-99', '--data-dir', dir)
    expect(code).toBe(1)
    expect(out).toContain('price: unknown')
  })

  it('refreshes from the command line', async () => {
    const good = await run('refresh', save('new.json', liteLlm()), '--data-dir', flags().dataDir)
    expect(good).toMatchObject({ code: 0, err: '' })
    const bad = await run('refresh', save('bad.json', {}), '--data-dir', flags().dataDir)
    expect(bad).toMatchObject({ code: 1, out: '' })
    expect(bad.err).toMatch(/^refused: .*the list of \d{4}-\d{2}-\d{2} stays/)
  })
})
