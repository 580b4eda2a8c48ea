// Commands on the database of a gateway that died: none passes for a run of its own, so that all that is known of the last run stays.
import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { journalFile } from '../src/store/journal.ts'
import { openStore } from '../src/store/open.ts'
import { buildTurnout } from './support/crash/build.ts'
import { runCli, spawnServer } from './support/crash/server.ts'
import { post } from './support/exchange.ts'
import { leaveOlderRun } from './support/olderRun.ts'

const build = buildTurnout()
let folder: string
let config: string
let vendor: HttpServer

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-offline-'))
  config = join(folder, 'turnout.yaml')
})
afterAll(async () => {
  vendor.closeAllConnections()
  vendor.close()
  await once(vendor, 'close')
  rmSync(folder, { recursive: true, force: true })
})

const configure = (more: object): void => {
  const { port } = vendor.address() as AddressInfo
  const sim = { kind: 'openai', baseUrl: `http://127.0.0.1:${port}/v1`, apiKey: 'sk-test-upstream-0123456789' }
  const server = { port: 0 }
  writeFileSync(config, JSON.stringify({ server, dataDir: folder, providers: { sim }, directModels: true, ...more }))
}

/** All that the database knows of runs. */
function runs(): unknown[] {
  const store = openStore({ file: join(folder, 'turnout.db'), readonly: true })
  try {
    return store.db.prepare('SELECT * FROM instance ORDER BY started_at').all()
  } finally {
    store.close()
  }
}

it('no command is a run: calls of the dead gateway stay in flight until the next start settles them', async () => {
  let asked: () => void = () => {}
  const calls = new Promise<void>((resolve) => {
    asked = resolve
  })
  // Takes calls and never answers.
  vendor = createServer(() => asked())
  vendor.listen(0, '127.0.0.1')
  await once(vendor, 'listening')

  // Two versions of the configuration, by two runs; the second one dies in the middle of a call.
  configure({ log: { level: 'warn' } })
  const first = spawnServer({ build, config, folder })
  await first.listening
  expect(await first.stop()).toBe(0)
  configure({ log: { level: 'info' } })
  const second = spawnServer({ build, config, folder })
  const url = await second.listening
  const body = { model: 'sim/any', messages: [{ role: 'user', content: 'Say hello' }] }
  const lost = post(`${url}/v1/chat/completions`, body).catch(() => {})
  await calls
  await second.kill()
  await lost

  const before = runs()
  expect(before).toMatchObject([{ stopped_at: expect.any(Number) }, { stopped_at: null }])
  const cli = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await runCli(build, [...args, '--config', config], folder)
    expect([code, err], args.join(' ')).toEqual([0, ''])
    return out
  }
  const inFlight = /^ok: 0 requests, 0 upstream calls, 0 USD, 1 in flight\n$/
  // The first one brings in what the journal holds.
  expect(await cli('ledger', 'verify')).toMatch(inFlight)
  expect(await cli('config', 'rollback', '1')).toBe('version 3 is version 1 again\n')
  expect(await cli('config', 'rollback', '3')).toMatch(/^nothing changed/)
  await cli('config', 'history')
  await cli('config', 'diff')
  await cli('spend')
  await cli('ledger', 'tail', '--no-follow')
  await cli('ledger', 'export')
  await cli('backup', join(folder, 'copy.db'))
  expect(await cli('ledger', 'verify')).toMatch(inFlight)
  expect(runs()).toEqual(before)
  expect(readdirSync(folder).filter((name) => /holder|restor/.test(name))).toEqual([])

  const third = spawnServer({ build, config, folder })
  await third.listening
  expect(third.log()).toContain('"event":"orphans"')
  expect(await third.stop()).toBe(0)
  expect(runs()).toHaveLength(3)
  expect(await cli('ledger', 'verify')).toMatch(/^ok: 1 requests, 1 upstream calls, .* 0 in flight\n$/)
})

it('a backup that lacks what a dead run of an older version left is made, and fails for who goes by its exit code', async () => {
  const file = join(folder, 'older.db')
  leaveOlderRun(file)
  const { code, out, err } = await runCli(build, ['backup', '--db', file, join(folder, 'old-copy.db')], folder)
  expect([code, out]).toEqual([1, expect.stringMatching(/old-copy\.db: 0 requests, \d+ bytes, sound\n/)])
  expect(err).toMatch(
    /^The last rows of .* are missing: .*\n.*old-copy\.db lacks the last rows: only .*older\.db\.journal has them\.\n$/,
  )
  expect(existsSync(journalFile(file))).toBe(true)
})

it('a database of an older version is rolled back by no newer one: only a start changes the schema', async () => {
  const file = join(folder, 'kept.db')
  leaveOlderRun(file)
  const schema = () => {
    const store = openStore({ file, readonly: true })
    try {
      return store.db.prepare('SELECT count(*) FROM migration').pluck().get()
    } finally {
      store.close()
    }
  }
  const before = schema()
  const { code, out, err } = await runCli(build, ['config', 'rollback', '1', '--db', file], folder)
  expect([code, out, err]).toEqual([1, '', expect.stringContaining('is of an older Turnout')])
  expect(schema()).toBe(before)
})

it('of a damaged page it is told what to do, by a start, too', async () => {
  const file = join(folder, 'damaged.db')
  const store = openStore({ file })
  const page = store.db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'attempt'").pluck().get() as number
  const size = store.db.pragma('page_size', { simple: true }) as number
  store.close()
  const handle = openSync(file, 'r+')
  writeSync(handle, Buffer.alloc(size, 7), 0, size, (page - 1) * size)
  closeSync(handle)
  configure({ ledger: { file } })
  for (const args of [
    ['ledger', 'export', '--rows', 'attempts', '--db', file],
    ['serve', '-c', config],
  ])
    expect(await runCli(build, args, folder)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/malformed: the database is damaged\. .*`turnout restore FILE`/),
    })
})
