// A whole gateway as `turnout serve` runs it, with simulated vendors, keys of every role, and a folder of its own.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Running, run } from '../../src/cli/run.ts'
import type { Role } from '../../src/http/admin/role.ts'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.ts'
import { send } from './exchange.ts'

export const keys: Readonly<Record<Role | 'app', string>> = {
  app: 'sk-test-app-key-0123456789',
  viewer: 'sk-test-viewer-key-0123456789',
  responder: 'sk-test-responder-key-0123456789',
  operator: 'sk-test-operator-key-0123456789',
  admin: 'sk-test-admin-key-0123456789',
}

/** Secrets of providers, which nothing that is read may ever show. */
export const planted = ['sk-planted-provider-0123456789', 'planted-header-secret-0123456789']

export const document = (more = ''): string => `# the file of the test
server: { port: 0 }
log: { level: silent }
providers:
  sim:
    kind: openai
    baseUrl: \${SIMULATOR_URL}/v1
    apiKey: ${planted[0]} # the vendor's
    headers: { x-proxy-key: ${planted[1]} }
  other: { kind: openai-compatible, baseUrl: "\${SIMULATOR_URL}/v1" }
targets:
  small: { provider: sim, model: sim-fast, breaker: { failures: 2 } }
routes:
  chat: [sim/sim-text, small]
  single: other/sim-text
keys:
${Object.entries(keys)
  .map(([role, key]) => `  - { name: ${role}, key: ${key}, role: ${role} }\n`)
  .join('')}${more}`

// biome-ignore lint/suspicious/noExplicitAny: tests look into replies freely
export type Reply = { status: number; headers: Record<string, any>; body: any; text: string }

export interface ControlGateway {
  readonly folder: string
  readonly file: string
  readonly url: string
  readonly running: Running
  readonly simulator: Simulator
  /** Calls the admin API; a body that is text is sent as it is. */
  ask(
    method: string,
    path: string,
    body?: unknown,
    who?: Role | 'app',
    headers?: Record<string, string>,
  ): Promise<Reply>
  chat(model: string, headers?: Record<string, string>): Promise<Reply>
  /** `stopped`: it has been stopped already. */
  restart(stopped?: boolean): Promise<void>
  close(): Promise<void>
}

export async function startControl(
  options: { text?: string; env?: Record<string, string>; simulator?: SimulatorOptions; random?: () => number } = {},
): Promise<ControlGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-control-'))
  const file = join(folder, 'turnout.yaml')
  writeFileSync(file, options.text ?? document())
  const simulator = await startSimulator(options.simulator)
  const start = (): Promise<Running> =>
    run({
      config: file,
      dataDir: join(folder, 'data'),
      random: options.random,
      env: { SIMULATOR_URL: simulator.url, ...options.env },
    })
  let running = await start()
  const exchange = async (
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string>,
  ): Promise<Reply> => {
    const { status, headers: got, text } = await send(method, running.server.url + path, body, headers).done
    return { status, headers: got, text, body: text === '' ? null : JSON.parse(text) }
  }
  return {
    folder,
    file,
    get url() {
      return running.server.url
    },
    get running() {
      return running
    },
    simulator,
    ask: (method, path, body, who = 'admin', headers = {}) =>
      exchange(method, `/admin${path}`, body, { authorization: `Bearer ${keys[who]}`, ...headers }),
    chat: (model, headers = {}) =>
      exchange(
        'POST',
        '/v1/chat/completions',
        { model, messages: [{ role: 'user', content: 'Say hello' }] },
        { authorization: `Bearer ${keys.app}`, ...headers },
      ),
    async restart(stopped = false) {
      if (!stopped) await running.stop()
      running = await start()
    },
    async close() {
      await running.stop()
      await simulator.close()
      rmSync(folder, { recursive: true })
    },
  }
}
