// The ledger's commands as real processes, beside a running gateway and after it: what they print and how they exit.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: such references are what is tested.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { findLedger, hashOf } from '../src/cli/ledgerFile.ts'
import { renderTable } from '../src/cli/output.ts'
import { startRetention } from '../src/cli/retention.ts'
import { loadConfig } from '../src/config/load.ts'
import { ConfigError } from '../src/config/problem.ts'
import { formatUsd } from '../src/pricing/decimal.ts'
import { type Simulator, startSimulator } from '../src/simulator/server.ts'
import { loadDriver } from '../src/store/driver.ts'
import { type Leap, leapOf } from '../src/store/leap.ts'
import { openLedger } from '../src/store/ledger.ts'
import { attemptId, firstIdOf, firstKeptId, timeOf } from '../src/store/ledgerId.ts'
import { openStore } from '../src/store/open.ts'
import { lockDatabase } from './support/crash/dbLock.ts'
import { post } from './support/exchange.ts'
import { adminKey, appKey, bearer, billOf, simulatedPrices } from './support/ledgerGateway.ts'
import { attemptRow, requestRow } from './support/ledgerRows.ts'
import { endTurnout, runTurnout, said, startTurnout } from './support/turnoutProcess.ts'

let folder: string
let simulator: Simulator
let gateway: ChildProcess
let url: string
/** What the shell of an operator has: not the key that the configuration wants. */
const shell = () => ({ cwd: folder })

const cli = (...args: string[]) => runTurnout(args, shell())

async function chat(model: string, more: Record<string, unknown> = {}): Promise<string> {
  const body = { model, messages: [{ role: 'user', content: 'Say hello' }], ...more }
  const exchange = await post(`${url}/v1/chat/completions`, body, bearer(appKey))
  expect(exchange.status).toBe(200)
  return String(exchange.headers['x-request-id'])
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-cli-'))
  simulator = await startSimulator()
  const config = {
    server: { port: 0 },
    dataDir: join(folder, 'data'),
    providers: { sim: { kind: 'openai', baseUrl: `${simulator.url}/v1`, apiKey: '${UPSTREAM_KEY}' } },
    prices: simulatedPrices,
    directModels: true,
    keys: [
      { name: 'web', key: appKey, team: 'shop' },
      { name: 'ops', key: adminKey, role: 'admin' },
    ],
  }
  writeFileSync(join(folder, 'turnout.yaml'), JSON.stringify(config))
  gateway = startTurnout(['serve'], { cwd: folder, env: { UPSTREAM_KEY: 'sk-test-upstream-0123456789' } })
  const text = await said(gateway, 'stderr', /listens on \S+ with/)
  url = /listens on (\S+) with/.exec(text)![1]!
  await chat('sim/sim-fast', { user: 'alice' })
  await chat('sim/sim-fast', { user: 'alice', stream: true })
  await chat('sim/sim-cached', { user: '=bob' })
}, 300_000)

afterAll(async () => {
  await endTurnout(gateway)
  await simulator.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('beside a running gateway', { timeout: 300_000 }, () => {
  it('verifies, without the keys that the configuration wants', async () => {
    const text = await cli('ledger', 'verify')
    const bill = billOf(simulator.calls)
    expect(text).toEqual({
      code: 0,
      err: '',
      out: `ok: 3 requests, 3 upstream calls, ${formatUsd(bill)} USD, 0 in flight\n`,
    })
    const json = JSON.parse((await cli('ledger', 'verify', '--json', '--db', 'data/turnout.db')).out)
    expect(json).toMatchObject({ ok: true, requests: 3, attempts: 3, cost_nano_usd: Number(bill), problems: [] })
    expect(json.counts).toEqual({ sum: 0, gap: 0, stray: 0, open: 0, rollup: 0, file: 0 })
  })

  it("sums up what was spent: the vendor's bill", async () => {
    const bill = billOf(simulator.calls)
    const { out, code } = await cli('spend', '--by', 'team,model')
    expect(code).toBe(0)
    const lines = out.trim().split('\n')
    expect(lines[0]).toMatch(/^team +model +requests +failed +calls +tokens in +tokens out +USD +unpriced$/)
    expect(lines).toHaveLength(4)
    expect(lines.at(-1)).toMatch(new RegExp(`^total +3 +0 +3 +\\d+ +\\d+ +${formatUsd(bill)} +0$`))
    const json = JSON.parse((await cli('spend', '--json', '--key', 'web')).out)
    expect(json).toMatchObject({ object: 'spend', by: ['model'], total: { requests: 3, cost_usd: formatUsd(bill) } })
    expect(JSON.parse((await cli('spend', '--json', '--key', 'nobody')).out).total.requests).toBe(0)
  })

  it('prints the last requests, and follows them until it is told to end', async () => {
    const last = await cli('ledger', 'tail', '--no-follow', '-n', '2')
    expect(last.out.trim().split('\n')).toHaveLength(2)
    expect(last.out).toMatch(/ {2}req_\w{11} {2}200 {2}ok {2}sim\/sim-cached {2}web {2}\d+\+\d+ tokens {2}0\.\d+ USD/)
    const tail = startTurnout(['ledger', 'tail', '--json', '-n', '1'], shell())
    try {
      // Read from the start: the next line may be here before the reply that it is about.
      const lines: string[] = []
      createInterface({ input: tail.stdout! }).on('line', (line) => lines.push(line))
      await expect.poll(() => lines.length).toBe(1)
      expect(JSON.parse(lines[0]!)).toMatchObject({ route: 'sim/sim-cached', key: 'web', outcome: 'ok' })
      const id = await chat('sim/sim-fast')
      await expect.poll(() => lines.length).toBe(2)
      expect(JSON.parse(lines[1]!).id).toBe(id)
    } finally {
      expect(await endTurnout(tail, 'SIGINT')).toBe(0)
    }
  })

  it('exports rows, all or those asked for', async () => {
    const all = (await cli('ledger', 'export')).out.trim().split('\n')
    expect(all.map((line) => JSON.parse(line).route)).toEqual([
      'sim/sim-fast',
      'sim/sim-fast',
      'sim/sim-cached',
      'sim/sim-fast',
    ])
    const mine = await cli('ledger', 'export', '--user', 'alice', '--rows', 'attempts', '--format', 'csv')
    const [header, ...rows] = mine.out.trim().split('\r\n')
    expect(header).toMatch(/^request,n,target,/)
    expect(rows).toHaveLength(2)
    expect(mine.out).not.toContain('alice')

    const file = join(folder, 'rows.csv')
    const to = ['ledger', 'export', '--format', 'csv', '--model', 'sim-cached', '--to', '2999-01-01', '-o', file]
    expect(await cli(...to)).toEqual({ code: 0, out: '', err: '' })
    expect(readFileSync(file, 'utf8').trim().split('\r\n')).toHaveLength(2)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const again = await cli(...to)
    expect([again.code, again.err]).toEqual([1, expect.stringContaining('an export never overwrites a file')])
  })

  it('ends quietly when nobody reads on', async () => {
    const child = startTurnout(['ledger', 'tail'], shell())
    await once(child.stdout!, 'data')
    child.stdout!.destroy()
    const err: Buffer[] = []
    child.stderr!.on('data', (chunk: Buffer) => err.push(chunk))
    const gone = once(child, 'exit')
    await chat('sim/sim-fast')
    expect(await gone).toEqual([0, null])
    expect(Buffer.concat(err).toString()).toBe('')
  })

  it('backs up; a restore is refused while the gateway holds the file', async () => {
    const backup = join(folder, 'backups', 'one.db')
    const done = await cli('backup', backup)
    expect(done).toMatchObject({ code: 0, err: '' })
    expect(done.out).toMatch(/one\.db: 5 requests, \d+ bytes, sound\nKeep .*data\/secret.*no virtual key opens/)
    expect((await cli('ledger', 'verify', '--db', backup)).out).toMatch(/^ok: 5 requests/)
    const again = await cli('backup', backup)
    expect([again.code, again.err]).toEqual([1, expect.stringContaining('never overwrites')])
    const refused = await cli('restore', backup)
    expect(refused.code).toBe(1)
    expect(refused.err).toContain(String(gateway.pid))
    expect((await cli('ledger', 'verify')).code).toBe(0)
  })
})

describe('while another program holds the database', { timeout: 300_000 }, () => {
  it('a command waits for the rows of replies that went out, and says when they cannot be there', async () => {
    const lock = await lockDatabase(join(folder, 'data', 'turnout.db'))
    try {
      await chat('sim/sim-fast')
      const early = await cli('ledger', 'verify')
      expect([early.code, early.out]).toEqual([0, expect.stringMatching(/^ok: 5 requests/)])
      expect(early.err).toMatch(
        /^The gateway that runs on .*turnout\.db cannot write to it at the moment: its last rows are not here yet\.\n$/,
      )
      const late = cli('ledger', 'verify')
      lock.release()
      expect(await late).toMatchObject({ code: 0, err: '', out: expect.stringMatching(/^ok: 6 requests/) })
    } finally {
      lock.close()
    }
  })
})

describe('what is asked wrongly', { timeout: 300_000 }, () => {
  // Each is a process of its own that takes a second to start.
  it.concurrent.each([
    [['ledger', 'verify', '--db', 'nowhere.db'], 'There is no database at'],
    [['spend', '--by', 'colour'], '--by: expected names out of day, model'],
    [['spend', '--from', 'yesterday'], '--from: expected a day'],
    [['ledger', 'export', '--status', 'x'], '--status: expected a number'],
    [['ledger', 'export', '--format', 'xml'], "'xml' is invalid"],
    [['ledger', 'tail', '-n', 'many'], 'give a number from 0 to 1000'],
    [['ledger', 'verify', '--config', 'nowhere.yaml'], 'does not exist'],
    [['restore', 'nowhere.db', '--db', 'new.db'], 'There is no backup at'],
  ])('%j exits 1 and says why', async (args, text) => {
    const { code, out, err } = await cli(...args)
    expect([code, out]).toEqual([1, ''])
    expect(err).toContain(text)
    expect(err).not.toMatch(/\n\s+at /)
  })

  it('a user cannot be looked for without the secret of the installation, and none is made', async () => {
    const lone = join(folder, 'lone')
    mkdirSync(lone)
    copyFileSync(join(folder, 'backups', 'one.db'), join(lone, 'one.db'))
    const { code, err } = await cli('ledger', 'export', '--db', 'lone/one.db', '--user', 'alice')
    expect([code, err]).toEqual([1, expect.stringContaining('TURNOUT_SECRET')])
    expect(existsSync(join(lone, 'secret'))).toBe(false)
    const hash = hashOf({ file: '', dataDir: join(folder, 'data'), env: {} }, 'alice')
    const found = await cli('ledger', 'export', '--db', 'lone/one.db', '--user', hash)
    expect(found.out.trim().split('\n')).toHaveLength(2)
  })

  it('every command explains itself', async () => {
    const commands = ['ledger', 'backup', 'restore', 'spend', 'prices']
    const shown = await Promise.all(commands.map((command) => cli(command, '--help')))
    shown.forEach(({ code, out }, at) => {
      expect([commands[at], code]).toEqual([commands[at], 0])
      expect(out).toContain(`Usage: turnout ${commands[at]}`)
    })
  })
})

describe('after the gateway', { timeout: 300_000 }, () => {
  it('C53 restores what was backed up, keeps what was there, and the gateway starts on it', async () => {
    expect(await endTurnout(gateway)).toBe(0)
    const backup = join(folder, 'backups', 'one.db')
    const db = new (loadDriver())(join(folder, 'data', 'turnout.db'))
    db.prepare('UPDATE attempt SET cost = cost + 1 WHERE id = (SELECT min(id) FROM attempt)').run()
    db.prepare('DELETE FROM request WHERE id = (SELECT max(id) FROM request)').run()
    db.close()
    const broken = await cli('ledger', 'verify')
    expect(broken.code).toBe(1)
    expect(broken.out).toMatch(/^sum {5}req_\w+: cost is \d+, its attempts make \d+$/m)
    expect(broken.out).toMatch(/^stray {3}attempt 1 of req_\w+ has no request$/m)
    expect(broken.out).toMatch(/^not sound: \d+ problems in 5 requests/m)
    expect(JSON.parse((await cli('ledger', 'verify', '--json')).out).ok).toBe(false)

    const restored = await cli('restore', backup, '--json')
    expect(restored).toMatchObject({ code: 0, err: '' })
    const { requests, kept } = JSON.parse(restored.out)
    expect(requests).toBe(5)
    expect(existsSync(kept)).toBe(true)
    expect((await cli('ledger', 'verify')).out).toMatch(/^ok: 5 requests/)

    gateway = startTurnout(['serve'], { cwd: folder, env: { UPSTREAM_KEY: 'sk-test-upstream-0123456789' } })
    url = /listens on (\S+) with/.exec(await said(gateway, 'stderr', /listens on \S+ with/))![1]!
    await chat('sim/sim-fast')
    expect((await cli('ledger', 'verify')).out).toMatch(/^ok: 6 requests/)
  })
})

describe('where the ledger lies', () => {
  it.each([
    [{}, {}],
    [{ dataDir: 'kept' }, {}],
    [{ ledger: { file: 'books/all.db' } }, {}],
    [{ dataDir: 'kept', ledger: { file: '/tmp/x/all.db' } }, { TURNOUT_DB: 'other.db' }],
    [{}, { TURNOUT_DB: 'other.db' }],
    [{}, { TURNOUT_DATA_DIR: 'from-env' }],
    [{ dataDir: '${FOLDER}' }, { FOLDER: 'named', TURNOUT_DATA_DIR: 'from-env' }],
    [{ ledger: null }, {}],
  ])('%j with %j: as `serve` has it', (part, env) => {
    const file = join(folder, 'where.yaml')
    writeFileSync(file, JSON.stringify({ providers: { ollama: {} }, routes: { r: 'ollama/a' }, ...part }))
    const before = { ...process.env }
    Object.assign(process.env, env)
    try {
      const { snapshot } = loadConfig({ file, env: { ...process.env }, version: 1 })
      expect(findLedger({ config: file })).toMatchObject({ file: snapshot.ledger.file, dataDir: snapshot.dataDir })
    } finally {
      process.env = before
    }
  })

  it('refuses a configuration that does not say it', () => {
    const file = join(folder, 'where.yaml')
    for (const text of ['dataDir: ${NOWHERE_SET}', 'ledger: { file: [a] }', 'dataDir: "', 'dataDir: 7']) {
      writeFileSync(file, text)
      expect(() => findLedger({ config: file }), text).toThrow(ConfigError)
    }
  })
})

it('tables stand in columns, numbers right', () => {
  expect(
    renderTable(
      ['model', 'requests', 'USD'],
      [
        ['gpt', 7, '0.25'],
        ['a-long-name', 1200, 'unknown'],
      ],
    ),
  ).toBe('model        requests      USD\ngpt                 7     0.25\na-long-name      1200  unknown\n')
})

it('tables of very many lines look at each cell a few times, and not once for each line', () => {
  let looks = 0
  const cell = {
    toString() {
      looks++
      return '7'
    },
  } as unknown as number
  renderTable(
    ['a', 'b'],
    Array.from({ length: 100 }, () => [cell, cell]),
  )
  expect(looks).toBeLessThanOrEqual(100 * 2 * 3)
  expect(renderTable(['name'], Array<string[]>(150_000).fill(['x']))).toHaveLength(5 + 2 * 150_000)
})

describe('C57 retention', () => {
  it('C57 deletes whole days that are too old in batches, keeps the sums, asks for the days anew, and stops', async () => {
    const place = mkdtempSync(join(tmpdir(), 'turnout-retention-'))
    const day = 86_400_000
    const today = Date.UTC(2026, 5, 20, 13)
    const store = openStore({ file: join(place, 'turnout.db') })
    const ledger = openLedger(store)
    const notes: unknown[] = []
    const log = { info: (_: string, facts: unknown) => notes.push(facts), warn: (...all: unknown[]) => notes.push(all) }
    const count = () => store.db.prepare('SELECT count(*) FROM request').pluck().get()
    const passes: number[] = []
    const signals: (AbortSignal | undefined)[] = []
    let passed: () => void = () => {}
    const keeper = {
      retain: async (...all: Parameters<typeof ledger.keeper.retain>) => {
        signals.push(all[1]?.signal)
        const deleted = await ledger.keeper.retain(...all)
        passes.push(deleted)
        passed()
        return deleted
      },
    }
    try {
      for (let back = 0; back < 40; back++) {
        for (let n = 0; n < 20; n++) {
          const id = firstIdOf(today - back * day) + n * 64
          void ledger.settle(requestRow(id), [attemptRow(id, 1, { id: attemptId(id, 1) })])
        }
      }
      await ledger.flush()
      expect(count()).toBe(800)
      let days = 0
      const off = startRetention({ keeper, days: () => days, log: log as never, now: () => today })
      await off.stop()
      expect([count(), passes]).toEqual([800, []])

      days = 30
      const first = new Promise<void>((resolve) => {
        passed = resolve
      })
      const retention = startRetention({ keeper, days: () => days, log: log as never, now: () => today, every: 20 })
      await first
      expect([count(), passes[0]]).toEqual([31 * 20, 9 * 20])
      days = 5
      await new Promise<void>((resolve) => {
        passed = () => passes.at(-1)! > 0 && resolve()
      })
      await retention.stop()
      expect(count()).toBe(6 * 20)
      expect(store.db.prepare('SELECT sum(requests) FROM rollup').pluck().get()).toBe(800)
      expect(notes.slice(0, 2)).toEqual([
        { event: 'retention', count: 180 },
        { event: 'retention', count: 500 },
      ])
      expect(signals.every((signal) => signal?.aborted)).toBe(true)
    } finally {
      await ledger.close()
      store.close()
      rmSync(place, { recursive: true, force: true })
    }
  })

  it('deletes for a day as if the clock had not leapt ahead, at a start and later, and says so', async () => {
    const [hour, day] = [3_600_000, 86_400_000]
    const warned: unknown[] = []
    const passes: number[] = []
    const noted: Leap[] = []
    const clock = { at: Date.UTC(2026, 5, 20, 13), up: 5000 }
    const forward = (ms: number): void => {
      clock.at += ms
      clock.up += ms
    }
    vi.useFakeTimers()
    try {
      const retention = startRetention({
        keeper: {
          retain: async (before) => passes.push(before) && 0,
          noteLeap: async (leap) => void noted.push(leap),
        },
        days: () => 30,
        log: { warn: (text: string) => warned.push(text), info() {} } as never,
        every: hour,
        // Found by the run before this one, 20 hours ago.
        leap: { at: clock.at - 20 * hour, ahead: 50 * day },
        now: () => clock.at,
        uptime: () => clock.up,
      })
      /** By what day rows were deleted, in days before that of the clock. */
      const pass = async (): Promise<number> => {
        forward(hour)
        await vi.advanceTimersByTimeAsync(hour)
        const days = (from: number): number => Math.floor(from / day)
        return days(clock.at) - days(timeOf(passes.at(-1)!)) - 30
      }
      expect([warned.length, passes.length]).toEqual([1, 0])
      // Soon after the start, and not with the first hour alone.
      await vi.advanceTimersByTimeAsync(5_000)
      expect(passes).toHaveLength(1)
      expect([await pass(), await pass(), await pass(), await pass()]).toEqual([50, 50, 50, 0])
      // For an hour the clock is wrong.
      clock.at += 400 * day
      expect(noted).toEqual([])
      await vi.advanceTimersByTimeAsync(60_000)
      expect(noted).toEqual([{ at: clock.at, ahead: 400 * day }])
      expect(await pass()).toBe(400)
      clock.at -= 400 * day
      for (let n = 1; n < 23; n++) expect(await pass()).toBe(400)
      expect(await pass()).toBe(0)
      expect(warned).toHaveLength(2)
      // Where it stays as it is, it was right: whoever has slept for a week.
      clock.at += 7 * day
      for (let n = 0; n < 24; n++) expect(await pass()).toBe(7)
      expect([await pass(), warned.length]).toEqual([0, 3])
      expect(passes.at(-1)).toBe(firstKeptId(30, clock.at))
      await retention.stop()
    } finally {
      vi.useRealTimers()
    }
  })

  it('knows of a leap that any run of the last day has begun with', () => {
    const place = mkdtempSync(join(tmpdir(), 'turnout-leap-'))
    const file = join(place, 'turnout.db')
    const [hour, day] = [3_600_000, 86_400_000]
    const begun = Date.UTC(2026, 5, 20, 13)
    const start = (at: number): Leap | undefined => {
      const store = openStore({ file, now: () => at })
      try {
        return leapOf(store, at)
      } finally {
        store.close()
      }
    }
    try {
      expect(start(begun)).toBeUndefined()
      expect(start(begun + day - 1)).toBeUndefined()
      const leapt = begun + 300 * day
      const found = { at: leapt, ahead: leapt - (begun + day - 1) }
      expect(start(leapt)).toEqual(found)
      expect(start(leapt + hour)).toEqual(found)
      // The clock was put right.
      expect(start(begun + day + hour)).toBeUndefined()
      expect(start(leapt + 25 * hour)).toBeUndefined()
    } finally {
      rmSync(place, { recursive: true, force: true })
    }
  })

  it('knows at the next start of a clock that has leapt while a gateway ran, although its signs of life are dated by it', async () => {
    const place = mkdtempSync(join(tmpdir(), 'turnout-leap-'))
    const file = join(place, 'turnout.db')
    const day = 86_400_000
    const clock = { at: Date.now(), up: 5000 }
    const now = (): number => clock.at
    /** A gateway's run: what its clock does once it has begun, and whether the row is there after a pass. */
    const run = async (ahead: number): Promise<number> => {
      const store = openStore({ file, now })
      const ledger = openLedger(store, { now })
      if (ahead > 0) await ledger.settle(requestRow(ledger.nextRequestId()), [])
      let passed = (): void => {}
      const retain = (before: number): Promise<number> => ledger.keeper.retain(before).finally(() => passed())
      const retention = startRetention({
        keeper: { ...ledger.keeper, retain },
        days: () => 30,
        log: { warn() {}, info() {} } as never,
        leap: leapOf(store, clock.at),
        every: 5,
        now,
        uptime: () => clock.up,
      })
      clock.at += ahead
      await new Promise<void>((resolve) => {
        passed = resolve
      })
      await retention.stop()
      await ledger.close()
      const rows = store.db.prepare('SELECT count(*) FROM request').pluck().get() as number
      store.close()
      return rows
    }
    try {
      expect(await run(400 * day)).toBe(1)
      // Started again, with the clock as it is.
      clock.at += 3_600_000
      expect(await run(0)).toBe(1)
      // It is right again; or it was right, and a day is over.
      const store = openStore({ file, readonly: true })
      expect([leapOf(store, clock.at)?.ahead, leapOf(store, clock.at - 400 * day)]).toEqual([400 * day, undefined])
      store.close()
      clock.at += day
      expect(await run(0)).toBe(0)
    } finally {
      rmSync(place, { recursive: true, force: true })
    }
  })

  it('C57 tells of a pass that failed and tries again', async () => {
    const warned: unknown[] = []
    let calls = 0
    await new Promise<void>((resolve) => {
      const retention = startRetention({
        keeper: {
          retain: async () => {
            if (++calls === 1) throw new Error('locked')
            void retention.stop().then(resolve)
            return 0
          },
        },
        days: () => 1,
        log: { warn: (text: string) => warned.push(text), info() {} } as never,
        every: 10,
      })
    })
    expect(warned).toEqual(['old rows of the ledger could not be deleted'])
  })
})
