// A process with two gateways in it, each of a build, with a configuration and a port of its own. SIGUSR2 makes it say what it has used and answered.
import { subscribe } from 'node:diagnostics_channel'
import type { Server } from 'node:http'
import { pathToFileURL } from 'node:url'

const [firstModule, firstConfig, secondModule, secondConfig] = process.argv.slice(2)

const start = async (module: string, config: string) => {
  const { run } = (await import(pathToFileURL(module).href)) as typeof import('../../src/cli/run.ts')
  return run({ config })
}

const answers = new Map<Server, { count: number }>()
subscribe('http.server.response.finish', (message) => {
  const { server } = message as { server: Server }
  const known = answers.get(server)
  if (known) known.count++
  else answers.set(server, { count: 1 })
})

const gateways = [await start(firstModule!, firstConfig!), await start(secondModule!, secondConfig!)]
const ports = gateways.map(({ server }) => server.port)
process.on('SIGUSR2', () => {
  const { user, system } = process.cpuUsage()
  const counts = [0, 0]
  for (const [server, { count }] of answers) {
    const address = server.address()
    if (address && typeof address === 'object') counts[ports.indexOf(address.port)] = count
  }
  // Not to the standard output: that is where the log goes.
  process.stderr.write(`used ${JSON.stringify({ micros: user + system, counts })}\n`)
})
process.on('SIGTERM', () => void Promise.all(gateways.map((one) => one.stop())).then(() => process.exit(0)))
