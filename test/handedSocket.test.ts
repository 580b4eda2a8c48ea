// A port that outlives the process: what systemd hands over is served, and between two processes connections wait.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { handedSocket } from '../src/cli/handedSocket.ts'
import { parseConfig } from '../src/config/load.ts'
import { listen } from '../src/http/server.ts'
import { ask, CHAT, reply } from './support/chatBodies.ts'
import { buildTurnout } from './support/crash/build.ts'
import { post } from './support/exchange.ts'
import { type FakeUpstream, sendJson, startFakeUpstream } from './support/fakeUpstream.ts'
import { endTurnout, said } from './support/turnoutProcess.ts'

it('takes the one socket that was handed to this process', () => {
  expect(handedSocket({ LISTEN_PID: '7', LISTEN_FDS: '1' }, 7)).toBe(3)
  expect(handedSocket({ LISTEN_PID: '8', LISTEN_FDS: '1' }, 7)).toBeUndefined()
  expect(handedSocket({}, 7)).toBeUndefined()
  expect(() => handedSocket({ LISTEN_PID: '7', LISTEN_FDS: '2' }, 7)).toThrow('2 sockets were handed over')
})

it('says so where what was handed over is no socket of TCP', async () => {
  const { server: settings } = parseConfig('{"providers": {"ollama": null}}', { env: {}, version: 1 }).snapshot
  const folder = mkdtempSync(join(tmpdir(), 'turnout-handed-'))
  const file = openSync(join(folder, 'file'), 'w')
  await expect(listen(() => {}, settings, file)).rejects.toThrow(
    'What was handed over is no TCP socket to listen on: a `ListenStream=` of systemd with a port is one. (listen EINVAL',
  )
  closeSync(file)
  rmSync(folder, { recursive: true })
})

describe('a socket that is bound before the gateway starts', () => {
  /** Bound and not listened on: Node's own servers would take the connections that are the gateway's. */
  interface Bound {
    readonly fd: number
    bind(address: string, port: number): number
    getsockname(out: { port?: number }): number
    close(): void
  }
  let bound: Bound
  let url: string
  let vendor: FakeUpstream
  let folder: string
  const children: ChildProcess[] = []
  beforeAll(async () => {
    // biome-ignore lint/suspicious/noExplicitAny: no public way leads to a socket that is bound alone
    const { TCP, constants } = (process as any).binding('tcp_wrap')
    bound = new TCP(constants.SERVER)
    expect(bound.bind('127.0.0.1', 0)).toBe(0)
    const out: { port?: number } = {}
    bound.getsockname(out)
    url = `http://127.0.0.1:${out.port}`
    vendor = await startFakeUpstream((_, res) => sendJson(res, 200, reply('over')))
    folder = mkdtempSync(join(tmpdir(), 'turnout-handed-'))
  })
  afterEach(() => Promise.all(children.splice(0).map((child) => endTurnout(child, 'SIGKILL'))))
  afterAll(async () => {
    bound.close()
    await vendor.close()
    rmSync(folder, { recursive: true })
  })

  /** The shell stands for systemd, which names the process that it becomes. */
  function start(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
    const script = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'
    const child = spawn('sh', ['-c', script, 'sh', process.execPath, buildTurnout().main, 'serve', ...args], {
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        OPENAI_API_KEY: 'sk-test-openai-0123456789',
        OPENAI_BASE_URL: `${vendor.url}/v1`,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe', bound.fd],
    })
    children.push(child)
    return child
  }
  const secret = 'sk-test-master-0123456789'
  const question = () => post(url + CHAT, ask('openai/gpt-5'), { authorization: `Bearer ${secret}` })

  it('is served, and what comes while no process is there is served by the next one', async () => {
    const first = start([], { TURNOUT_MASTER_KEY: secret })
    const logged = said(first, 'stdout', /"event":"listening"[^}]*/)
    expect(await said(first, 'stderr', /listens on \S+ /)).toContain(url)
    expect(await logged).toContain('"host":"127.0.0.1"')
    expect((await question()).status).toBe(200)
    expect(await endTurnout(first)).toBe(0)
    const waiting = question()
    start([], { TURNOUT_MASTER_KEY: secret })
    expect((await waiting).status).toBe(200)
  })

  it('is not served without a key, since nobody knows who reaches it, nor with another address', async () => {
    const ended = async (child: ChildProcess): Promise<string> => {
      const [text] = await Promise.all([buffer(child.stderr!), once(child, 'exit')])
      return String(text)
    }
    expect(await ended(start([]))).toMatch(
      /^Refusing to listen on a socket that was handed over without a key: .* Set TURNOUT_MASTER_KEY or `keys`, or pass/,
    )
    expect(await ended(start(['--port', '4000']))).toContain('--host and --port have no meaning')
  })
})
