// docs/budgets.md: every command in it runs as written against the demo with its configuration, and answers what the page shows.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { run } from '../src/cli/run.ts'
import { allBudgets } from '../src/gateway/budgetFacts.ts'
import { type Simulator, startSimulator } from '../src/simulator/server.ts'
import { metricTable } from '../src/telemetry/metricTable.ts'
import { send } from './support/exchange.ts'
import { runTurnout } from './support/turnoutProcess.ts'

const page = readFileSync(new URL('../docs/budgets.md', import.meta.url), 'utf8')
const config = fileURLToPath(new URL('../examples/budgets.yaml', import.meta.url))

/** Each command of the page, in its order, with the lines that it answers. */
const commands = [...page.matchAll(/```console\n(.*?)```/gs)].flatMap(([, block]) =>
  block!
    .split(/^\$ /m)
    .slice(1)
    .map((text) => {
      const [command, ...answer] = text.trim().split('\n')
      return { command: command!, answer }
    }),
)

let simulator: Simulator
let running: Awaited<ReturnType<typeof run>>
const folder = mkdtempSync(join(tmpdir(), 'turnout-budget-docs-'))

beforeAll(async () => {
  simulator = await startSimulator()
  running = await run({
    config,
    port: 0,
    dataDir: folder,
    env: { SIMULATOR_URL: simulator.url, TURNOUT_MASTER_KEY: 'tk-demo', TURNOUT_LOG_LEVEL: 'silent' },
  })
})
afterAll(async () => {
  await running?.stop()
  await simulator?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** What changes from day to day and from installation to installation. */
const steady = (text: string): string =>
  text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME').replace(/u_[\w-]{22}/g, 'USER')

it('every command answers what the page shows', async () => {
  const variables = new Map<string, string>()
  const expand = (text: string): string => text.replace(/\$([A-Z]+)/g, (_, name: string) => variables.get(name)!)
  let shown = 0
  for (const { command, answer } of commands) {
    if (command.startsWith('export ')) {
      for (const [, name, value] of command.matchAll(/([A-Z]+)=(\S+)/g))
        variables.set(name!, value!.replace('http://127.0.0.1:4000', running.server.url))
    } else if (command.startsWith('curl ')) {
      const words = [...command.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c!)
      const body = words.includes('-d') ? words[words.indexOf('-d') + 1] : undefined
      const key = expand(words[words.indexOf('-H') + 1]!)
        .split(' ')
        .at(-1)!
      const url = expand(words.find((word) => /^(\$CHAT|http)/.test(word))!)
      const reply = await send(
        body === undefined ? 'GET' : 'POST',
        url.replace('http://127.0.0.1:4000', running.server.url),
        body,
        // What curl says of a body unless it is told otherwise.
        { authorization: `Bearer ${key}`, 'content-type': 'application/x-www-form-urlencoded' },
      ).done
      for (const line of answer) {
        const status = /^HTTP\/1.1 (\d+)/.exec(line)?.[1]
        if (status !== undefined) expect(`${reply.status}`, command).toBe(status)
        else if (line.startsWith('{')) expect(steady(reply.text), command).toBe(steady(line))
        else {
          const [name, value] = line.split(': ')
          expect(`${name}: ${reply.headers[name!]}`, command).toBe(`${name}: ${value}`)
        }
        shown++
      }
    } else if (command.startsWith('npx turnout budgets')) {
      const args = command.split(' ').slice(2)
      const { out } = await runTurnout([...args, '--url', running.server.url], { cwd: folder })
      // Columns are as wide as what stands in them.
      const cells = (text: string): string[] =>
        steady(text)
          .trim()
          .split('\n')
          .map((line) => line.replace(/ {2,}/g, '  '))
      expect(cells(out)).toEqual(cells(answer.join('\n')))
      shown++
    } else expect(command).toBe('npx turnout demo --config examples/budgets.yaml')
  }
  expect(shown).toBeGreaterThan(18)
}, 300_000)

it('turnout budgets says when it does not show all of them', async () => {
  const args = ['budgets', '--key', 'tk-demo', '--limit', '1', '--url', running.server.url]
  const [, fullest, more] = (await runTurnout(args, { cwd: folder })).out.split('\n')
  expect([fullest, more]).toEqual([expect.stringMatching(/^watched/), expect.stringMatching(/^and more.*--limit/)])
}, 60_000)

it('the page names every metric and every budget of the example', () => {
  for (const { name } of Object.values(metricTable).filter((spec) => spec.name.startsWith('turnout_budget_')))
    expect(page).toContain(`\`${name}\``)
  for (const { name } of allBudgets(running.turnout.snapshot)) expect(page).toContain(name)
})
