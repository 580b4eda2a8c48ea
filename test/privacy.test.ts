// C50 and C51 through the whole gateway: nothing planted comes out anywhere, and names that clients make up leave the metrics bounded.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { prettyLine } from '../src/telemetry/prettyLine.ts'
import { createPseudonyms } from '../src/telemetry/pseudonym.ts'
import type { Exchange } from './support/exchange.ts'
import { get } from './support/exchange.ts'
import { adminKey, keyOfRed, type Scene, scenarios, startScene } from './support/scene.ts'

const prompt = 'planted-prompt-purple-elephants'
const person = 'somebody.planted@example.com'
const planted = [prompt, person, keyOfRed, adminKey, 'sk-test-alpha-0123456789', 'sk-test-claude-0123456789']

describe('C50 nothing planted comes out', () => {
  let scene: Scene
  let logFile: string
  let folder: string
  const errors: Exchange[] = []
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'turnout-privacy-'))
    logFile = join(folder, 'deep', 'turnout.log')
    scene = await startScene((document) => {
      document.log = { level: 'debug', file: logFile, user: 'ledger' }
    })
    const asked = { user: person, temperature: 0, messages: [{ role: 'user', content: prompt }] }
    for (const play of Object.values(scenarios)) await play(scene)
    for (const route of ['healthy', 'translated', 'errors', 'fallback', 'dead', 'streams', 'unpriced', 'cached'])
      for (const stream of [false, true]) await scene.chat(route, { ...asked, stream })
    errors.push(
      await scene.chat('errors', asked),
      await scene.chat('dead', asked),
      await scene.chat('no-such-route', asked),
      await scene.chat('healthy', { messages: [{ role: prompt, content: 1 }] }),
      await scene.chat('healthy', { messages: prompt }),
    )
    await scene.running.log.flush()
  }, 300_000)
  afterAll(async () => {
    await scene.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const expectClean = (text: string, where: string): void => {
    for (const secret of planted) expect(text.includes(secret), `${secret} in ${where}`).toBe(false)
  }

  it('C50 not in the log, which names the user by the hash of the ledger alone', () => {
    const text = readFileSync(logFile, 'utf8')
    const lines = text.trim().split('\n')
    expect(lines.length).toBeGreaterThan(60)
    expectClean(text, 'the log')
    const users = new Set(lines.map((line) => JSON.parse(line).user).filter((user) => user !== undefined))
    expect([...users]).toEqual([expect.stringMatching(/^u_[\w-]{22}$/)])
    // Nor where the client is: nobody asked for that.
    expect(text).not.toContain('"address"')
  })

  it('C50 not in metrics, traces, requests and spend as operators see them', async () => {
    expectClean((await get(`${scene.url}/metrics`)).text, 'metrics')
    for (const path of [
      '/traces?limit=1000',
      '/requests?limit=1000',
      '/spend',
      '/models/health',
      '/config',
      '/audit',
    ]) {
      const { status, text } = await scene.admin('GET', path)
      expect(status, path).toBe(200)
      expect(text.length, path).toBeGreaterThan(20)
      // The file of this test names its keys; that they are hidden in it is what is looked at.
      expectClean(text, path)
    }
  })

  it('C50 not in error bodies', () => {
    for (const { status, text } of errors) {
      expect(status).toBeGreaterThanOrEqual(400)
      expectClean(text, `an error: ${text}`)
    }
  })

  it('C50 not in the bytes of the databases', async () => {
    const { disk } = scene.running.turnout.cache
    await disk!.flushed()
    expect(disk!.entries).toBeGreaterThan(0)
    const data = join(scene.folder, 'data')
    const files = readdirSync(data).filter((file) => file.includes('.db'))
    expect(files).toContain('cache.db')
    // The versions of the configuration are in there too, as they were written: with the keys that this test writes into its file.
    // Answers are kept where the operator says so, and this vendor's answers quote what they were asked. Nobody's id does.
    for (const file of files)
      for (const secret of file.startsWith('cache.db') ? [person] : [prompt, person])
        expect(readFileSync(join(data, file)).includes(secret), `${secret} in ${file}`).toBe(false)
  })
})

it('C51 thousands of names that clients make up leave /metrics bounded, and the rest is `other`', async () => {
  const scene = await startScene((document) => {
    document.directModels = true
  })
  try {
    const before = (await scene.scrape()).size
    const names = Array.from({ length: 900 }, (_, index) => `alpha/made-up-${index}`)
    const workers = Array.from({ length: 8 }, async (_, worker) => {
      for (let at = worker; at < names.length; at += 8) expect((await scene.chat(names[at]!)).status).toBe(200)
    })
    await Promise.all(workers)
    const series = await scene.scrape()
    const ours = [...series].filter(
      ([name]) => name.startsWith('turnout_requests_total') && name.includes('alpha/made-up-'),
    )
    expect(ours.length).toBeGreaterThan(0)
    expect(ours.length).toBeLessThanOrEqual(200)
    const others = series.get('turnout_requests_total{status="2xx",outcome="ok",route="other",target="other"}')!
    expect(ours.reduce((sum, [, value]) => sum + value, 0) + others).toBe(900)
    expect(series.size - before).toBeLessThan(200 * 120)
    const labels = (await get(`${scene.url}/metrics`)).text.match(/made-up-\d+/g)!
    expect(new Set(labels).size).toBeLessThanOrEqual(200)
  } finally {
    await scene.close()
  }
}, 300_000)

describe('names for end users', () => {
  const settings = { user: 'rotating' as const, userSaltTime: 1000 }

  it('are none, the hash of the ledger, or one that nobody can follow for long', () => {
    const ledger = (user: string): string => `u_${user.length}`
    expect(createPseudonyms(() => ({ ...settings, user: 'none' }), ledger).of(person)).toBeUndefined()
    expect(createPseudonyms(() => ({ ...settings, user: 'ledger' }), ledger).of(person)).toBe(`u_${person.length}`)
    let time = 0
    const one = createPseudonyms(
      () => settings,
      ledger,
      () => time,
    )
    const first = one.of(person)!
    expect(first).toMatch(/^r_[\w-]{16}$/)
    expect(one.of(person)).toBe(first)
    expect(one.of('another')).not.toBe(first)
    time = 1000
    expect(one.of(person)).not.toBe(first)
    expect(
      createPseudonyms(
        () => settings,
        ledger,
        () => time,
      ).of(person),
    ).not.toBe(one.of(person))
  })
})

describe('the log', () => {
  it('has a line for human eyes, in which no value can make a line of its own', () => {
    const line = prettyLine(
      '{"level":"warn","time":"2026-01-02T03:04:05.678Z","route":"a\\nb\\u001b[2J","status":200,"msg":"request"}\n',
    )
    expect(line.split('\n')).toHaveLength(2)
    expect(line).toContain('03:04:05.678')
    expect(line).toContain('request')
    expect(line.includes('\u001b[2J')).toBe(false)
    expect(prettyLine('no json\n')).toBe('no json\n')
  })

  it('takes its level from LOG_LEVEL where nothing closer says one', () => {
    const text = '{"providers":{"ollama":{}}}'
    const level = (env: Record<string, string>, document = text): string =>
      parseConfig(document, { env, version: 1 }).snapshot.log.level
    expect(level({ LOG_LEVEL: 'warn' })).toBe('warn')
    expect(level({ LOG_LEVEL: 'warn', TURNOUT_LOG_LEVEL: 'debug' })).toBe('debug')
    expect(level({ LOG_LEVEL: 'warn' }, '{"log":{"level":"error"},"providers":{"ollama":{}}}')).toBe('error')
    expect(() => level({ LOG_LEVEL: 'chatty' })).toThrow('LOG_LEVEL')
  })
})
