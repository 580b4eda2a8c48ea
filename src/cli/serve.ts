// `turnout serve`: runs the gateway until it is told to stop.
import { type Command, Option } from 'commander'
import { handedSocket } from './handedSocket.ts'
import type { Running } from './run.ts'

interface ServeFlags {
  config?: string
  envFile?: string
  port?: number
  host?: string
  insecure?: boolean
}

export function addServeCommand(program: Command): void {
  program
    .command('serve')
    .description('run the gateway')
    .option(
      '-c, --config <file>',
      'configuration file (default: $TURNOUT_CONFIG, else ./turnout.yaml, else providers from the environment)',
    )
    .option('--env-file <file>', 'file of environment variables, read at start and on reload (SIGHUP)')
    .addOption(new Option('-p, --port <number>', 'port to listen on').argParser(portOf))
    .addOption(new Option('--host <address>', 'address to listen on (default: 127.0.0.1)').argParser(hostOf))
    .option('--insecure', 'listen on other addresses than loopback although no key is configured')
    .action(async (flags: ServeFlags) => {
      // Help and every other command do without the gateway's code.
      const { run } = await import('./run.ts')
      const socket = handedSocket(process.env, process.pid)
      if (socket !== undefined && (flags.host !== undefined || flags.port !== undefined))
        throw new Error('--host and --port have no meaning where the socket is handed over (LISTEN_FDS).')
      const running = await run({ ...flags, socket })
      // Before it is said that it listens: whoever waits for that may send a signal at once.
      process.on('SIGHUP', () => {
        // First: what the reload says belongs in the new file.
        running.log.reopen()
        void running.reload()
      })
      stopOnSignal(running)
      const { snapshot } = running.turnout
      const source = running.file ?? `providers from the environment (${[...snapshot.providers.keys()].join(', ')})`
      process.stderr.write(
        `Turnout listens on ${running.server.url} with ${source}. Base URL for SDKs: ${running.server.url}/v1\n`,
      )
    })
}

export function portOf(text: string): number {
  // An empty one is that of a variable that is not set, and no 0.
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new Error(`'${text}' is no port: give a number from 0 to 65535.`)
  return Number(text)
}

/** To Node an empty one, as that of a variable that is not set, is every address of the machine. */
export function hostOf(text: string): string {
  if (text.trim() === '') throw new Error('--host names no address: leave it out for 127.0.0.1.')
  return text
}

/** The first signal drains, the second ends at once. `also` is stopped after the gateway. */
export function stopOnSignal(running: Running, also?: () => Promise<void>): void {
  let stopping = false
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    if (stopping) process.exit(1)
    stopping = true
    running.log.info('stopping', { event: 'stopping', signal })
    await running.stop()
    await also?.()
    process.exit(0)
  }
  process.on('SIGTERM', (signal) => void stop(signal))
  process.on('SIGINT', (signal) => void stop(signal))
}
