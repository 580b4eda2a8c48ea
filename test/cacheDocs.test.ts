// docs/cache.md: its commands answer as it shows, on its example, and it names every reason and metric there is.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { expect, it, onTestFinished, vi } from 'vitest'
import { addCacheCommand } from '../src/cli/cache.ts'
import { run } from '../src/cli/run.ts'
import { loadConfig } from '../src/config/load.ts'
import { startSimulator } from '../src/simulator/server.ts'
import { cacheStatuses, unkeptReasons } from '../src/state/cache/responseCache.ts'
import { cacheTable } from '../src/telemetry/cacheTable.ts'
import { get, post } from './support/exchange.ts'
import { startGateway } from './support/gateway.ts'

const page = readFileSync(new URL('../docs/cache.md', import.meta.url), 'utf8')
const example = fileURLToPath(new URL('../examples/cache.yaml', import.meta.url))

it('its commands answer as it shows', async () => {
  const simulator = await startSimulator()
  onTestFinished(() => simulator.close())
  const { snapshot } = loadConfig({ file: example, env: { SIMULATOR_URL: simulator.url }, version: 2 })
  const gateway = await startGateway({
    directModels: true,
    providers: { p: { kind: 'vllm', baseUrl: simulator.baseUrl } },
  })
  onTestFinished(() => gateway.close())
  gateway.turnout.swap(snapshot)
  const commands = [
    ...page.matchAll(/^\$ curl -si localhost:4000(\S+) [\s\S]*?-d '(.*)' \| grep .*\n((?:HTTP|x-).*\n(?:x-.*\n)*)/gm),
  ]
  expect(commands).toHaveLength(2)
  for (const [, path, body, shown] of commands) {
    const { headers, status } = await post(gateway.url + path!, body)
    expect(status).toBe(200)
    // A slow machine may be a second older.
    for (const [, name, value] of shown!.matchAll(/^(x-[\w-]+): (.*)$/gm))
      expect([name, String(headers[name!]).replace(/age=\d+/, 'age=0')]).toEqual([name, value])
  }
})

it('its command line shows what it shows', async () => {
  const simulator = await startSimulator()
  onTestFinished(() => simulator.close())
  const folder = mkdtempSync(join(tmpdir(), 'turnout-cache-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const env = {
    SIMULATOR_URL: simulator.url,
    TURNOUT_MASTER_KEY: 'sk-test-master-0123456789',
    TURNOUT_LOG_LEVEL: 'silent',
  }
  const running = await run({ config: example, port: 0, dataDir: folder, env })
  onTestFinished(async () => void (await running.stop()))
  const { url } = running.server
  const ask = { model: 'faq', temperature: 0, messages: [{ role: 'user', content: 'hi' }] }
  const master = { authorization: 'Bearer sk-test-master-0123456789' }
  for (let n = 0; n < 2; n++) await post(`${url}/v1/chat/completions`, ask, master)
  const [, stats, cleared] = /\$ turnout cache stats\n([\s\S]*?)\$ turnout cache clear --route faq\n(.*\n)/.exec(page)!
  const shell = async (...words: string[]): Promise<string> => {
    const program = new Command().exitOverride()
    addCacheCommand(program)
    const said: string[] = []
    const write = vi.spyOn(process.stdout, 'write').mockImplementation((text, ...more) => {
      said.push(String(text))
      for (const done of more) if (typeof done === 'function') done()
      return true
    })
    try {
      await program.parseAsync(['cache', ...words, '--url', url, '--key', env.TURNOUT_MASTER_KEY], { from: 'user' })
    } finally {
      write.mockRestore()
    }
    return said.join('')
  }
  await running.turnout.cache.load()
  await running.turnout.cache.disk!.flushed()
  expect(await shell('stats')).toBe(stats)
  expect(await shell('clear', '--route', 'faq')).toBe(cleared)
  expect(running.turnout.cache.entries).toBe(0)
  const trail = JSON.parse((await get(`${url}/admin/audit?limit=1`, master)).text)
  expect(trail.data[0]).toMatchObject({ verb: 'cache-clear', subject: 'faq', after: { route: 'faq', removed: 1 } })
  const again = await post(`${url}/v1/chat/completions`, ask, master)
  expect(await shell('clear', '--entry', String(again.headers['x-turnout-cache-key']))).toBe('1 removed\n')
})

it('names every status, reason and metric', () => {
  for (const status of cacheStatuses) expect(page).toContain(`\`${status}\``)
  for (const reason of unkeptReasons) expect(page).toContain(`\`${reason}\``)
  for (const { name, labels } of Object.values(cacheTable))
    expect(page).toContain(`\`${name}${labels.length > 0 ? `{${labels.join(',')}}` : ''}\``)
})
