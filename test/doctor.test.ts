// `turnout doctor` against real ports, folders and upstreams: what it finds, what it advises, and that it tells no secret.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { addDoctorCommand } from '../src/cli/doctor.ts'
import {
  checkDatabase,
  checkDataFolder,
  checkDisk,
  checkNode,
  checkPort,
  checkSecret,
  type Finding,
} from '../src/cli/doctorChecks.ts'
import { askModels } from '../src/cli/upstreamProbe.ts'
import { parseConfig } from '../src/config/load.ts'
import type { Sqlite } from '../src/store/driver.ts'
import { readHolder } from '../src/store/lock.ts'
import { openStore } from '../src/store/open.ts'
import { findQuietPort } from './support/quietPort.ts'
import { runTurnout } from './support/turnoutProcess.ts'

let folder: string
const closers: (() => Promise<unknown>)[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-doctor-'))
})
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
  rmSync(folder, { recursive: true })
  process.exitCode = undefined
})

async function listen(server: Server | ReturnType<typeof createTcpServer>): Promise<number> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  closers.push(() => {
    if ('closeAllConnections' in server) server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })
  return (server.address() as AddressInfo).port
}
const upstream = (listener: RequestListener) => listen(createServer(listener))
const answering = (status: number) => upstream((_, res) => res.writeHead(status, { location: '/x' }).end('{}'))

const key = 'sk-test-doctor-0123456789'

async function doctor(text: string, ...flags: string[]) {
  const file = join(folder, 'turnout.yaml')
  writeFileSync(file, text)
  let out = ''
  const program = new Command('turnout').exitOverride().configureOutput({ writeOut: (part) => (out += part) })
  addDoctorCommand(program)
  await program.parseAsync(['doctor', '--config', file, ...flags], { from: 'user' })
  const code = process.exitCode ?? 0
  process.exitCode = undefined
  return { out, code }
}

const config = (port: number, more = '') => `
server: { port: 0 }
dataDir: ${folder}/data
providers:
  one: { kind: openai, baseUrl: "http://127.0.0.1:${port}/v1", apiKey: ${key} }
  two: { kind: vllm, baseUrl: "http://127.0.0.1:${port}/other/v1" }
routes: { r: [one/a, two/b] }
${more}`

describe('the whole', () => {
  test('all well: one line each, exit 0, and no secret', async () => {
    const asked: string[] = []
    const port = await upstream((req, res) => {
      asked.push(`${req.method} ${req.url} ${req.headers.authorization}`)
      res.end('{"data":[]}')
    })
    const { out, code } = await doctor(config(port))
    expect(asked.sort()).toEqual([`GET /other/v1/models undefined`, `GET /v1/models Bearer ${key}`])
    const lines = out.trimEnd().split('\n')
    expect(lines.every((line) => line.startsWith('ok    '))).toBe(true)
    const checks = lines.map((line) => line.slice(6).split(':')[0])
    expect(checks).toEqual([
      'node',
      'sqlite',
      'config',
      'data folder',
      'disk',
      'database',
      'secret',
      'port',
      'key one',
      'key two',
      'upstream one',
      'upstream two',
    ])
    expect(out).not.toContain(key)
    expect(code).toBe(0)
  })

  test('an upstream that is not there fails, as JSON too', async () => {
    const { out, code } = await doctor(config(await findQuietPort()), '--json')
    const { ok, findings } = JSON.parse(out) as { ok: boolean; findings: Finding[] }
    expect(ok).toBe(false)
    expect(code).toBe(1)
    expect(findings.filter(({ state }) => state === 'fail')).toMatchObject([
      { check: 'upstream one', message: 'not reachable: ECONNREFUSED', remedy: expect.stringContaining('address') },
      { check: 'upstream two' },
    ])
    expect(out).not.toContain(key)
  })

  test('one that nothing uses only warns', async () => {
    const port = await answering(200)
    const text = config(port)
      .replace('[one/a, two/b]', '[one/a, one/b]')
      .replace(`${port}/other`, `${await findQuietPort()}/other`)
    const { out, code } = await doctor(text)
    expect(out).toMatch(/^warn {2}upstream two: not reachable/m)
    expect(code).toBe(0)
  })

  test('a line of the environment file that sets nothing', async () => {
    const env = join(folder, 'some.env')
    writeFileSync(env, `ONE_KEY: ${key}\n`)
    const { out, code } = await doctor(config(await answering(200)), '--env-file', env)
    expect(out).toContain(`warn  environment: ${env}:1:1 is no NAME=value and no comment: the line sets nothing\n`)
    expect([code, out.includes(key)]).toEqual([0, false])
  })

  test('an invalid configuration: every problem, and what needs none is checked all the same', async () => {
    const { out, code } = await doctor('providers: { ollama: }\nroutes: { a: olama/x }\nlgo: {}\n')
    expect(out).toMatch(/^ok {4}node: /m)
    expect(out.match(/^fail {2}config: .*turnout\.yaml:\d+:\d+ /gm)).toHaveLength(2)
    expect(code).toBe(1)
  })

  test('a binding that `serve` would refuse', async () => {
    const { out, code } = await doctor(config(await answering(200)).replace('port: 0', 'port: 0, host: 0.0.0.0'))
    expect(out).toMatch(/^fail {2}config: Refusing to listen on 0\.0\.0\.0 without a key/m)
    expect(code).toBe(1)
  })
})

describe('an upstream', () => {
  test.each([
    [401, 'fail', 'refuses the key'],
    [403, 'fail', 'refuses the key'],
    [302, 'fail', 'redirects'],
    [500, 'warn', 'answers HTTP 500'],
    [404, 'ok', 'reachable (HTTP 404'],
  ])('that answers %i: %s', async (status, state, words) => {
    const { out } = await doctor(config(await answering(status)))
    expect(out).toMatch(new RegExp(`^${state} +upstream one: .*${words.replace('(', '\\(')}`, 'm'))
  })

  test.each([
    [
      'gemini',
      { error: { code: 400, message: 'API key not valid. Please pass a valid API key.', status: 'INVALID_ARGUMENT' } },
    ],
    ['xai', { code: 'Client specified an invalid argument', error: 'Incorrect API key provided: sk***89.' }],
  ])('of kind %s that calls the key wrong with 400', async (kind, words) => {
    const port = await upstream((_, res) => res.writeHead(400).end(JSON.stringify(words)))
    const { out } = await doctor(config(port).replace('kind: openai', `kind: ${kind}`))
    expect(out).toMatch(/^fail +upstream one: refuses the key \(HTTP 400\).* renew providers\.one\.apiKey$/m)
    expect(out).not.toContain('sk***')
  })

  test.each([
    ['anthropic', 'GET /v1/models 2023-06-01'],
    ['openrouter', 'GET /v1/key undefined'],
  ])('of kind %s is asked what only a good key gets an answer to', async (kind, asked) => {
    const seen: string[] = []
    const port = await upstream((req, res) => {
      seen.push(`${req.method} ${req.url} ${req.headers['anthropic-version']}`)
      res.end('{}')
    })
    await doctor(config(port).replace('kind: openai', `kind: ${kind}`))
    expect(seen).toContain(asked)
  })

  const providerAt = (port: number) =>
    parseConfig(`{ providers: { vllm: { baseUrl: "http://127.0.0.1:${port}/v1" } } }`, {
      file: 'f',
      env: {},
      version: 1,
    }).snapshot.providers.get('vllm')!

  test('that accepts and never answers is given up in time', async () => {
    const port = await upstream(() => {})
    expect(await askModels(providerAt(port), 150)).toEqual({ failure: 'no answer in 150 ms' })
  })

  test('whose body never ends is not waited for', async () => {
    const port = await upstream((_, res) => void res.writeHead(200).write('{'))
    expect(await askModels(providerAt(port), 2000)).toMatchObject({ status: 200, refusesKey: false })
  })

  test('that is no HTTP server', async () => {
    const port = await listen(
      createTcpServer((socket) =>
        socket
          .on('error', () => {})
          .resume()
          .end('SSH-2.0-none\r\n'),
      ),
    )
    expect(await askModels(providerAt(port))).toEqual({ failure: 'what answers there is no HTTP server' })
  })
})

describe('the machine', () => {
  test('Node', () => {
    expect(checkNode('20.19.0').state).toBe('ok')
    expect(checkNode('24.1.0').state).toBe('ok')
    for (const old of ['20.18.3', '18.20.0'])
      expect(checkNode(old)).toMatchObject({ state: 'fail', remedy: expect.any(String) })
  })

  test('the data folder: there, to be made, or in the way of a file', () => {
    expect(checkDataFolder(folder)).toMatchObject({ state: 'ok', message: `${folder} is writable` })
    expect(checkDataFolder(join(folder, 'a', 'b')).message).toContain('will be created')
    writeFileSync(join(folder, 'file'), '')
    expect(checkDataFolder(join(folder, 'file'))).toMatchObject({ state: 'fail' })
    expect(checkDataFolder(join(folder, 'file', 'below'))).toMatchObject({ state: 'fail' })
  })

  test('room on the disk', () => {
    expect(checkDisk(folder, 1)).toMatchObject({ state: 'ok' })
    expect(checkDisk(folder, Number.MAX_SAFE_INTEGER)).toMatchObject({ state: 'fail', remedy: expect.any(String) })
  })

  test('the port: free, and taken', async () => {
    const { server } = parseConfig('{ providers: { ollama: } }', { file: 'f', env: {}, version: 1 }).snapshot
    expect(await checkPort({ server: { ...server, port: 0 } })).toMatchObject({ state: 'ok' })
    const taken = await answering(200)
    expect(await checkPort({ server: { ...server, port: taken } })).toMatchObject({
      state: 'fail',
      message: `127.0.0.1:${taken} is taken`,
    })
    const { out } = await doctor(config(taken, `metrics: { port: ${taken} }`))
    expect(out).toContain(`fail  metrics.port: 127.0.0.1:${taken} is taken`)
  })
})

describe('the database', () => {
  const openNew = () => openStore({ file: join(folder, 'data', 'turnout.db') })
  /** One that a run has left, as `change` has changed it since. */
  function found(change: (db: Sqlite) => void = () => {}): Finding {
    const store = openNew()
    change(store.db)
    store.close()
    return checkDatabase(store.file)
  }

  test('sound, to be made, or empty', () => {
    expect(checkDatabase(join(folder, 'none.db'))).toMatchObject({
      state: 'ok',
      message: expect.stringMatching(/will be created/),
    })
    expect(found()).toMatchObject({ state: 'ok', message: expect.stringMatching(/opens/) })
    writeFileSync(join(folder, 'empty.db'), '')
    expect(checkDatabase(join(folder, 'empty.db'))).toMatchObject({
      state: 'warn',
      remedy: expect.stringMatching(/backup/),
    })
  })

  test.each<[string, (db: Sqlite) => void, string, RegExp]>([
    ['newer', (db) => db.exec("INSERT INTO migration VALUES (99, '0099_new.sql', 'x', 1)"), 'fail', /is newer than/],
    ['older', (db) => db.exec('DELETE FROM migration WHERE number > 3'), 'warn', /a start upgrades it/],
    ["another program's", (db) => db.exec('DROP TABLE migration'), 'fail', /another program/],
  ])('%s', (_, change, state, message) => {
    expect(found(change)).toMatchObject({ check: 'database', state, message: expect.stringMatching(message) })
  })

  test('damaged', () => {
    const file = join(folder, 'damaged.db')
    writeFileSync(file, 'x'.repeat(8192))
    expect(checkDatabase(file)).toMatchObject({
      state: 'fail',
      message: expect.stringMatching(/not a sound SQLite database/),
    })
  })

  test('held by a gateway, whose place is left as it is', () => {
    const store = openNew()
    try {
      expect(checkDatabase(store.file)).toMatchObject({
        state: 'fail',
        message: expect.stringMatching(/already in use by process/),
      })
      expect(readHolder(store.file)?.instance).toBe(store.instance)
    } finally {
      store.close()
    }
  })

  test('its secret: there, to be made, lost, and not readable as one', () => {
    const dataDir = join(folder, 'data')
    const look = (env = {}) => checkSecret({ dataDir, ledger: { file: join(dataDir, 'turnout.db') } }, env)
    expect(look()).toMatchObject({ state: 'ok', message: expect.stringMatching(/will be created/) })
    openNew().close()
    expect(look()).toMatchObject({ state: 'warn', message: expect.stringMatching(/no virtual key opens/) })
    expect(look({ TURNOUT_SECRET: 'ab'.repeat(32) })).toMatchObject({ state: 'ok' })
    writeFileSync(join(dataDir, 'secret'), 'short')
    expect(look()).toMatchObject({ state: 'fail', message: expect.stringMatching(/64 hex digits/) })
  })
})

test('each command gives the first of several addresses the time that a far server takes', async () => {
  const look = `import net from 'node:net'
    process.on('exit', () => console.log(net.getDefaultAutoSelectFamilyAttemptTimeout()))`
  const { out } = await runTurnout(['--version'], {
    cwd: folder,
    env: { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(look)}` },
  })
  expect(Number(out.split('\n')[1])).toBe(1_250)
})
