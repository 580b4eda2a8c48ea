// The demo's configuration, as it is shipped, against the simulator: models of three vendors, one answer, a price on each.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { parse } from 'yaml'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { get, post } from './support/exchange.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'
import { endTurnout, runTurnout, said, startTurnout } from './support/turnoutProcess.ts'

const file = fileURLToPath(new URL('../examples/demo.yaml', import.meta.url))
const key = { authorization: 'Bearer tk-demo' }

let simulator: Simulator
let gateway: TestGateway
beforeAll(async () => {
  simulator = await startSimulator()
  const env = { SIMULATOR_URL: simulator.url, TURNOUT_MASTER_KEY: 'tk-demo' }
  gateway = await startGateway(parse(readFileSync(file, 'utf8')), { env })
})
afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
})

it('lists routes, and models of all three vendors', async () => {
  const { data } = JSON.parse((await get(`${gateway.url}/v1/models`, key)).text)
  const ids = data.map(({ id }: { id: string }) => id)
  expect(ids).toEqual(expect.arrayContaining(['chat-default', 'chat-claude', 'chat-gemini']))
  for (const mark of [/^alpha\/gpt-/, /^claude\/claude-/, /^google\/gemini-/])
    expect(ids.some((id: string) => mark.test(id))).toBe(true)
})

it.each([
  ['chat-default', 'alpha', 'identity', 'openai-chat'],
  ['chat-claude', 'claude', 'hub', 'anthropic-messages'],
  ['chat-gemini', 'google', 'hub', 'gemini'],
])('%s answers, from %s, with a price', async (model, provider, lane, wire) => {
  const { status, headers, text } = await post(gateway.url + CHAT, ask(model), key)
  expect(status).toBe(200)
  expect(headers).toMatchObject({ 'x-turnout-provider': provider, 'x-turnout-lane': lane })
  expect(simulator.calls.at(-1)).toMatchObject({ wire })
  const { usage, choices } = JSON.parse(text)
  expect(choices[0].message.content).toMatch(/^You said “hi”\. \S/)
  expect(Number(headers['x-turnout-cost-usd'])).toBeCloseTo(
    (usage.prompt_tokens + usage.completion_tokens * 4) / 1e6,
    9,
  )
})

it('models that the vendors have by name are answered, too', async () => {
  for (const model of ['claude/claude-sonnet-4-5', 'google/gemini-2.5-flash', 'claude-opus-4-5', 'gemini-2.5-pro']) {
    expect((await post(gateway.url + CHAT, ask(model), key)).status, model).toBe(200)
  }
})

it('is in the package that npm makes, with the other examples, the dashboards and the rules', () => {
  const { stdout } = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    encoding: 'utf8',
  })
  const paths = JSON.parse(stdout)[0].files.map(({ path }: { path: string }) => path)
  const wanted = ['examples/demo.yaml', 'examples/production.yaml', 'grafana/prometheus/turnout.alerts.yml']
  expect(paths).toEqual(expect.arrayContaining([...wanted, 'grafana/dashboards/turnout-overview.json']))
  expect(paths.filter((path: string) => /^(?:src|test|bench)\/|\.env|\.db/.test(path))).toEqual([])
})

it.each(['demo', 'budgets', 'cache', 'end-users'])(
  'with examples/%s.yaml, what it prints can be pasted',
  async (name) => {
    const cwd = mkdtempSync(join(tmpdir(), 'turnout-demo-'))
    onTestFinished(() => rmSync(cwd, { recursive: true, force: true }))
    const config = fileURLToPath(new URL(`../examples/${name}.yaml`, import.meta.url))
    const env = { END_USER_SECRET: 'sk-test-end-users-0123456789abcdef' }
    const demo = startTurnout(['demo', '--port', '0', '--config', config], { cwd, env })
    onTestFinished(async () => void (await endTurnout(demo)))
    const told = await said(demo, 'stderr', /--db \S+\n/)
    const [, url, bearer, body] = /curl (\S+)[\s\S]*?'Authorization: (.*?)'[\s\S]*?-d '(.*?)'\n/.exec(told)!
    const { status, headers } = await post(url!, body!, { authorization: bearer! })
    expect([status, headers['x-turnout-attempts']]).toEqual([200, '1'])
    const { model } = JSON.parse(body!)
    expect(told).toContain(`model: '${model}', stream: true`)
    expect(told.includes("'chat-claude' and")).toBe(name === 'demo')
    const [, command] = /Ledger.*?: npx turnout (.*)\n/.exec(told)!
    // One of them for all: a command is a process that has to start.
    if (name === 'demo') expect((await runTurnout(command!.split(' '), { cwd })).out).toMatch(/^total +1 /m)
  },
)
