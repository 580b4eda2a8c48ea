// The store: one writer per file, crash-safe lock, migrations that are applied whole or not at all.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadDriver, StoreError, whyUnsound } from '../src/store/driver.ts'
import { journalFile, openJournal } from '../src/store/journal.ts'
import { readHolder } from '../src/store/lock.ts'
import { migrate, packageMigrations, readMigrations } from '../src/store/migrate.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { readBetween } from '../src/store/rolloutRows.ts'
import { buildTurnout } from './support/crash/build.ts'
import { watchSteps } from './support/fileSteps.ts'

let folder: string
let file: string
const children: ChildProcess[] = []
const stores: Store[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-store-'))
  file = join(folder, 'data', 'turnout.db')
})

afterEach(async () => {
  for (const store of stores.splice(0)) store.close()
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  rmSync(folder, { recursive: true, force: true })
})

function open(more: Partial<Parameters<typeof openStore>[0]> = {}): Store {
  const store = openStore({ file, ...more })
  stores.push(store)
  return store
}

/** Starts another process on the same file and returns what it says first. */
async function startHolder(): Promise<{ child: ChildProcess; said: Record<string, unknown> }> {
  const script = fileURLToPath(new URL('./support/storeHolder.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', script, file], { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  const [line] = await once(createInterface({ input: child.stdout! }), 'line')
  return { child, said: JSON.parse(line as string) }
}

function failure(act: () => unknown): StoreError {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(StoreError)
    return error as StoreError
  }
  throw new Error('expected a StoreError')
}

describe('opening', () => {
  it('makes a private folder, sets WAL, and marks the run', () => {
    const store = open({ version: '9.8.7', now: () => 1_700_000_000_000 })
    expect(statSync(join(folder, 'data')).mode & 0o777).toBe(0o700)
    // The folder may be one that was there, and that others may look into.
    for (const part of ['', '-wal', '-shm']) expect(statSync(store.file + part).mode & 0o777).toBe(0o600)
    expect(store.db.pragma('journal_mode', { simple: true })).toBe('wal')
    expect(store.db.pragma('synchronous', { simple: true })).toBe(1)
    expect(store.db.pragma('foreign_keys', { simple: true })).toBe(1)
    expect(store.db.pragma('busy_timeout', { simple: true })).toBe(0)
    expect(store.db.prepare('SELECT * FROM instance').all()).toEqual([
      {
        id: store.instance,
        pid: process.pid,
        host: readHolder(file)?.host,
        version: '9.8.7',
        started_at: 1_700_000_000_000,
        heartbeat_at: 1_700_000_000_000,
        stopped_at: null,
      },
    ])
  })

  it('marks a clean stop, frees the file, and gives the next run another id', () => {
    const first = open()
    first.close()
    first.close()
    expect(readHolder(file)).toBeUndefined()
    const second = open()
    expect(second.instance).not.toBe(first.instance)
    const rows = second.db.prepare('SELECT id, stopped_at FROM instance').all() as {
      id: string
      stopped_at: number | null
    }[]
    expect(rows.find((row) => row.id === first.instance)?.stopped_at).toBeTypeOf('number')
    expect(rows.find((row) => row.id === second.instance)?.stopped_at).toBeNull()
  })

  it('stops, and frees the file, where nothing can be written any more', () => {
    const first = open()
    const journal = openJournal(journalFile(file), 0)
    const Database = loadDriver()
    const other = new Database(file)
    other.exec('BEGIN EXCLUSIVE')
    let mayRemove = false
    watchSteps(join(folder, 'data'), (_, what) => {
      if (!mayRemove && what.startsWith('rmSync')) throw Object.assign(new Error(what), { code: 'EACCES' })
    })
    journal.close(true)
    first.close()
    other.close()
    mayRemove = true
    expect(open().db.prepare('SELECT count(*) FROM instance').pluck().get()).toBe(2)
  })

  it('reads beside a running writer, and cannot write', () => {
    const writer = open()
    const reader = open({ readonly: true })
    expect(reader.db.prepare('SELECT id FROM instance').pluck().all()).toEqual([writer.instance])
    expect(() => reader.db.exec('DELETE FROM instance')).toThrow(/readonly/)
    expect(failure(() => openStore({ file: join(folder, 'absent.db'), readonly: true })).code).toBe('open_failed')
  })

  it('says in plain words that a file is not a database, and leaves it unlocked', () => {
    mkdirSync(join(folder, 'data'))
    writeFileSync(file, 'this is a text file, and a longer one than a header of a hundred bytes would be'.repeat(3))
    const error = failure(() => openStore({ file }))
    expect(error.code).toBe('not_a_database')
    expect(error.message).toContain(file)
    rmSync(file)
    open()
  })

  // A disk of its own takes a name space of its own, which not every machine gives.
  const namespaced = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', '-o', 'ro', 'tmpfs', '/mnt']).status === 0

  it.skipIf(!namespaced)('says of a folder on a read-only disk that the disk is read-only', () => {
    const main = fileURLToPath(new URL('../src/store/open.ts', import.meta.url))
    const script = `import { openStore } from ${JSON.stringify(main)}; openStore({ file: ${JSON.stringify(file)} })`
    writeFileSync(join(tmpdir(), `${basename(folder)}.mts`), script)
    const command = `mount -t tmpfs -o ro tmpfs '${folder}' && exec '${process.execPath}' --import tsx '${join(tmpdir(), basename(folder))}.mts'`
    const { stderr } = spawnSync('unshare', ['-rm', 'sh', '-c', command], { encoding: 'utf8' })
    rmSync(join(tmpdir(), `${basename(folder)}.mts`))
    expect(stderr).toContain(`The data folder ${join(folder, 'data')} cannot be made: EROFS: read-only file system`)
  })

  it.skipIf(!namespaced)('says of a database on a read-only disk that reading it takes writing, too', () => {
    open().close()
    const main = fileURLToPath(new URL('../src/store/open.ts', import.meta.url))
    const script = join(tmpdir(), `${basename(folder)}.mts`)
    const options = JSON.stringify({ file, readonly: true })
    writeFileSync(script, `import { openStore } from ${JSON.stringify(main)}; openStore(${options})`)
    const command = `mount --bind '${folder}' '${folder}' && mount -o remount,bind,ro '${folder}' && exec '${process.execPath}' --import tsx '${script}'`
    const { stderr } = spawnSync('unshare', ['-rm', 'sh', '-c', command], { encoding: 'utf8' })
    rmSync(script)
    expect(stderr).toContain(`${file} cannot be opened: `)
    expect(stderr).toContain(
      `Nothing can be written in ${dirname(file)}, which SQLite has to do also for who only reads`,
    )
  })

  it('says to who only reads that there is nothing of Turnout in a file', () => {
    mkdirSync(join(folder, 'data'))
    writeFileSync(file, '')
    expect(failure(() => open({ readonly: true })).message).toContain('is empty, or the database of another program')
    const other = new (loadDriver())(file)
    other.exec('CREATE TABLE request (a INTEGER)')
    other.close()
    expect(failure(() => open({ readonly: true })).code).toBe('not_a_database')
  })

  it('says what to do when the native driver is for another Node or missing', () => {
    const native = join(folder, 'broken.node')
    writeFileSync(native, 'not an ELF file')
    const mismatch = failure(() => loadDriver(native))
    expect(mismatch.code).toBe('driver_mismatch')
    expect(mismatch.message).toContain('Run `npm ci` with this Node')
    expect(mismatch.message).toContain(process.version)
    expect(failure(() => loadDriver(join(folder, 'absent.node'))).message).toContain('npm rebuild better-sqlite3')
  })

  it('takes the driver that is ready-made where the compiled one may end the process, is for another Node, or is absent', () => {
    const copy = join(folder, 'dist/driver.mjs')
    mkdirSync(join(folder, 'dist'))
    cpSync(join(buildTurnout().folder, 'dist/store/driver.js'), copy)
    const install = (name: string, loading: string, native = ''): void => {
      const place = join(folder, 'node_modules', name)
      mkdirSync(join(place, 'build/Release'), { recursive: true })
      writeFileSync(join(place, 'package.json'), JSON.stringify({ name: 'better-sqlite3', version: `0.0.0-${name}` }))
      writeFileSync(join(place, 'index.js'), `module.exports = class { constructor() { ${loading} } close() {} }`)
      writeFileSync(join(place, 'build/Release/better_sqlite3.node'), native)
    }
    const taken = (node: string): string => {
      const script = `
        Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${node}' } })
        const { driverRelease, driverTrouble } = await import(process.argv[1])
        try { console.log(driverRelease(), driverTrouble() ? 'unsound' : '') }
        catch ({ code, message }) { console.log(code, message) }`
      return spawnSync(process.execPath, ['--input-type=module', '-e', script, copy], {
        encoding: 'utf8',
      }).stdout.trim()
    }
    const alien = "throw Object.assign(new Error('another ABI'), { code: 'ERR_DLOPEN_FAILED' })"
    const [compiled, readyMade] = ['better-sqlite3', 'better-sqlite3-napi']
    expect(taken('20.20.2')).toMatch(/^driver_missing .*npm ci.*C\+\+ compiler/)
    install(compiled, '', 'node::RemoveEnvironmentCleanupHook')
    expect(taken('20.20.2')).toBe(`better-sqlite3 0.0.0-${compiled}`)
    expect(taken('24.21.0')).toBe(`better-sqlite3 0.0.0-${compiled} unsound`)
    install(readyMade, '')
    expect(taken('20.20.2')).toBe(`better-sqlite3 0.0.0-${compiled}`)
    expect(taken('24.21.0')).toBe(`better-sqlite3 0.0.0-${readyMade}`)
    install(compiled, alien)
    expect(taken('22.23.3')).toBe(`better-sqlite3 0.0.0-${readyMade}`)
    install(readyMade, "throw new Error('Node-API')")
    expect(taken('20.20.2')).toMatch(/^driver_mismatch .*Run `npm ci` with this Node/)
    rmSync(join(folder, 'node_modules', compiled), { recursive: true })
    install(readyMade, '')
    expect(taken('24.21.0')).toBe(`better-sqlite3 0.0.0-${readyMade}`)
  })

  it('knows a native driver that ends the process: one compiled with the headers of Node 24.19 and newer', () => {
    const [sound, unsound] = [join(folder, 'sound.node'), join(folder, 'unsound.node')]
    writeFileSync(sound, Buffer.from('\0_ZN4node25AddEnvironmentCleanupHookEPN2v87IsolateEPFvPvES3_\0'))
    writeFileSync(unsound, Buffer.from('\0_ZN4node28RemoveEnvironmentCleanupHookEPN2v87IsolateEPFvPvES3_\0'))
    expect(whyUnsound('24.21.0', unsound)).toMatch(/headers of Node 24\.21\.0 .*npm ci.*Node 22/)
    expect(whyUnsound('26.10.0', unsound)).toBeDefined()
    expect(whyUnsound('24.21.0', sound)).toBeUndefined()
    expect(whyUnsound('24.21.0', join(folder, 'absent.node'))).toBeUndefined()
    expect(whyUnsound('22.23.3', unsound)).toBeUndefined()
  })
})

describe('one writer', () => {
  it('refuses a second opening in the same process', () => {
    const store = open()
    const error = failure(() => openStore({ file }))
    expect(error.code).toBe('locked')
    expect(error.message).toContain(store.instance)
    // The refused one must not have taken the first one's lock down with it.
    expect(failure(() => openStore({ file })).code).toBe('locked')
    expect(readHolder(file)?.instance).toBe(store.instance)
  })

  it('refuses a second process, and names the file and the holder', async () => {
    open()
    const { child, said } = await startHolder()
    if (child.exitCode === null) await once(child, 'exit')
    expect(child.exitCode).toBe(3)
    expect(said).toMatchObject({ opened: false, code: 'locked' })
    expect(said.message).toContain(file)
    expect(said.message).toContain(`process ${process.pid} `)
  })

  it('is free at once when the holder is killed with SIGKILL, and knows that it died', async () => {
    const { child, said } = await startHolder()
    expect(said).toMatchObject({ opened: true })
    const refused = failure(() => openStore({ file }))
    expect(refused.code).toBe('locked')
    expect(refused.message).toContain(`process ${child.pid} `)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const store = open()
    expect(
      store.db.prepare('SELECT id FROM instance WHERE stopped_at IS NULL AND id <> ?').pluck().all(store.instance),
    ).toEqual([said.instance])
    expect(readHolder(file)?.pid).toBe(process.pid)
  })

  it('is free when the holder stops cleanly', async () => {
    const { child, said } = await startHolder()
    child.stdin?.write('stop\n')
    await once(child, 'exit')
    const store = open()
    const stopped = store.db.prepare('SELECT stopped_at FROM instance WHERE id = ?').pluck().get(said.instance)
    expect(stopped).toBeTypeOf('number')
  })
})

describe('C54 migrations', () => {
  let migrations: string

  beforeEach(() => {
    migrations = join(folder, 'migrations')
    cpSync(packageMigrations, migrations, { recursive: true })
  })

  const known = (): number => readdirSync(migrations).filter((name) => name.endsWith('.sql')).length
  const nextName = (suffix: string): string => `${String(known() + 1).padStart(4, '0')}_${suffix}.sql`
  const openHere = (): Store => open({ migrationsDir: migrations })

  it('C54 applies each file once and records its checksum', () => {
    const first = openHere()
    expect(first.migrated).toEqual(Array.from({ length: known() }, (_, index) => index + 1))
    first.close()
    writeFileSync(join(migrations, nextName('more')), 'CREATE TABLE more (a INTEGER); INSERT INTO more VALUES (7);')
    const second = openHere()
    expect(second.migrated).toEqual([known()])
    expect(second.db.prepare('SELECT a FROM more').pluck().all()).toEqual([7])
    second.close()
    expect(openHere().migrated).toEqual([])
  })

  it('C54 comes to the same schema from every earlier version', () => {
    const Database = loadDriver()
    const all = readMigrations(packageMigrations)
    const schemaOf = (db: InstanceType<typeof Database>): unknown =>
      db.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name').all()
    const straight = new Database(':memory:')
    migrate(straight, 'memory', all, 1)
    for (let from = 0; from <= all.length; from++) {
      const path = join(folder, `from-${from}.db`)
      const old = new Database(path)
      migrate(old, path, all, 1, from)
      if (from >= 1) {
        old.exec(
          "INSERT INTO instance (id, pid, host, version, started_at, heartbeat_at) VALUES ('old', 1, 'h', 'v', 1, 1)",
        )
      }
      old.close()
      const told: number[][] = []
      const store = open({ file: path, migrating: (...numbers) => void told.push(numbers) })
      // A new database is not brought anywhere.
      expect(told).toEqual(from === 0 || from === all.length ? [] : [[from, all.length]])
      expect(store.migrated).toEqual(all.slice(from).map((migration) => migration.number))
      expect(schemaOf(store.db)).toEqual(schemaOf(straight))
      if (from >= 1) expect(store.db.prepare("SELECT version FROM instance WHERE id = 'old'").pluck().get()).toBe('v')
    }
    straight.close()
  })

  it('C54 keeps what the cache saved of requests whose rows stood in a table of their own', () => {
    const all = readMigrations(packageMigrations)
    const path = join(folder, 'cached.db')
    const old = new (loadDriver())(path)
    migrate(old, path, all, 1, 13)
    old.exec("INSERT INTO name (id, text) VALUES (901, 'hit'), (902, 'route')")
    const insert =
      old.prepare(`INSERT INTO request VALUES (?, 902${', 902'.repeat(2)}, NULL, NULL, 902, 0, 1, 200, 902, 902,
      5, NULL, NULL, 0, 0, 0, 0, 0)`)
    for (const id of [4096, 8192, 12_288]) insert.run(id)
    old.exec('INSERT INTO request_cache VALUES (4096, 901, 7, 1234), (12288, 901, NULL, NULL)')
    old.close()
    const store = open({ file: path })
    expect(store.db.prepare('SELECT id, cache, cache_age_s, cache_saved FROM requests ORDER BY id').all()).toEqual([
      { id: 4096, cache: 'hit', cache_age_s: 7, cache_saved: 1234 },
      { id: 8192, cache: null, cache_age_s: null, cache_saved: null },
      { id: 12_288, cache: 'hit', cache_age_s: null, cache_saved: null },
    ])
  })

  it('C54 keeps what a rollout made of requests whose rows said all of it themselves', () => {
    const all = readMigrations(packageMigrations)
    const path = join(folder, 'moved.db')
    const old = new (loadDriver())(path)
    migrate(old, path, all, 1, 18)
    old.exec(
      "INSERT INTO name (id, text) VALUES (901, 'move'), (902, 'canary'), (903, 'stable'), (904, 'hash'), (905, 'ok'), (906, 'cut')",
    )
    const names = '901, 901, 901'
    const request = old.prepare(
      `INSERT INTO request VALUES (?, ${names}, NULL, NULL, 901, 0, 1, 200, 905, 0, 5, NULL, NULL, 0, 0, 0, 0, 0, NULL, NULL, NULL)`,
    )
    const insert = old.prepare(
      `INSERT INTO request_rollout VALUES (?, 901, ?, ?, 50000, 904, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?)`,
    )
    for (const id of [4096, 8192, 12_288, 16_384, 20_480]) request.run(id)
    //          id,  revision, arm, unit, arrival, first, bad, clean, served, rollout, attempt, epoch, seen, shares
    insert.run(4096, 3, 902, null, 1, 905, 0, null, 902, 7, 1, 2_900_000, 511, null)
    insert.run(8192, 3, 902, null, 2, 905, 0, null, 902, 7, 1, 2_900_001, 511, null)
    insert.run(12_288, 3, 903, '00ff', 3, 906, 1, 47_100, 903, 7, 1, 2_900_001, 511, '{"0":47100}')
    insert.run(16_384, 3, 903, null, 4, 905, 0, null, 0, 7, 1, null, null, null)
    old.close()
    const store = open({ file: path })
    const columns =
      'id, rollout, revision, arm, propensity_ppm, assignment, unit, arrival_seq, first_attempt_class, bad_mask, clean_share_ppm, served_arm'
    const common = {
      rollout: 'move',
      revision: 3,
      propensity_ppm: 50_000,
      assignment: 'hash',
      unit: null,
      clean_share_ppm: null,
    }
    const canary = { ...common, arm: 'canary', first_attempt_class: 'ok', bad_mask: 0, served_arm: 'canary' }
    const nothing = Object.fromEntries(columns.split(', ').map((column) => [column, null]))
    expect(store.db.prepare(`SELECT ${columns} FROM requests ORDER BY id`).all()).toEqual([
      { ...canary, id: 4096, arrival_seq: 1 },
      { ...canary, id: 8192, arrival_seq: 2 },
      {
        ...{ ...common, id: 12_288, arm: 'stable', arrival_seq: 3, first_attempt_class: 'cut', bad_mask: 1 },
        ...{ unit: '00ff', clean_share_ppm: 47_100, served_arm: 'stable' },
      },
      { ...common, id: 16_384, arm: 'stable', arrival_seq: 4, first_attempt_class: 'ok', bad_mask: 0, served_arm: '' },
      { ...nothing, id: 20_480 },
    ])
    expect([...readBetween(store.db, 7, 1, 0, 1e6)]).toEqual([
      ...[4096, 8192].map((id, n) => ({
        ...{ id, revision: 3, arrival: n + 1, unit: undefined, firstAttempt: 'ok' },
        record: { epoch: 2_900_000 + n, ppm: 50_000, canary: true, seen: 511, bad: 0, shares: undefined },
      })),
      {
        ...{ id: 12_288, revision: 3, arrival: 3, unit: '00ff', firstAttempt: 'cut' },
        record: { epoch: 2_900_001, ppm: 50_000, canary: false, seen: 511, bad: 1, shares: { 0: 47_100 } },
      },
    ])
    // Those that are alike are one case.
    expect(store.db.prepare('SELECT count(*) FROM rollout_case').pluck().get()).toBe(3)
  })

  it('C54 a failing file is rolled back whole, and the program refuses to start', () => {
    const name = nextName('broken')
    writeFileSync(
      join(migrations, name),
      'CREATE TABLE half (a INTEGER);\nINSERT INTO half VALUES (1);\nINSERT INTO nowhere VALUES (2);',
    )
    const error = failure(openHere)
    expect(error.code).toBe('migration_failed')
    expect(error.message).toContain(name)
    expect(error.message).toContain('nowhere')
    rmSync(join(migrations, name))
    const store = openHere()
    expect(store.db.prepare("SELECT name FROM sqlite_schema WHERE name = 'half'").all()).toEqual([])
    // The files before the broken one stay: each is a transaction of its own.
    expect(store.migrated).toEqual([])
  })

  it('C54 a file that was changed after it was applied is refused', () => {
    openHere().close()
    const name = readdirSync(migrations).sort()[0]!
    const text = readFileSync(join(migrations, name), 'utf8')
    writeFileSync(join(migrations, name), text.replaceAll('\n', '\r\n'))
    openHere().close()
    writeFileSync(join(migrations, name), `${text}\n-- a later thought`)
    const error = failure(openHere)
    expect(error.code).toBe('migration_changed')
    expect(error.message).toContain(name)
  })

  it('C54 a missing or renamed applied file is refused', () => {
    const extra = nextName('extra')
    writeFileSync(join(migrations, extra), 'CREATE TABLE extra (a INTEGER);')
    openHere().close()
    rmSync(join(migrations, extra))
    writeFileSync(join(migrations, nextName('other')), 'CREATE TABLE extra (a INTEGER);')
    const error = failure(openHere)
    expect(error.code).toBe('migration_missing')
    expect(error.message).toContain(extra)
  })

  it('C54 a database that is newer than the program is refused', () => {
    const extra = nextName('future')
    writeFileSync(join(migrations, extra), 'CREATE TABLE future (a INTEGER);')
    openHere().close()
    rmSync(join(migrations, extra))
    const error = failure(openHere)
    expect(error.code).toBe('newer_database')
    expect(error.message).toContain(extra)
    expect(failure(() => openStore({ file, readonly: true, migrationsDir: migrations })).code).toBe('newer_database')
  })

  it('the database of another program gets no tables of ours', () => {
    const Database = loadDriver()
    mkdirSync(dirname(file), { recursive: true })
    const other = new Database(file)
    other.exec('CREATE TABLE notes (a INTEGER)')
    other.close()
    const before = readFileSync(file)
    expect(failure(openHere)).toMatchObject({ code: 'not_a_database', message: expect.stringContaining(file) })
    expect(readFileSync(file)).toEqual(before)
    // Nothing is in it yet: it becomes ours.
    new Database(`${file}.new`).close()
    openStore({ file: `${file}.new`, migrationsDir: migrations }).close()
  })

  it('C54 gaps, odd names and transaction words in files are refused before anything is touched', () => {
    writeFileSync(join(migrations, '0099_gap.sql'), 'SELECT 1;')
    expect(failure(openHere).code).toBe('migration_invalid')
    rmSync(join(migrations, '0099_gap.sql'))
    writeFileSync(join(migrations, 'later.sql'), 'SELECT 1;')
    expect(failure(openHere).code).toBe('migration_invalid')
    rmSync(join(migrations, 'later.sql'))
    writeFileSync(join(migrations, nextName('commit')), 'CREATE TABLE a (b INTEGER);\nCOMMIT;\n')
    expect(failure(openHere).code).toBe('migration_invalid')
    expect(readdirSync(folder)).not.toContain('data')
  })
})
