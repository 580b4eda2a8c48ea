// A whole Turnout with simulated vendors, and ten scenarios to drive it through: what dashboards and rules are looked at with.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Running, run } from '../../src/cli/run.ts'
import { type Simulator, startSimulator } from '../../src/simulator/server.ts'
import { type Exchange, get, post, send } from './exchange.ts'

export const adminKey = 'sk-test-admin-0123456789'
export const keyOfRed = 'sk-test-red-01234567890'
const keyOfTight = 'sk-test-tight-0123456789'
const keyOfBlue = 'sk-test-blue-0123456789'

export interface Scene {
  readonly running: Running
  readonly simulator: Simulator
  readonly url: string
  readonly folder: string
  /** One chat request. */
  chat(model: string, more?: Record<string, unknown>, key?: string, headers?: Record<string, string>): Promise<Exchange>
  admin(method: string, path: string, body?: unknown): Promise<Exchange>
  /** Series of the page by name with labels, as they are written there. */
  scrape(): Promise<Map<string, number>>
  /** Writes the configuration file again, with a change, and waits until it is served or refused. */
  rewrite(change: (document: Document) => void): Promise<void>
  close(): Promise<void>
}

export type Document = Record<string, unknown> & { routes: Record<string, unknown> }

export const documentOf = (simulator: string): Document => ({
  log: { level: 'silent' },
  cache: { persist: true },
  providers: {
    alpha: { kind: 'openai', baseUrl: `${simulator}/v1`, apiKey: 'sk-test-alpha-0123456789' },
    beta: { kind: 'vllm', baseUrl: `${simulator}/v1` },
    claude: { kind: 'anthropic', baseUrl: simulator, apiKey: 'sk-test-claude-0123456789' },
    openai: { baseUrl: `${simulator}/v1`, apiKey: 'sk-test-openai-0123456789' },
  },
  // Short waits: the scenarios are seconds, not minutes.
  retries: { attempts: 2, baseDelay: '5ms', maxDelay: '20ms', budget: 1 },
  breaker: { failures: 6, openFor: '1500ms', unhealthyFor: '1500ms' },
  // Nobody listens there.
  webhooks: { ops: { url: 'http://127.0.0.1:9/', secret: 'test-hook-secret-0123456789', attempts: 1 } },
  alerts: { dear: { kind: 'spend', usd: 100 } },
  // Stays shut for as long as the scenarios last.
  targets: {
    'dead-alone': { provider: 'alpha', model: 'dead-alone', breaker: { failures: 6, openFor: '10m' } },
    'bad-canary': { provider: 'claude', model: 'sim-error-500' },
    'keyless-canary': { provider: 'claude', model: 'sim-error-401' },
  },
  prices: { 'sim-*': { input: 1, cacheRead: 0.1, output: 4 }, 'dead-*': { input: 1, output: 4 } },
  routes: {
    healthy: ['alpha/sim-fast', 'beta/sim-fast'],
    translated: ['claude/sim-reasoning'],
    errors: ['alpha/sim-error-400'],
    cached: { targets: ['alpha/sim-fast'], cache: true },
    slow: { targets: ['alpha/sim-paced'] },
    flaky: { targets: ['alpha/sim-once'] },
    breaker: { targets: ['alpha/dead-breaker', 'beta/sim-fast'] },
    fallback: { targets: ['alpha/sim-error-503', 'beta/sim-fast'] },
    dead: { targets: ['dead-alone'] },
    streams: { targets: ['alpha/sim-torn'] },
    moved: ['alpha/sim-fast'],
    risky: ['alpha/sim-fast'],
    locked: ['alpha/sim-fast'],
    careful: ['alpha/sim-fast'],
    // The target that the shipped example of an alert on shares names.
    dear: { targets: ['openai/gpt-4o'] },
    unpriced: { targets: ['beta/nobody-knows-the-price'] },
  },
  budgets: {
    careful: { only: { route: 'careful' }, usd: 1, window: 'day' },
    monthly: { only: { route: 'careful' }, usd: 100, window: 'month' },
    moving: { only: { route: 'careful' }, usd: 100, window: 'week', rolling: true },
  },
  limits: { tight: { per: 'key', only: { key: 'tight' }, requests: 2 } },
  keys: [
    { name: 'tight', key: keyOfTight },
    { name: 'red', team: 'reds', key: keyOfRed },
    { name: 'blue', team: 'blues', key: keyOfBlue },
    { name: 'admin', key: adminKey, role: 'admin' },
  ],
})

const scripts = {
  // Long enough for a client to leave in the middle of it, on a busy machine too.
  'sim-paced': { firstTokenMs: 30, tokensPerSecond: 50, tokens: 60 },
  'sim-once': { fault: { kind: 'status' as const, status: 500, times: 1 } },
  'dead-breaker': { fault: { kind: 'status' as const, status: 500, times: 6 } },
  'dead-alone': { fault: { kind: 'reset' as const } },
  'sim-torn': { tokens: 10, fault: { kind: 'cut' as const, afterTokens: 5 } },
}

/** @param change of the configuration before the start */
export async function startScene(change: (document: Document) => void = () => {}): Promise<Scene> {
  const simulator = await startSimulator({ scripts })
  const folder = mkdtempSync(join(tmpdir(), 'turnout-scene-'))
  const config = join(folder, 'turnout.yaml')
  const document = documentOf(simulator.url)
  const write = (): void => writeFileSync(config, JSON.stringify(document))
  change(document)
  write()
  const running = await run({ config, port: 0, dataDir: join(folder, 'data') })
  const { url } = running.server
  const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
  return {
    running,
    simulator,
    url,
    folder,
    chat: (model, more = {}, key = keyOfRed, headers = {}) =>
      post(
        `${url}/v1/chat/completions`,
        { model, messages: [{ role: 'user', content: 'hello' }], ...more },
        { ...bearer(key), ...headers },
      ),
    admin: (method, path, body) => send(method, `${url}/admin${path}`, body, bearer(adminKey)).done,
    scrape: async () => seriesOf((await get(`${running.turnout.scrapeUrl ?? url}/metrics`)).text),
    async rewrite(again) {
      again(document)
      write()
      await running.reload()
    },
    async close() {
      await running.stop()
      await simulator.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export function seriesOf(page: string): Map<string, number> {
  const lines = page.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}

const times = async (count: number, work: (index: number) => Promise<unknown>): Promise<void> => {
  await Promise.all(Array.from({ length: count }, (_, index) => work(index)))
}

/** By name; each may be played again and again. */
export const scenarios: Readonly<Record<string, (scene: Scene) => Promise<void>>> = {
  healthy: async (scene) => {
    await times(12, (index) =>
      scene.chat(['translated', 'healthy', 'dear', 'healthy'][index % 4]!, { stream: index % 2 === 0 }),
    )
    for (const temperature of [0, 0, 1]) await scene.chat('cached', { temperature })
  },
  'errors of clients and strangers': async (scene) => {
    await times(3, () => scene.chat('errors'))
    await scene.chat('no-such-route')
    await scene.chat('healthy', {}, 'sk-test-nobody-knows-me')
    // A parameter that Anthropic does not have.
    await scene.chat('translated', { logit_bias: { 50256: -100 } }, keyOfBlue)
  },
  'a limit is reached': (scene) => times(4, () => scene.chat('healthy', {}, keyOfTight)),
  'a budget has no room': (scene) => times(4, (index) => scene.chat('careful', { max_tokens: index * 1_000_000 + 10 })),
  'slow streams': (scene) => times(3, () => scene.chat('slow', { stream: true }, keyOfBlue)),
  retries: async (scene) => {
    scene.simulator.script('sim-once', scripts['sim-once'])
    await scene.chat('flaky')
  },
  'a breaker opens and closes': async (scene) => {
    scene.simulator.script('dead-breaker', scripts['dead-breaker'])
    for (let n = 0; n < 8; n++) await scene.chat('breaker')
    const opened = Date.now()
    while (Date.now() - opened < 60_000) {
      await scene.chat('breaker')
      const state = (await scene.scrape()).get('turnout_breaker_state{target="alpha/dead-breaker",state="closed"}')
      if (state === 1) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error('the breaker did not close again')
  },
  fallbacks: (scene) => times(4, () => scene.chat('fallback')),
  'no healthy target': (scene) => times(8, () => scene.chat('dead')),
  'broken streams': (scene) => times(3, () => scene.chat('streams', { stream: true })),
  'clients that leave': async (scene) => {
    const body = { model: 'slow', stream: true, messages: [{ role: 'user', content: 'hello' }] }
    const sent = send('POST', `${scene.url}/v1/chat/completions`, body, { authorization: `Bearer ${keyOfRed}` })
    await sent.response
    sent.request.destroy()
    await sent.done
  },
  'traffic moved by percent': async (scene) => {
    const move = (percent: number) =>
      scene.admin('PUT', '/routes/moved/canary', {
        target: 'claude/sim-fast',
        percent,
        unit: 'request',
        reason: 'rehearsal',
      })
    await move(50)
    await times(12, () => scene.chat('moved'))
    await move(0)
  },
  'a canary that fails is taken back by a guard': (scene) => sinkCanary(scene, 'risky', 'bad-canary', 'guard'),
  'a canary without a valid key is taken back by the hard rule': (scene) =>
    sinkCanary(scene, 'locked', 'keyless-canary', 'hard'),
  'unknown prices, swaps and the bypass': async (scene) => {
    await scene.chat('unpriced')
    await scene.rewrite((document) => {
      document.routes.later = ['beta/sim-fast']
    })
    await scene.rewrite((document) => {
      document.routes.later = ['nobody/nothing']
    })
    await scene.rewrite((document) => {
      delete document.routes.later
    })
    await scene.admin('POST', '/bypass', { on: true, reason: 'rehearsal' })
    await scene.chat('healthy')
    await scene.admin('POST', '/bypass', { on: false, reason: 'rehearsal is over' })
  },
}

/** Gives half of a route to a target that fails, and asks until that is taken back for the given cause. */
async function sinkCanary(scene: Scene, route: string, target: string, cause: 'guard' | 'hard'): Promise<void> {
  // Few draws of one side in a row may let another rule be the first: then again.
  for (let attempt = 0; attempt < 12; attempt++) {
    await scene.admin('POST', `/targets/${target}/reset`, { reason: 'rehearsal' })
    await scene.admin('PUT', `/routes/${route}/canary`, {
      target,
      percent: 50,
      unit: 'request',
      force: true,
      reason: 'rehearsal',
    })
    for (let asked = 0; asked < 400; asked++) {
      await scene.chat(route)
      const { text } = await scene.admin('GET', `/routes/${route}/canary`)
      const canary = JSON.parse(text)
      if (canary.phase !== 'rolled_back') continue
      if (canary.cause === cause) return
      break
    }
  }
  throw new Error(`the canary of ${route} was not taken back by ${cause}`)
}
