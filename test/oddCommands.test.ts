// What operators mistype, on the command line and over HTTP: nothing is done, and it is told in words that say what to write instead.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { percentOf } from '../src/cli/commandFlags.ts'
import { bodyOf } from '../src/cli/keyFlags.ts'
import { hostOf, portOf } from '../src/cli/serve.ts'
import { makeBatchWriter } from '../src/store/batch.ts'
import { firstIdOf, idsPerRequest } from '../src/store/ledgerId.ts'
import { openStore } from '../src/store/open.ts'
import { keys } from './support/control.ts'
import { buildTurnout } from './support/crash/build.ts'
import { requestRow } from './support/ledgerRows.ts'
import { calm, type RolloutGateway, startRollout } from './support/rolloutLoad.ts'
import { type Place, type Ran, runTurnout, startTurnout } from './support/turnoutProcess.ts'

let gateway: RolloutGateway
beforeAll(async () => {
  gateway = await startRollout(
    `    assign: { unit: request }\n${calm}    steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]\n`,
  )
}, 300_000)
afterAll(() => gateway?.close())

const place = (): Place => ({
  cwd: gateway.folder,
  env: { TURNOUT_URL: gateway.url, TURNOUT_MASTER_KEY: keys.admin },
})
const turnout = (...args: string[]): Promise<Ran> => runTurnout(args, place())
const canary = async (route = 'chat') => (await gateway.ask('GET', `/routes/${route}/canary`)).body
const change = (body: object) => gateway.ask('PUT', '/routes/chat/canary', body, 'admin')

it('where to listen is not taken from a variable that is empty', () => {
  expect([portOf('0'), portOf('65535'), hostOf('::')]).toEqual([0, 65_535, '::'])
  for (const text of ['', ' ', '1e3', '65536', '-1', '0x10']) expect(() => portOf(text)).toThrow(/is no port/)
  for (const text of ['', ' ']) expect(() => hostOf(text)).toThrow(/names no address/)
})

describe('`turnout canary`', () => {
  it('does nothing to all where one route is named, and changes nothing where no percentage is', async () => {
    const target = ['--target', 'sim/sim-fast']
    expect((await turnout('canary', 'chat', '5%', ...target)).out).toMatch(/^chat: 5 % to sim\/sim-fast \(stepping/)
    for (const args of [
      ['--all', '0', 'single'],
      ['--all', '0', '--target', 'sim/sim-text'],
      ['chat', '--target', 'sim/sim-text'],
      ['chat', '--idempotency-key', 'k'],
      ['--if-revision', '4'],
    ]) {
      const { code, out, err } = await turnout('canary', ...args)
      expect([code, out], args.join(' ')).toEqual([1, ''])
      expect(err, args.join(' ')).toMatch(
        /^--[a-z-]+ is for (?:everything that runs: leave out|a change: give a route)/,
      )
    }
    expect(await canary()).toMatchObject({ percent: 5, target: ['sim/sim-fast'] })
  }, 300_000)

  it('takes no dots and no empty text for a name: they would be a part of the address', async () => {
    for (const name of ['..', '.', ''])
      for (const args of [
        ['canary', name, '0'],
        ['rollout', 'abort', name],
      ])
        expect(await turnout(...args), args.join(' ')).toEqual({ code: 1, out: '', err: `'${name}' is no name.\n` })
    expect(await canary()).toMatchObject({ phase: 'stepping', percent: 5 })
  }, 300_000)

  it('says of one that is over what it is, and not why it moves nothing', async () => {
    const stopped = await turnout('canary', 'chat', '0')
    expect(stopped.out).toBe('chat: 0 % to sim/sim-fast (stopped: by command line)\n')
    expect((await canary()).idle).toBeNull()
    expect((await gateway.get('/rollouts/move')).idle).toBeNull()
  }, 300_000)

  it('and `set-weight` take a percentage as people write one, and nothing that is to be guessed', async () => {
    for (const [text, percent] of [
      ['5', 5],
      ['5%', 5],
      ['0.5 %', 0.5],
      ['100', 100],
      ['0', 0],
    ] as const)
      expect(percentOf(text), text).toBe(percent)
    for (const text of ['0x10', '1e1', '-1', '101', '', '%', 'five', '5 5', '5%%', 'NaN'])
      expect(() => percentOf(text), text).toThrow(`'${text}' is no percentage: give a number from 0 to 100.`)
    const { code, err } = await turnout('rollout', 'set-weight', 'move', '0x10')
    expect([code, err]).toEqual([1, expect.stringContaining("'0x10' is no percentage: give a number from 0 to 100.")])
  }, 300_000)
})

describe('`turnout rollout`', () => {
  it('status exits with 4 where it was asked wrongly: 1 would say that it was rolled back', async () => {
    for (const args of [
      [],
      ['move', '--timeout', 'soon'],
      ['move', '--timeout', '-1'],
      ['move', '--wait'],
      ['move', 'two'],
    ]) {
      const { code, out } = await turnout('rollout', 'status', ...args)
      expect([code, out], args.join(' ')).toEqual([4, ''])
    }
    expect((await turnout('rollout', 'status', '--help')).code).toBe(0)
    expect((await turnout('rollout', 'status', 'move', '--timeout', '0s')).code).toBe(3)
  }, 300_000)

  it('neither does the list of versions speak of the number of one where a number of lines is meant', async () => {
    const { code, err } = await turnout('config', 'history', '-n', '0')
    expect([code, err]).toEqual([1, expect.stringContaining('give a number from 1 to 1000')])
  }, 300_000)

  it('replay takes the name of a route for its percentage, as all the others do', async () => {
    await change({ percent: 5, target: 'other/sim-fast' })
    const db = join(gateway.folder, 'data/turnout.db')
    const { code, out } = await turnout('rollout', 'replay', 'chat', '--db', db)
    expect([code, out]).toEqual([0, expect.stringMatching(/^canary:chat, attempt \d+: 0 rows are evidence\n/)])
  }, 300_000)

  it('create names the file that it cannot read', async () => {
    const none = await turnout('rollout', 'create', 'x', '--from', 'nowhere.yaml')
    expect([none.code, none.err]).toEqual([1, 'nowhere.yaml cannot be read: ENOENT.\n'])
    writeFileSync(join(gateway.folder, 'torn.yaml'), '{a')
    const torn = await turnout('rollout', 'create', 'x', '--from', 'torn.yaml')
    expect([torn.code, torn.err]).toEqual([1, expect.stringMatching(/^torn\.yaml is no YAML: /)])
  }, 300_000)

  it('one of the file is not replaced: the next reading of the file would undo it', async () => {
    const rollout = { route: 'single', canary: 'sim/sim-fast', steps: [{ setWeight: 100 }] }
    const made = await gateway.ask('POST', '/rollouts', { name: 'move', reason: 'test', rollout }, 'admin')
    expect([made.status, made.body.error]).toEqual([
      409,
      expect.objectContaining({
        code: 'rollout_conflict',
        param: 'name',
        message: expect.stringMatching(/in the file/),
      }),
    ])
    expect(await gateway.get('/rollouts/move')).toMatchObject({ route: 'moved', revision: 1 })
  }, 300_000)

  it('none has the name of a route: an abort of the percentage of that route would end another', async () => {
    const rollout = { route: 'single', canary: 'sim/sim-fast', steps: [{ setWeight: 100 }] }
    const made = await gateway.ask('POST', '/rollouts', { name: 'chat', reason: 'test', rollout }, 'admin')
    expect([made.status, made.body.error.message]).toEqual([
      400,
      expect.stringMatching(/^'name': a route is called so/),
    ])
  }, 300_000)
})

describe('what is wrong with a field', () => {
  it.each<[string, object, string]>([
    ['an empty reason', { percent: 5, reason: '' }, "'reason': may not be empty."],
    ['a long reason', { percent: 5, reason: 'x'.repeat(501) }, "'reason': expected at most 500 characters."],
    ['no targets', { percent: 5, target: [] }, "'target': may not be empty."],
    ['too many targets', { percent: 5, target: Array(17).fill('sim/a') }, "'target': expected at most 16 entries."],
    ['a target of another type', { percent: 5, target: 5 }, "'target': expected text or a list."],
    ['less than nothing', { percent: -5 }, "'percent': a percentage is from 0 to 100."],
  ])('is said in plain words, once: %s', async (_, body, message) => {
    const { status, body: told } = await change(body)
    expect([status, told.error.message]).toEqual([400, message])
  })

  it.each<[string, string, object | undefined, string]>([
    ['GET', '/config/versions?limit=abc', undefined, "'limit': expected a number, a whole one from 1 to 1000."],
    ['GET', '/traces?status=bogus', undefined, "'status': expected ok, error, or the status of an HTTP reply."],
    [
      'GET',
      '/rollouts/move/requests?revision=1e99',
      undefined,
      "'revision': expected a number, a whole one from 1 to 1000000000.",
    ],
    [
      'POST',
      '/keys',
      { name: 'q', limits: { requsts: 1 } },
      '\'limits.requsts\': unknown key "requsts"; did you mean "requests"?',
    ],
    ['POST', '/keys', { name: 'q', limits: { requests: 0 } }, "'limits.requests': expected at least 1."],
    [
      'POST',
      '/keys',
      { name: 'q', limits: { requests: 1e300 } },
      `'limits.requests': expected at most ${Number.MAX_SAFE_INTEGER}.`,
    ],
  ])('and so everywhere: %s %s %j', async (method, path, body, message) => {
    const reply = await gateway.ask(method, path, body, 'admin')
    expect([reply.status, reply.body.error.message]).toEqual([400, message])
  })

  it('names the name where that is at fault', async () => {
    const rollout = { route: 'single', canary: 'sim/sim-fast', steps: [{ setWeight: 100 }] }
    const { body } = await gateway.ask('POST', '/rollouts', { name: 'canary:x', reason: 'test', rollout }, 'admin')
    expect(body.error.message).toBe('\'name\': "canary:" begins the names of percentages: call it something else.')
  })
})

describe('keys and books', () => {
  it('a key that has expired is not shown as one that opens something', async () => {
    const born = await turnout('keys', 'create', 'old', '--expires', '2020-01-01')
    const says = "'expires_at': 2020-01-01T00:00:00.000Z has passed: the key would open nothing.\n"
    expect([born.code, born.err]).toEqual([1, says])
    for (const name of ['old', 'off']) await turnout('keys', 'create', name)
    const ended = await turnout('keys', 'set', 'old', '--expires', '2020-01-01')
    expect([ended.code, ended.err]).toEqual([0, 'warning: the time of old has passed: it opens nothing\n'])
    await turnout('keys', 'set', 'off', '--disabled', '--expires', '2020-01-01')
    await turnout('keys', 'create', 'new', '--expires', '30d')
    const { out } = await turnout('keys', 'list')
    const states = [...out.matchAll(/^(old|off|new) .* (\w+)$/gm)].map(([, name, state]) => [name, state])
    expect(states).toEqual([
      ['old', 'expired'],
      ['off', 'off'],
      ['new', 'on'],
    ])
  }, 300_000)

  it('no time of expiry lies beyond what a date can hold', async () => {
    for (const time of ['99999999d', '12020-01-01T00:00:00Z', '+012020-01-01T00:00:00Z', 'soon'])
      expect(() => bodyOf({ expires: time }, Date.now()), time).toThrow(/^--expires: expected a time such as /)
  })

  it('an export says where it cannot be written, and overwrites nothing', async () => {
    const db = ['--db', join(gateway.folder, 'data/turnout.db')]
    const lost = await turnout('ledger', 'export', ...db, '-o', join('nowhere', 'rows.csv'))
    expect([lost.code, lost.err]).toEqual([1, 'nowhere/rows.csv cannot be written: ENOENT.\n'])
    writeFileSync(join(gateway.folder, 'rows.csv'), 'kept')
    const there = await turnout('ledger', 'export', ...db, '-o', 'rows.csv')
    expect([there.code, there.err]).toEqual([1, 'rows.csv exists: an export never overwrites a file.\n'])
    expect(readFileSync(join(gateway.folder, 'rows.csv'), 'utf8')).toBe('kept')
  }, 300_000)

  it('an export that cannot be written to its end is not there, and may be asked for again', async () => {
    const db = join(gateway.folder, 'data/turnout.db')
    const file = join(gateway.folder, 'half.csv')
    const limited = spawnSync(
      'sh',
      [
        '-c',
        'ulimit -f 0; exec "$0" "$@"',
        process.execPath,
        buildTurnout().main,
        'ledger',
        'export',
        '--format',
        'csv',
        '--db',
        db,
        '-o',
        file,
      ],
      { cwd: gateway.folder, encoding: 'utf8' },
    )
    expect([limited.status, limited.stderr]).toEqual([1, `${file} cannot be written: EFBIG.\n`])
    expect(existsSync(file)).toBe(false)
  }, 300_000)

  it('an export that is ended in the middle has not the name that was asked for', async () => {
    const rows = 40_000
    const many = mkdtempSync(join(tmpdir(), 'turnout-export-'))
    try {
      const store = openStore({ file: join(many, 'turnout.db') })
      const writer = makeBatchWriter(store.db, store.instance)
      const first = firstIdOf(Date.now() - 3_600_000)
      const settled = Array.from({ length: rows }, (_, n) => requestRow(first + n * idsPerRequest))
      writer.write(settled.map((request) => ({ kind: 'settle', request, attempts: [] })))
      store.close()
      const child = startTurnout(['ledger', 'export', '--db', store.file, '-o', join(many, 'rows.csv')], place())
      const ended = once(child, 'exit')
      const written = (): number =>
        Math.max(
          ...readdirSync(many)
            .filter((name) => name.startsWith('rows.csv'))
            .map((name) => statSync(join(many, name)).size),
        )
      await expect.poll(written, { timeout: 60_000, interval: 2 }).toBeGreaterThan(0)
      child.kill('SIGINT')
      await ended
      const lines =
        existsSync(join(many, 'rows.csv')) && readFileSync(join(many, 'rows.csv'), 'utf8').split('\n').length
      expect([false, rows + 2]).toContain(lines)
    } finally {
      rmSync(many, { recursive: true })
    }
  }, 300_000)

  it.runIf(existsSync('/dev/full'))(
    'what cannot be printed is told in a line',
    () => {
      const full = openSync('/dev/full', 'w')
      try {
        const args = [buildTurnout().main, 'spend', '--db', join(gateway.folder, 'data/turnout.db')]
        const { status, stderr } = spawnSync(process.execPath, args, {
          stdio: ['ignore', full, 'pipe'],
          encoding: 'utf8',
        })
        expect([status, stderr]).toEqual([1, 'Standard output cannot be written: ENOSPC.\n'])
      } finally {
        closeSync(full)
      }
    },
    300_000,
  )

  it('what nobody reads on has its exit code all the same, and no stack', async () => {
    for (const args of [
      ['rollout', 'status', 'move'],
      ['config', 'check', 'nowhere.yaml'],
    ]) {
      const { code } = await turnout(...args)
      expect(code).toBeGreaterThan(0)
      const child = startTurnout(args, place())
      child.stdout!.destroy()
      const [said, ended] = await Promise.all([buffer(child.stderr!), once(child, 'exit')])
      expect([String(said), ended]).toEqual(['', [code, null]])
    }
  }, 300_000)

  it('what is no backup is told by the name that was given', async () => {
    writeFileSync(join(gateway.folder, 'notes.txt'), 'no database')
    const { code, err } = await turnout('restore', 'notes.txt', '--db', 'other.db')
    const file = join(gateway.folder, 'notes.txt')
    expect([code, err]).toEqual([1, `The copy ${file} is not sound: file is not a database.\n`])
    expect(existsSync(join(gateway.folder, 'other.db'))).toBe(false)
  }, 300_000)
})
