// The image, without Docker: the Dockerfile is read, its commands' equivalents are run, and the result is started as the image would be.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import {
  environmentOf,
  execForm,
  ignoredBy,
  parseCopy,
  parseDockerfile,
  type Stage,
  valuesOf,
} from './support/dockerfile.ts'
import { findQuietPort } from './support/quietPort.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const stages = parseDockerfile(readFileSync(join(root, 'Dockerfile'), 'utf8'))
const final = stages.at(-1) as Stage
const environment = environmentOf(final)
const ignored = ignoredBy(readFileSync(join(root, '.dockerignore'), 'utf8'))
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock
const command = [...execForm(valuesOf(final, 'ENTRYPOINT').at(-1)!), ...execForm(valuesOf(final, 'CMD').at(-1)!)]
const healthCheck = execForm(/ CMD (\[.*\])$/.exec(valuesOf(final, 'HEALTHCHECK').at(-1)!)![1]!)

interface Lock {
  packages: Record<string, { dev?: boolean }>
}

describe('the Dockerfile, read', () => {
  it('copies what exists and what .dockerignore lets in', () => {
    const sources = stages.flatMap((stage) => valuesOf(stage, 'COPY').map(parseCopy)).filter(({ from }) => !from)
    const paths = sources.flatMap((copy) => copy.sources)
    expect(paths).toContain('src')
    expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([])
    expect(paths.filter((path) => ignored(path) || ignored(`${path}/any.ts`))).toEqual([])
  })

  it('lets no secret, database, dependency or repository in', () => {
    const never = [
      '.env',
      '.env.local',
      'turnout.yaml',
      'data/turnout.db',
      'node_modules/zod/package.json',
      '.git/config',
    ]
    expect(never.filter((path) => !ignored(path))).toEqual([])
    expect(['dist/bin/turnout.js', 'test/docker.test.ts', 'bench/main.ts'].filter((path) => !ignored(path))).toEqual([])
  })

  it('ends in a slim image that runs as somebody, on Node 22, without what it was built with', () => {
    expect(stages).toHaveLength(2)
    for (const { base } of stages) expect(base).toMatch(/^node:22-bookworm-slim$/)
    expect(valuesOf(final, 'USER').at(-1)).toMatch(/^[1-9]\d*:[1-9]\d*$/)
    expect(valuesOf(final, 'RUN').join()).not.toMatch(/apt|npm/)
  })

  it('exposes its port, keeps its data in a volume, and lets signals through to node', () => {
    expect(environment).toMatchObject({
      NODE_ENV: 'production',
      HOST: '0.0.0.0',
      PORT: '4000',
      TURNOUT_DATA_DIR: '/data',
    })
    expect(valuesOf(final, 'EXPOSE')).toEqual([environment.PORT])
    expect(valuesOf(final, 'VOLUME')).toEqual([environment.TURNOUT_DATA_DIR])
    expect(valuesOf(final, 'RUN')).toContain('mkdir /data && chown 1000:1000 /data')
    expect(command).toEqual([
      'node',
      '--max-semi-space-size=64',
      '--min-semi-space-size=32',
      '--no-allocation-site-pretenuring',
      // What follows is not for Node, which would read the file of `--env-file` first: a pipe would be empty then.
      '--',
      'dist/bin/turnout.js',
      'serve',
    ])
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    expect(scripts.start.split(' ')).toEqual(command)
    const [firstLine] = readFileSync(join(root, 'src/cli/main.ts'), 'utf8').split('\n')
    expect(firstLine).toBe(`#!/usr/bin/env -S ${command.slice(0, 5).join(' ')}`)
    expect(healthCheck[0]).toBe('node')
  })
})

describe('the image, as it would be', () => {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-image-'))
  const children: ChildProcess[] = []
  let image: string
  let simulator: Simulator

  beforeAll(async () => {
    for (const [i, stage] of stages.entries()) await build(stage, i)
    image = join(folder, String(stages.length - 1), 'app')
    simulator = await startSimulator({ scripts: { lasting: { tokens: 40, tokensPerSecond: 40 } } })
  }, 300_000)
  afterEach(() => {
    for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL')
  })
  afterAll(async () => {
    await simulator?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it('holds the program and what it needs to run, and neither sources nor tools', () => {
    expect(readdirSync(image).sort()).toEqual(
      [
        'LICENSE',
        'README.md',
        'config.schema.json',
        'dist',
        'examples',
        'migrations',
        'node_modules',
        'package.json',
      ].sort(),
    )
    expect(readdirSync(join(image, 'node_modules'))).not.toContain('typescript')
  })

  it('serves, is healthy, writes only to its volume, and stops on SIGTERM with 0', { timeout: 300_000 }, async () => {
    const env = await makeEnvironment()
    const before = readdirSync(image, { recursive: true }).length
    expect(await runHealthCheck(env)).toBe(1)
    const server = await serve(env)
    // It gives up after seconds, which a busy machine may need: an orchestrator asks again, too.
    await expect.poll(() => runHealthCheck(env)).toBe(0)

    const base = `http://127.0.0.1:${env.PORT}`
    expect((await fetch(`${base}/v1/models`)).status).toBe(401)
    const reply = await ask(env, { model: 'openai/sim-fast', messages: [{ role: 'user', content: 'Hello' }] })
    expect(reply.status).toBe(200)
    expect(await reply.json()).toMatchObject({ choices: [{ finish_reason: 'stop' }] })
    expect(existsSync(join(env.TURNOUT_DATA_DIR!, 'turnout.db'))).toBe(true)
    // What only threads do: tokens are counted where a vendor tells none, and the ledger is read.
    await (await ask(env, { model: 'openai/sim-usage-never', messages: [{ role: 'user', content: 'Hello' }] })).text()
    const authorization = `Bearer ${env.TURNOUT_MASTER_KEY}`
    const page = await fetch(`${base}/admin/requests`, { headers: { authorization } })
    const rows = (await page.json()) as { data: { tokens_out: number }[] }
    expect(rows).toMatchObject({ data: [{ estimated: true, tokens_out: expect.any(Number) }, { estimated: false }] })
    expect(rows.data[0]!.tokens_out).toBeGreaterThan(0)
    expect(readdirSync(image, { recursive: true }).length).toBe(before)

    expect(await stop(server)).toEqual([0, null])
    expect(await runHealthCheck(env)).toBe(1)
  })

  it('finishes what runs before it stops', { timeout: 300_000 }, async () => {
    const env = await makeEnvironment()
    const server = await serve(env)
    const messages = [{ role: 'user', content: 'Hello' }]
    const reply = await ask(env, { model: 'openai/lasting', messages, stream: true })
    const stopped = stop(server)
    expect(await reply.text()).toMatch(/data: \[DONE\]\n\n$/)
    expect(await stopped).toEqual([0, null])
  })

  it('has the demo in it', { timeout: 300_000 }, async () => {
    const { TURNOUT_MASTER_KEY: _, PORT, ...env } = await makeEnvironment()
    // Its key is known to everybody: it listens on no other address.
    const server = await serve({ ...env, HOST: '127.0.0.1' }, [...command.slice(0, -1), 'demo', '--port', PORT!])
    const messages = [{ role: 'user', content: 'Hello' }]
    const reply = await ask({ PORT: PORT!, TURNOUT_MASTER_KEY: 'tk-demo' }, { model: 'chat-default', messages })
    expect(reply.status).toBe(200)
    expect(await stop(server)).toEqual([0, null])
  })

  it('does not start without a key: it would serve everybody', { timeout: 300_000 }, async () => {
    const { TURNOUT_MASTER_KEY: _, ...env } = await makeEnvironment()
    const child = start(command, env)
    const [text, [code]] = await Promise.all([readAll(child.stderr!), once(child, 'exit')])
    expect(code).toBe(1)
    expect(text).toMatch(/without a key.*TURNOUT_MASTER_KEY/s)
  })

  /** Carries out one stage in a folder of its own, `app` in it for `/app`. */
  async function build(stage: Stage, index: number): Promise<void> {
    const at = (path: string, of = index) => join(folder, String(of), path)
    let workdir = '/'
    for (const { name, value } of stage.instructions) {
      if (name === 'WORKDIR') {
        workdir = value
        mkdirSync(at(workdir), { recursive: true })
      }
      if (name === 'COPY') {
        const { from, sources, target } = parseCopy(value)
        const other = stages.findIndex((stage) => stage.name === from)
        for (const source of sources) {
          const path = from === undefined ? join(root, source) : at(source, other)
          copy(path, at(resolve(workdir, target)), target.endsWith('/') || sources.length > 1, from === undefined)
        }
      }
      if (name === 'RUN') for (const step of value.split(/\s*&&\s*/)) await runStep(step, at(workdir))
    }
  }

  /** A folder's content goes into the target, a file into it or in its place. */
  function copy(source: string, target: string, into: boolean, context: boolean): void {
    const file = statSync(source).isFile()
    const filter = (path: string) => !context || !ignored(relative(root, path))
    cpSync(source, file && into ? join(target, basename(source)) : target, { recursive: true, filter })
  }

  /** What stands for each command of the Dockerfile. One that is not known here fails the build, so that none goes untested. */
  async function runStep(step: string, cwd: string): Promise<void> {
    const modules = join(cwd, 'node_modules')
    switch (step) {
      case 'npm ci':
        // Installed they are here already; what can go wrong is that the lockfile does not fit.
        await npm(['ci', '--dry-run', '--offline', '--ignore-scripts'], cwd)
        symlinkSync(join(root, 'node_modules'), modules)
        return
      case 'npm run build':
        await npm(['run', 'build'], cwd)
        return
      case 'npm prune --omit=dev':
        unlinkSync(modules)
        for (const [path, { dev }] of Object.entries(lock.packages)) {
          if (dev || !/^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) || !existsSync(join(root, path))) continue
          mkdirSync(dirname(join(cwd, path)), { recursive: true })
          symlinkSync(join(root, path), join(cwd, path))
        }
        return
      case 'apt-get update':
      case 'apt-get install -y --no-install-recommends python3 make g++':
      case 'rm -rf /var/lib/apt/lists/*':
      case 'mkdir /data':
      case 'chown 1000:1000 /data':
        return
      default:
        throw new Error(`the Dockerfile runs what this test does not know: ${step}`)
    }
  }

  async function npm(args: string[], cwd: string): Promise<void> {
    const child = spawn('npm', args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    const [output, errors, [code]] = await Promise.all([
      readAll(child.stdout),
      readAll(child.stderr),
      once(child, 'exit'),
    ])
    if (code !== 0) throw new Error(`npm ${args.join(' ')} ended with ${code}:\n${output}${errors}`)
  }

  /** The image's own, but for the two things that a test may not have: port 4000 and `/data`. */
  async function makeEnvironment(): Promise<Record<string, string>> {
    return {
      ...environment,
      PORT: String(await findQuietPort()),
      TURNOUT_DATA_DIR: mkdtempSync(join(folder, 'data-')),
      TURNOUT_MASTER_KEY: 'tk-test-container-0123456789',
      OPENAI_API_KEY: 'sk-test-container-0123456789',
      OPENAI_BASE_URL: simulator.baseUrl,
    }
  }

  function start([program, ...args]: string[], env: Record<string, string>): ChildProcess {
    expect(program).toBe('node')
    const child = spawn(process.execPath, args, { cwd: image, env, stdio: ['ignore', 'ignore', 'pipe'] })
    children.push(child)
    return child
  }

  async function serve(env: Record<string, string>, words = command): Promise<ChildProcess> {
    const child = start(words, env)
    let said = ''
    await new Promise<void>((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`it ended with ${code}: ${said}`)))
      child.stderr!.on('data', (bytes) => {
        said += bytes
        if (said.includes('Turnout listens on')) resolve()
      })
    })
    return child
  }

  /** Exit code and signal. */
  async function stop(child: ChildProcess): Promise<unknown[]> {
    const exited = once(child, 'exit', { signal: AbortSignal.timeout(120_000) })
    child.kill('SIGTERM')
    return exited
  }

  async function runHealthCheck(env: Record<string, string>): Promise<unknown> {
    const [code] = await once(start(healthCheck, env), 'exit')
    return code
  }

  function ask(env: Record<string, string>, body: unknown): Promise<Response> {
    return fetch(`http://127.0.0.1:${env.PORT}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${env.TURNOUT_MASTER_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  }
})
