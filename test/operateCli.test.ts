// The commands that operate a gateway, as real processes: against a running one, and against its database when it is down.
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openConfigVersions } from '../src/store/configVersions.ts'
import { openStore } from '../src/store/open.ts'
import { type ControlGateway, document, keys, planted, startControl } from './support/control.ts'
import { type Ran, runTurnout } from './support/turnoutProcess.ts'

let gateway: ControlGateway
beforeAll(async () => {
  gateway = await startControl()
})
afterAll(() => gateway.close())

const operate = (args: string[], key: string = keys.admin): Promise<Ran> =>
  runTurnout(args, { cwd: gateway.folder, env: { TURNOUT_URL: gateway.url, TURNOUT_MASTER_KEY: key } })
const offline = (args: string[]): Promise<Ran> =>
  runTurnout([...args, '--config', gateway.file, '--db', join(gateway.folder, 'data', 'turnout.db')], {
    cwd: gateway.folder,
    env: { SIMULATOR_URL: gateway.simulator.url },
  })
const done = async (ran: Promise<Ran>): Promise<string> => {
  const { code, out, err } = await ran
  expect(code, err).toBe(0)
  return out
}
const slow = { timeout: 300_000 }

describe('against a running gateway', () => {
  it('models, swap, health and bypass', slow, async () => {
    expect(await done(operate(['models']))).toMatch(/^route +first +then\nchat +sim\/sim-text +small\n/)
    expect(await done(operate(['swap', 'chat', 'other/sim-fast']))).toContain(
      'chat: other/sim-fast, sim/sim-text, small (until the next restart)\n',
    )
    expect(JSON.parse(await done(operate(['models', '--json']))).temporary_primaries).toEqual({
      chat: 'other/sim-fast',
    })
    expect(await done(operate(['swap', 'single', 'small', '--persist']))).toContain('(until the file changes)')
    // Tried first, and then kept.
    expect(await done(operate(['swap', 'chat', 'other/sim-fast', '--persist']))).toContain(
      'chat: other/sim-fast, sim/sim-text, small (until the file changes)\n',
    )
    expect(await done(operate(['health']))).toMatch(
      /^target +breaker +until +reason +last fault +latency\nsmall +closed/,
    )
    expect(await done(operate(['bypass', 'on', '--reason', 'incident 7']))).toBe('bypass is on\n')
    expect(gateway.running.live.state().bypass).toMatchObject({ reason: 'incident 7', actor: 'admin' })
    expect(await done(operate(['bypass', 'off']))).toBe('bypass is off\n')
  })

  it('history, diff and rollback', slow, async () => {
    const { version } = gateway.running.live.snapshot
    await gateway.ask('PUT', '/config', { document: document('directModels: true\n') }, 'admin', { 'if-match': '*' })
    const history = await done(operate(['config', 'history', '-n', '1']))
    expect(history).toMatch(/^version +since +hash +source +actor +what\n/)
    expect(history).toMatch(new RegExp(`\\n${version + 1} +20`))
    expect(await done(operate(['config', 'diff']))).toContain('directModels\n  + true\n')
    expect(await done(operate(['config', 'rollback', String(version)]))).toBe(
      `version ${version + 2} is version ${version} again\n`,
    )
    expect(gateway.running.live.snapshot.directModels).toBe(false)
  })

  it('says no where the gateway does: too little a role, an unknown route, no gateway', slow, async () => {
    const [role, route, nobody, noKey, noUrl, torn] = await Promise.all([
      operate(['swap', 'chat', 'small'], keys.viewer),
      operate(['swap', 'caht', 'small']),
      operate(['models', '--url', 'http://127.0.0.1:1']),
      runTurnout(['models'], { cwd: gateway.folder }),
      operate(['models', '--url', 'localhost:4000']),
      operate(['models'], `${keys.viewer} x`),
    ])
    expect([noUrl!.code, noUrl!.err]).toEqual([1, expect.stringContaining("'localhost:4000' is no URL")])
    expect([torn!.code, torn!.err]).toEqual([1, expect.stringContaining('The key holds a space, a line break')])
    expect([role!.code, role!.err]).toEqual([1, "This needs the role 'operator'; the key has 'viewer'.\n"])
    expect([route!.code, route!.err]).toEqual([1, "There is no route 'caht'. Did you mean 'chat'?\n"])
    expect([nobody!.code, nobody!.err]).toEqual([
      1,
      'The gateway at http://127.0.0.1:1 cannot be reached: ECONNREFUSED.\n',
    ])
    expect([noKey!.code, noKey!.err]).toEqual([1, expect.stringContaining('needs a key')])
  })
})

describe('against a server that is not Turnout', () => {
  const answers: [what: string, status: number, body: string][] = [
    ['an object', 200, '{"status":"ok"}'],
    ['a list', 200, '[]'],
    ['nothing', 200, 'null'],
    ['a page', 200, '<html></html>'],
    ['an error of another shape', 404, '{"error":{"message":{}}}'],
  ]

  it.each(answers)('every command says so, and none that anything was done: %s', slow, async (_, status, body) => {
    const server = createServer((req, res) => {
      req.resume()
      res.writeHead(status, { 'content-type': 'application/json' }).end(body)
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    try {
      for (const args of [
        ['models'],
        ['bypass', 'on'],
        ['keys', 'create', 'app', '--json'],
        ['rollout', 'status', 'x'],
      ])
        expect(await operate([...args, '--url', url]), args.join(' ')).toEqual({
          code: args[0] === 'rollout' ? 4 : 1,
          out: '',
          err: `${url} answered ${status}, which is not Turnout's admin API.\n`,
        })
    } finally {
      server.close()
    }
  })
})

it('a server that speaks no HTTP is named', slow, async () => {
  const server = createTcpServer((socket) => void socket.on('error', () => {}).end('SSH-2.0-x\r\n'))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    const { code, err } = await operate(['models', '--url', url])
    expect([code, err]).toEqual([1, expect.stringContaining(`The gateway at ${url} cannot be reached: `)])
  } finally {
    server.close()
  }
})

describe('against the database', () => {
  it(
    'of the command line, whatever the environment says of a gateway: a copy is not the one that serves',
    slow,
    async () => {
      const copy = join(gateway.folder, 'copy.db')
      expect((await offline(['backup', copy])).code).toBe(0)
      const { version } = gateway.running.live.snapshot
      const there = ['--config', gateway.file, '--db', copy]
      const env = { TURNOUT_URL: gateway.url, SIMULATOR_URL: gateway.simulator.url }
      const back = await runTurnout(['config', 'rollback', '1', ...there], { cwd: gateway.folder, env })
      expect([back.code, back.err]).toEqual([0, ''])
      expect(gateway.running.live.snapshot.version).toBe(version)
      const both = await operate(['config', 'history', ...there, '--url', gateway.url])
      expect([both.code, both.err]).toEqual([
        1,
        '--url asks a gateway, --db looks into a database: give one of them.\n',
      ])
    },
  )

  it('history and diff work beside the gateway, without secrets; rollback tells to ask the gateway', slow, async () => {
    const [history, diff, rollback] = await Promise.all([
      done(offline(['config', 'history', '--json'])),
      done(offline(['config', 'diff', '1', '2'])),
      offline(['config', 'rollback', '1']),
    ])
    expect(JSON.parse(history!)[0].version).toBe(gateway.running.live.snapshot.version)
    expect(diff).toContain('routes.chat')
    for (const secret of planted) expect(history! + diff!).not.toContain(secret)
    expect(rollback!.code).toBe(1)
    expect(rollback!.err).toContain('--url')
  })

  it('diff says so where there is nothing to compare with', slow, async () => {
    const file = join(gateway.folder, 'young.db')
    const store = openStore({ file })
    const diff = () => runTurnout(['config', 'diff', '--db', file], { cwd: gateway.folder })
    expect(await diff()).toMatchObject({ code: 1, err: 'There is no version yet.\n' })
    const line = { at: 1, hash: 'x', source: 'file', actor: 'start', note: '' } as const
    await openConfigVersions(store).save({ ...line, number: 1, document: '{}' }, undefined)
    store.close()
    expect(await diff()).toMatchObject({ code: 1, err: 'There is one version so far: no other to compare it with.\n' })
  })

  it('rollback makes no database where there is none', slow, async () => {
    const file = join(gateway.folder, 'mistyped.db')
    const place = { cwd: gateway.folder, env: { SIMULATOR_URL: gateway.simulator.url } }
    const ran = await runTurnout(['config', 'rollback', '1', '--config', gateway.file, '--db', file], place)
    expect(ran).toMatchObject({ code: 1, out: '', err: `There is no database at ${file}.\n` })
    expect(existsSync(file)).toBe(false)
  })

  it('rollback without a gateway: the next one serves that version', slow, async () => {
    const { version } = gateway.running.live.snapshot
    await gateway.running.stop()
    try {
      expect(await done(offline(['config', 'rollback', '2']))).toBe(`version ${version + 1} is version 2 again\n`)
      expect((await offline(['config', 'rollback', '9999'])).err).toContain('There is no version 9999')
    } finally {
      await gateway.restart(true)
    }
    expect(gateway.running.live.snapshot.version).toBe(version + 1)
    expect(gateway.running.live.snapshot.routes.get('chat')!.targets[0]!.id).toBe('other/sim-fast')
    expect(gateway.running.audit.list(1)).toMatchObject([{ actor: 'command line', verb: 'rollback' }])
  })
})
