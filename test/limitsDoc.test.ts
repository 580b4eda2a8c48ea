// docs/limits.md: its configuration is valid, and what it shows of replies is what the gateway says.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { run } from '../src/cli/run.ts'
import { parseConfig } from '../src/config/load.ts'
import { metricTable } from '../src/telemetry/metricTable.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { get, post } from './support/exchange.ts'
import { startGateway } from './support/gateway.ts'
import { makeClock } from './support/limitClock.ts'

const page = readFileSync(new URL('../docs/limits.md', import.meta.url), 'utf8')
const demo = fileURLToPath(new URL('../examples/demo.yaml', import.meta.url))
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, block]) => block!)

it('the configuration is valid and limits what its comments say', () => {
  const env = { OPENAI_API_KEY: 'sk-test-openai-0123456789', BATCH_KEY: 'sk-test-batch-0123456789' }
  const { snapshot } = parseConfig(blocks('yaml')[0]!, { env, version: 1 })
  expect(snapshot.limits.map(({ name, per, requests }) => [name, per, requests])).toEqual([
    ['each-key', ['key'], 100],
    ['each-user', ['key', 'user'], 20],
    ['all', [], undefined],
  ])
  expect([...snapshot.keys.values()][0]!.limits).toHaveLength(2)
})

it('the error, its headers and those of a reply are as shown', async () => {
  const gateway = await startGateway(
    {
      server: { trustedProxies: ['127.0.0.1'] },
      providers: { nobody: { kind: 'openai', baseUrl: 'http://127.0.0.1:1/v1', apiKey: 'sk-test-nobody-0123456789' } },
      routes: { m: 'nobody/m' },
      keys: [{ name: 'web-app', key: 'sk-test-web-0123456789' }],
      limits: { 'each-key': { per: 'key', requests: 100 } },
    },
    { clock: makeClock() },
  )
  try {
    const chat = () => post(gateway.url + CHAT, ask(), { authorization: 'Bearer sk-test-web-0123456789' })
    const [head] = blocks('text')
    const { headers } = await chat()
    for (const [, name, value] of head!.matchAll(/^(x-\S+): (\S+)$/gm)) {
      if (name!.includes('reset')) expect(headers[name!]).toMatch(/^\d+m\d+s$/)
      else expect(headers[name!]).toBe(value)
    }
    for (let n = 1; n < 100; n++) await chat()
    const refused = await chat()
    const [shown] = blocks('json').map((block) => JSON.parse(block))
    const got = JSON.parse(refused.text)
    expect(refused.status).toBe(429)
    expect(refused.headers).toMatchObject({
      'retry-after': expect.any(String),
      'x-turnout-error': 'rate_limit_exceeded',
    })
    const seconds = got.error.metadata.retry_after_seconds
    expect(refused.headers['retry-after']).toBe(String(seconds))
    expect(got).toEqual({
      error: {
        ...shown.error,
        message: shown.error.message.replace('42 s', `${seconds} s`),
        metadata: {
          ...shown.error.metadata,
          retry_after_seconds: seconds,
          reset_seconds: got.error.metadata.reset_seconds,
        },
      },
    })
  } finally {
    await gateway.close()
  }
})

it('the demo answers what is shown', async () => {
  const data = mkdtempSync(join(tmpdir(), 'turnout-limits-'))
  const running = await run({
    config: demo,
    port: 0,
    dataDir: data,
    env: { SIMULATOR_URL: 'http://127.0.0.1:1', TURNOUT_MASTER_KEY: 'tk-demo', TURNOUT_LOG_LEVEL: 'silent' },
  })
  try {
    const shown = [
      ...page.matchAll(/^\$ curl -s http:\/\/127\.0\.0\.1:4000(\S+) -H 'Authorization: Bearer tk-demo'\n(.*)$/gm),
    ]
    expect(shown.length).toBeGreaterThan(0)
    for (const [, path, answer] of shown) {
      const { text } = await get(running.server.url + path, { authorization: 'Bearer tk-demo' })
      expect(JSON.parse(text)).toEqual(JSON.parse(answer!))
    }
  } finally {
    await running.stop()
    rmSync(data, { recursive: true })
  }
})

it('names metrics that there are', () => {
  const names = new Set<string>(Object.values(metricTable).map(({ name }) => name))
  const named = [...page.matchAll(/turnout_\w+/g)].map(([name]) => name)
  expect(named.length).toBeGreaterThan(3)
  for (const name of named) expect(names).toContain(name)
})
