// A restore that dies at any moment: whoever opens the database next finds all of the old one or all of the backup, and is told.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadDriver } from '../src/store/driver.ts'
import { openLedger } from '../src/store/ledger.ts'
import { openStore } from '../src/store/open.ts'
import { openReader } from '../src/store/reader.ts'
import { type BrokenRestore, describeRestore, restoreFrom } from '../src/store/restore.ts'
import { verifyLedger } from '../src/store/verify.ts'
import { buildTurnout } from './support/crash/build.ts'
import { runCli, spawnServer } from './support/crash/server.ts'
import { attemptRow, intentOf, requestRow } from './support/ledgerRows.ts'

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const tsx = fileURLToPath(import.meta.resolve('tsx'))

let folder: string
let backup: string
/** Ids of the requests in the backup, and in the database that it replaces. */
let fresh: number[]
let old: number[]

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-restore-'))
  backup = join(folder, 'backup.db')
  fresh = await makeDatabase(join(folder, 'other'), async (file) => {
    const reader = openReader(file)
    await reader.backup(backup)
    await reader.close()
  })
  // As a kill leaves it: rows in the file, rows in the log alone, rows in the journal alone, and a call in flight.
  old = await makeDatabase(join(folder, 'work'), async (file) => {
    expect(
      spawnSync('sh', ['-c', `mkdir ${folder}/old && cp ${file}* ${folder}/old && rm ${folder}/old/*.lock`]),
    ).toMatchObject({ status: 0 })
  })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Three requests in each of the three places; `use` gets the file while all of it is as it is during a run. */
async function makeDatabase(place: string, use: (file: string) => Promise<void>): Promise<number[]> {
  mkdirSync(place)
  const file = join(place, 'turnout.db')
  const store = openStore({ file })
  const ledger = openLedger(store, { smallCommits: 3 })
  const ids: number[] = []
  const settle = async (): Promise<void> => {
    const id = ledger.nextRequestId()
    await ledger.settle(requestRow(id), [attemptRow(id)])
    ids.push(id)
  }
  for (let n = 0; n < 3; n++) await settle()
  await ledger.flush()
  await ledger.keeper.checkpoint()
  await ledger.intend(intentOf(ledger.nextRequestId()))
  for (let n = 0; n < 3; n++) await settle()
  await ledger.flush()
  if (place.endsWith('work')) {
    const Database = loadDriver()
    const other = new Database(file)
    other.exec('BEGIN IMMEDIATE')
    for (let n = 0; n < 3; n++) await settle()
    expect(ledger.stats.behind()).toBe(3)
    await use(file)
    other.close()
  } else await use(file)
  await ledger.close()
  store.close()
  return ids
}

/** What the next start finds, with its journal brought in, and what it says. The open call is settled by it, so that it counts as well. */
async function start(file: string): Promise<{ ids: number[]; told: BrokenRestore | undefined; orphans: number }> {
  const store = openStore({ file })
  const ledger = openLedger(store)
  try {
    expect(verifyLedger(store.db)).toMatchObject({ ok: true, open: 0 })
    const ids = store.db.prepare("SELECT id FROM requests WHERE outcome = 'ok' ORDER BY id").pluck().all() as number[]
    return { ids, told: store.brokenRestore, orphans: ledger.stats.orphans }
  } finally {
    await ledger.close()
    store.close()
  }
}

/** Restores in each folder, or opens what is there: folders as they stood before each step, and after the last. */
function takeSteps(name: string, from: string, folders: readonly string[]): string[][] {
  const out = join(folder, name)
  const ran = spawnSync(process.execPath, ['--import', tsx, here('support/restoreSteps.ts'), out, from, ...folders], {
    encoding: 'utf8',
  })
  expect([ran.stderr, ran.status]).toEqual(['', 0])
  return readdirSync(out).map((one) => readdirSync(join(out, one)).map((step) => join(out, one, step)))
}

const isDecided = (place: string): boolean => existsSync(join(place, 'turnout.db.restore'))
const isDone = (place: string): boolean =>
  !isDecided(place) && readdirSync(place).some((name) => name.includes('before-restore'))

/** Opens what a death left, and holds it against what must be there. */
async function check(place: string): Promise<'old' | 'new'> {
  const file = join(place, 'turnout.db')
  const decided = isDecided(place)
  const expected = decided || isDone(place) ? 'new' : 'old'
  const hadCopy = existsSync(`${file}.restoring`)
  const { ids, told, orphans } = await start(file)
  expect(ids, place).toEqual(expected === 'new' ? fresh : old)
  expect(orphans, place).toBe(1)
  const kept = readdirSync(place).find((name) => /before-restore-[\dTZ-]+$/.test(name))
  if (decided) expect(told, place).toEqual({ outcome: 'finished', from: backup, kept: join(place, kept!) })
  else expect(told, place).toEqual(expected === 'old' && hadCopy ? { outcome: 'undone' } : undefined)
  expect(
    readdirSync(place).filter((name) => /restor(e|ing)(\.new|-.*)?$/.test(name) && !name.includes('before')),
  ).toEqual([])
  if (kept !== undefined) expect((await start(join(place, kept))).ids, place).toEqual(old)
  return expected
}

it('leaves all of the old or all of the new before each of its steps, and what ends it may die as well', async () => {
  const [steps] = takeSteps('steps', backup, [copyOf('old', 'restored')]) as [string[]]
  // Copies of them are opened by a process that is stopped before each step in its turn.
  const again = steps.map((step) => {
    const copy = join(folder, 'again', step.slice(-2))
    cpSync(step, copy, { recursive: true })
    return copy
  })
  const deeper = takeSteps('deeper', '', again).flat()
  const found = { old: 0, new: 0 }
  for (const step of [...steps, ...deeper]) found[await check(step)]++
  // Copy, note, its rename; parts of the old one, the new one, the note again.
  expect(steps.length).toBeGreaterThanOrEqual(9)
  expect(found.old).toBeGreaterThan(5)
  expect(found.new).toBeGreaterThan(20)
})

it('is undone where the copy is cut short', async () => {
  const place = join(folder, 'cut')
  cpSync(join(folder, 'old'), place, { recursive: true })
  cpSync(backup, join(place, 'turnout.db.restoring'))
  truncateSync(join(place, 'turnout.db.restoring'), 5000)
  expect(await check(place)).toBe('old')
})

it('takes a hot rollback journal away with the old database: it would be played into the new one', async () => {
  const place = join(folder, 'hot')
  mkdirSync(place)
  const Database = loadDriver()
  const torn = new Database(join(folder, 'torn.db'))
  torn.pragma('cache_size = 1')
  torn.exec(
    'CREATE TABLE t (x); WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t SELECT randomblob(900) FROM n',
  )
  torn.exec('BEGIN; UPDATE t SET x = randomblob(900)')
  for (const ending of ['', '-journal'])
    expect(spawnSync('cp', [join(folder, `torn.db${ending}`), join(place, `turnout.db${ending}`)]).status).toBe(0)
  torn.close()
  const { kept } = restoreFrom(backup, join(place, 'turnout.db'))
  expect((await start(join(place, 'turnout.db'))).ids).toEqual(fresh)
  const before = new Database(kept!)
  expect(before.pragma('integrity_check', { simple: true })).toBe('ok')
  before.close()
})

it('is finished for whoever only reads, and says what is wrong when it cannot be', async () => {
  const [steps] = takeSteps('reading', backup, [copyOf('old', 'read-from')]) as [string[]]
  const decided = steps.filter(isDecided)
  const place = decided[2]!
  const file = join(place, 'turnout.db')
  // Another one is at it: a writer that finishes it as it starts.
  const Database = loadDriver()
  const lock = new Database(`${file}.lock`)
  lock.exec('BEGIN EXCLUSIVE')
  expect(() => openStore({ file, readonly: true })).toThrow(`A backup is being put in the place of ${file} right now`)
  lock.close()
  const store = openStore({ file, readonly: true })
  expect(store.brokenRestore).toMatchObject({ outcome: 'finished' })
  expect(store.db.prepare("SELECT id FROM requests WHERE outcome = 'ok'").pluck().all()).toEqual(fresh)
  store.close()

  const lost = decided[0]!
  rmSync(join(lost, 'turnout.db.restoring'))
  rmSync(join(lost, 'turnout.db'))
  const gone = `A restore of ${join(lost, 'turnout.db')} was begun and cannot be finished: the copy ${join(lost, 'turnout.db')}.restoring is gone`
  for (const readonly of [true, false])
    expect(() => openStore({ file: join(lost, 'turnout.db'), readonly })).toThrow(gone)
  restoreFrom(backup, join(lost, 'turnout.db'))
  expect((await start(join(lost, 'turnout.db'))).ids).toEqual(fresh)
})

describe('killed for real', () => {
  const config = (place: string): string => {
    const file = join(place, 'turnout.yaml')
    const providers = {
      sim: { kind: 'openai', baseUrl: 'http://127.0.0.1:9/v1', apiKey: 'sk-test-upstream-0123456789' },
    }
    writeFileSync(file, JSON.stringify({ server: { port: 0 }, dataDir: place, providers }))
    return file
  }

  async function killedBefore(step: string, name: string): Promise<string> {
    const place = copyOf('old', name)
    const args = ['--import', tsx, '--import', here('support/fileSteps.ts'), here('../src/cli/main.ts')]
    const child = spawn(process.execPath, [...args, 'restore', backup, '--db', join(place, 'turnout.db')], {
      cwd: place,
      env: { PATH: process.env.PATH, HOME: place, KILL_FOLDER: place, KILL_BEFORE: step },
    })
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null]
    expect([code, signal]).toEqual([null, 'SIGKILL'])
    return place
  }

  it('between the renames: the next gateway finishes it and says so', async () => {
    const place = await killedBefore('renameSync .*turnout\\.db\\.journal ', 'between')
    expect(existsSync(join(place, 'turnout.db'))).toBe(false)
    const file = join(place, 'turnout.db')
    const gateway = spawnServer({ build: buildTurnout(), config: config(place), folder: place })
    await gateway.listening
    const said = gateway
      .log()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .find(({ event }) => event === 'restore')
    const kept = join(place, readdirSync(place).find((one) => /before-restore-[\dTZ-]+$/.test(one))!)
    expect(said).toMatchObject({ level: 'warn', file: kept })
    expect(said.msg).toBe(describeRestore(file, { outcome: 'finished', from: backup, kept }))
    expect(await gateway.stop()).toBe(0)
    expect((await start(file)).ids).toEqual(fresh)
    expect((await start(kept)).ids).toEqual(old)
  })

  it('the way back is a backup of what was kept: its rows are in three files', async () => {
    const place = copyOf('old', 'back')
    const file = join(place, 'turnout.db')
    const kept = restoreFrom(backup, file).kept!
    const straight = await runCli(buildTurnout(), ['restore', kept, '--db', file], place)
    expect(straight).toMatchObject({ code: 1, err: expect.stringContaining(`Rows of ${kept} are in ${kept}-wal`) })
    const copy = join(place, 'copy.db')
    expect(await runCli(buildTurnout(), ['backup', copy, '--db', kept], place)).toMatchObject({ code: 0, err: '' })
    expect(await runCli(buildTurnout(), ['restore', copy, '--db', file], place)).toMatchObject({ code: 0, err: '' })
    expect((await start(file)).ids).toEqual(old)
  })

  it('before it was decided: the next command says that nothing happened; the restore can be told again', async () => {
    const place = await killedBefore('renameSync .*turnout\\.db\\.restore\\.new ', 'undecided')
    const file = join(place, 'turnout.db')
    const args = ['--db', file]
    const rolled = await runCli(buildTurnout(), ['config', 'history', ...args], place)
    // Who only reads needs nothing of it.
    expect([rolled.code, rolled.err]).toEqual([0, ''])
    expect(existsSync(`${file}.restoring`)).toBe(true)
    const again = await runCli(buildTurnout(), ['restore', backup, ...args], place)
    expect(again).toMatchObject({ code: 0, err: `${describeRestore(file, { outcome: 'undone' })}\n` })
    expect(again.out).toMatch(/: 6 requests\nWhat was there before is now .*before-restore-/)
    expect((await start(file)).ids).toEqual(fresh)
  })

  it('after it was decided: a command that reads finishes it first', async () => {
    const place = await killedBefore('renameSync .*turnout\\.db-wal ', 'decided')
    const file = join(place, 'turnout.db')
    const verified = await runCli(buildTurnout(), ['ledger', 'verify', '--db', file], place)
    expect(verified.code, verified.err).toBe(0)
    expect(verified.err).toMatch(
      /^A restore of .* from .* ended in the middle, and was finished now\. What was there before is now .*\n$/,
    )
    expect(verified.out).toMatch(/^ok: 6 requests, .* 1 in flight\n$/)
  })
})

function copyOf(from: string, name: string): string {
  const place = join(folder, name)
  cpSync(join(folder, from), place, { recursive: true })
  return place
}
