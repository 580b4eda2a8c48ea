// `turnout demo`: the gateway with simulated providers, ready for a curl, without keys and without leaving anything behind.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { packageFolder } from '../packageFolder.ts'
import { startSimulator } from '../simulator/server.ts'
import { portOf, stopOnSignal } from './serve.ts'

const demoKey = 'tk-demo'
const demoConfig = join(packageFolder, 'examples/demo.yaml')

export function addDemoCommand(program: Command): void {
  program
    .command('demo')
    .description('run the gateway with simulated providers: no keys needed')
    .addOption(new Option('-p, --port <number>', 'port of the gateway').argParser(portOf).default(4000))
    .option('-c, --config <file>', 'configuration to use in place of examples/demo.yaml')
    .action(async (flags: { port: number; config?: string }) => {
      const { run } = await import('./run.ts')
      const simulator = await startSimulator({ port: 0 })
      const data = mkdtempSync(join(tmpdir(), 'turnout-demo-'))
      const cleanUp = async (): Promise<void> => {
        await simulator.close()
        rmSync(data, { recursive: true, force: true })
      }
      try {
        const running = await run({
          config: flags.config ?? demoConfig,
          port: flags.port,
          dataDir: data,
          env: { SIMULATOR_URL: simulator.url, TURNOUT_MASTER_KEY: demoKey },
        })
        const routes = [...running.turnout.snapshot.routes.keys()]
        const { file } = running.turnout.snapshot.ledger
        process.stderr.write(
          welcome(running.server.url, simulator.url, flags.config ?? 'examples/demo.yaml', routes, file),
        )
        stopOnSignal(running, cleanUp)
      } catch (error) {
        await cleanUp()
        throw error
      }
    })
}

/** What it says can be pasted, so that it names a route that there is. */
function welcome(url: string, simulator: string, config: string, routes: readonly string[], ledger: string): string {
  const model = routes.find((name) => !name.includes('*')) ?? 'MODEL'
  const hubs = routes.includes('chat-claude') && routes.includes('chat-gemini')
  return `
Turnout listens on ${url} with simulated providers (${simulator}) and ${config}.
The admin key is ${demoKey}. Ctrl-C ends both.

  curl ${url}/v1/chat/completions \\
    -H 'Authorization: Bearer ${demoKey}' -H 'Content-Type: application/json' \\
    -d '{"model": "${model}", "messages": [{"role": "user", "content": "Say hello"}]}'

With the official SDK, only the base URL changes:

  import OpenAI from 'openai'
  const client = new OpenAI({ baseURL: '${url}/v1', apiKey: '${demoKey}' })
  const stream = await client.chat.completions.create({
    model: '${model}', stream: true, messages: [{ role: 'user', content: 'Say hello' }],
  })
  for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? '')
${hubs ? "\n'chat-claude' and 'chat-gemini' are answered by simulated Anthropic and Gemini servers, in their own formats.\n" : ''}
Models: curl ${url}/v1/models -H 'Authorization: Bearer ${demoKey}'    Status: ${url}/status    Metrics: ${url}/metrics
Ledger, as long as it runs: npx turnout spend --db ${ledger}

`
}
