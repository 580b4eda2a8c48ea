// docs/cache.md: its commands answer as it shows, on its example, and it names every reason and metric there is.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { loadConfig } from '../src/config/load.ts'
import { startSimulator } from '../src/simulator/server.ts'
import { cacheStatuses, unkeptReasons } from '../src/state/cache/responseCache.ts'
import { cacheTable } from '../src/telemetry/cacheTable.ts'
import { post } from './support/exchange.ts'
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
    for (const [, name, value] of shown!.matchAll(/^(x-[\w-]+): (.*)$/gm))
      expect([name, headers[name!]]).toEqual([name, value])
  }
})

it('names every status, reason and metric', () => {
  for (const status of cacheStatuses) expect(page).toContain(`\`${status}\``)
  for (const reason of unkeptReasons) expect(page).toContain(`\`${reason}\``)
  for (const { name, labels } of Object.values(cacheTable))
    expect(page).toContain(`\`${name}${labels.length > 0 ? `{${labels.join(',')}}` : ''}\``)
})
