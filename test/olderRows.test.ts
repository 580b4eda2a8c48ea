// Rows of rollouts in a database of an older program, for who only reads: only a start changes the schema.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { loadDriver } from '../src/store/driver.ts'
import { migrate, packageMigrations, readMigrations } from '../src/store/migrate.ts'
import { openStore } from '../src/store/open.ts'
import { openReader } from '../src/store/reader.ts'
import { readBetween } from '../src/store/rolloutRows.ts'

let folder: string
let file: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-older-'))
  file = join(folder, 'turnout.db')
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Two requests of `move`, one of `other`, and one of no rollout. */
function makeOlder(migrations: number): void {
  const old = new (loadDriver())(file)
  migrate(old, file, readMigrations(packageMigrations), 1, migrations)
  old.exec(
    "INSERT INTO name (id, text) VALUES (1, 'move'), (2, 'other'), (3, 'canary'), (4, 'stable'), (5, 'hash'), (6, 'ok'), (7, 'cut')",
  )
  const insert = (table: string, row: Record<string, number | string | null>): void => {
    const columns = Object.keys(row)
    old
      .prepare(`INSERT INTO ${table} (${columns}) VALUES (${columns.map((column) => `@${column}`).join(', ')})`)
      .run(row)
  }
  const request = {
    ...{ route: 1, key: 1, team: 1, dialect: 1, stream: 0, config: 1, status: 200, outcome: 6, error: 0, attempts: 0 },
    ...{ tokens_in: 0, tokens_out: 0, cost: 0, estimated: 0 },
  }
  for (const id of [4096, 8192, 12_288, 16_384]) insert('request', { id, ...request })
  const row = { revision: 3, propensity_ppm: 50_000, assignment: 5, unit: '00ff', served_arm: 4 }
  const evidence: Record<string, number> =
    migrations < 11 ? {} : { rollout_id: 7, attempt: 1, epoch: 2_900_000, seen: 511 }
  const well = { arm: 3, first_attempt_class: 6, bad_mask: 0 }
  insert('request_rollout', { id: 4096, rollout: 1, arrival_seq: 1, ...row, ...well, ...evidence })
  const cut = { arm: 4, first_attempt_class: 7, bad_mask: 1 }
  const shares: Record<string, string> = migrations < 11 ? {} : { shares: '{"0":47100}' }
  insert('request_rollout', { id: 8192, rollout: 1, arrival_seq: 2, ...row, ...cut, ...evidence, ...shares })
  const other: Record<string, number> = migrations < 11 ? {} : { ...evidence, rollout_id: 8 }
  insert('request_rollout', { id: 12_288, rollout: 2, arrival_seq: 1, ...row, ...well, ...other })
  old.close()
}

async function exported(): Promise<(string | null)[]> {
  const reader = openReader(file)
  try {
    let text = ''
    for await (const piece of reader.export({ rows: 'requests', format: 'jsonl', rollout: 'move' })) text += piece
    const lines = text.trimEnd().split('\n')
    return lines.map((line) => (JSON.parse(line) as { first_attempt_class: string | null }).first_attempt_class)
  } finally {
    await reader.close()
  }
}

it('are found by their rollout, and are the evidence that they were', async () => {
  makeOlder(18)
  const store = openStore({ file, readonly: true })
  try {
    const record = { epoch: 2_900_000, ppm: 50_000, seen: 511 }
    expect([...readBetween(store.db, 7, 1, 0, Number.MAX_SAFE_INTEGER)]).toEqual([
      {
        ...{ id: 4096, revision: 3, arrival: 1, unit: '00ff', firstAttempt: 'ok' },
        record: { ...record, canary: true, bad: 0, shares: undefined },
      },
      {
        ...{ id: 8192, revision: 3, arrival: 2, unit: '00ff', firstAttempt: 'cut' },
        record: { ...record, canary: false, bad: 1, shares: { 0: 47_100 } },
      },
    ])
  } finally {
    store.close()
  }
  expect(await exported()).toEqual(['ok', 'cut'])
  const reader = openReader(file)
  const page = await reader.rolloutRequests({ rollout: 7, since: 0, arm: 'canary', limit: 10 })
  await reader.close()
  expect(page.rows.map(({ id }) => id)).toEqual([4096])
  // Nothing of this is in the file: the older program still knows it.
  const after = new (loadDriver())(file, { readonly: true })
  expect(after.prepare('SELECT max(number) FROM migration').pluck().get()).toBe(18)
  expect(after.prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'rollout_case'").pluck().get()).toBe(0)
  after.close()
})

it('are found by the name of their rollout where there was no evidence in them yet', async () => {
  makeOlder(10)
  expect(await exported()).toEqual(['ok', 'cut'])
})
