// The command `turnout simulate`: a fake vendor on loopback, to rehearse models, tools and failures without a key.
import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError } from 'commander'
import { parse } from 'yaml'
import { parseScripts, type Script, ScriptError, startSimulator } from '../simulator/index.ts'

interface Options {
  port: number
  host: string
  seed: number
  scripts?: string
}

/** Adds `simulate` to a program. The command runs until SIGINT or SIGTERM; bad scripts and a taken port end it with 1. */
export function addSimulateCommand(program: Command): void {
  program
    .command('simulate')
    .description(
      'run a fake vendor that speaks the formats of OpenAI, Anthropic and Google, keeps to scripts and fails on demand',
    )
    .option('--port <number>', 'port to listen on, 0 for any free one', wholeNumber, 4010)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--seed <number>', 'the same seed and request give the same reply', wholeNumber, 1)
    .option('--scripts <file>', 'YAML mapping of model names to scripts')
    .action(simulate)
}

async function simulate(options: Options): Promise<void> {
  const { port, host, seed } = options
  try {
    const scripts = options.scripts === undefined ? {} : readScripts(options.scripts)
    const simulator = await startSimulator({ port, host, seed, scripts })
    console.log(
      `Simulator listens on ${simulator.url} (OpenAI base URL: ${simulator.baseUrl}; Anthropic and Gemini: the address alone)`,
    )
    console.log(`Models: ${simulator.models.join(', ')}`)
    console.log('Any other model name simply answers. Scripts and counts: GET /__sim, /__sim/stats, /__sim/calls')
    const stop = () => {
      process.off('SIGINT', stop)
      process.off('SIGTERM', stop)
      void simulator.close()
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
  } catch (error) {
    console.error(`turnout simulate: ${explain(error, options)}`)
    process.exitCode = 1
  }
}

/** Throws `ScriptError` with all errors of the file at once. */
function readScripts(file: string): Record<string, Script> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ScriptError(`cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`)
  }
  let value: unknown
  try {
    value = parse(text)
  } catch (error) {
    throw new ScriptError(`${file} is not YAML: ${(error as Error).message}`)
  }
  return parseScripts(value ?? {})
}

function explain(error: unknown, { port, host }: Options): string {
  if (error instanceof ScriptError) return error.message
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') return `port ${port} on ${host} is taken; choose another with --port`
  if (code === 'EACCES') return `may not listen on port ${port}; choose one above 1023 with --port`
  return (error as Error).message
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('expected a whole number')
  return Number(text)
}
