// docs/ledger.md keeps up with the program: its routes and metrics are all that there are, its SQL runs.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { listRequests, showRequest } from '../src/http/admin/requests.ts'
import { spend } from '../src/http/admin/spend.ts'
import { eraseUser, eraseUserQuietly, exportUser } from '../src/http/admin/users.ts'
import { openLedger } from '../src/store/ledger.ts'
import { openStore } from '../src/store/open.ts'
import { metricTable } from '../src/telemetry/metricTable.ts'
import { attemptRow, requestRow } from './support/ledgerRows.ts'

const page = readFileSync(new URL('../docs/ledger.md', import.meta.url), 'utf8')

it('has a row for each route, with its role', () => {
  for (const { method, path, role } of [spend, listRequests, showRequest, exportUser, eraseUser, eraseUserQuietly]) {
    expect(page).toContain(`| \`${method} /admin${path}\` | ${role} |`)
  }
})

it('names each metric of the ledger and of money', () => {
  const all = Object.values(metricTable).map(({ name }) => name)
  const ours = all.filter((name) => name.startsWith('turnout_ledger_') || /cost|unpriced|tokens_total/.test(name))
  expect(ours.length).toBeGreaterThan(10)
  for (const name of ours) expect(page).toContain(name)
})

it('names each column of the views, where it speaks of that view', () => {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-docs-'))
  const store = openStore({ file: join(folder, 'turnout.db') })
  try {
    const rows = page.slice(page.indexOf('## Rows'), page.indexOf('### Ids'))
    const [requests, attempts] = rows.split('`attempts`, one row for each')
    for (const [view, text] of [
      ['requests', requests!],
      ['attempts', attempts!],
    ] as const) {
      const columns = store.db.prepare(`SELECT name FROM pragma_table_info('${view}')`).all() as { name: string }[]
      expect(columns.length).toBeGreaterThan(20)
      expect(columns.filter(({ name }) => !text.includes(`\`${name}\``))).toEqual([])
    }
  } finally {
    store.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

it('holds SQL that runs and finds something', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-docs-'))
  const store = openStore({ file: join(folder, 'turnout.db') })
  const ledger = openLedger(store)
  try {
    const id = ledger.nextRequestId()
    const first = attemptRow(id, 1, { fault: 'overloaded', cost: 0 })
    await ledger.settle(requestRow(id, { route: 'chat-default', stream: true }), [first, attemptRow(id, 2)])
    const queries = [...page.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, text]) => text!)
    expect(queries).toHaveLength(4)
    for (const query of queries) expect([query, store.db.prepare(query).all().length]).toEqual([query, 1])
  } finally {
    await ledger.close()
    store.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

it('shows costs that are those of the tokens beside them, at the prices of the demo', () => {
  const demo = parse(readFileSync(new URL('../examples/demo.yaml', import.meta.url), 'utf8'))
  const { input, cacheRead, output } = demo.prices['sim-*']
  const sums = [...page.matchAll(/^\{.*"cost_nano_usd".*$/gm)].map(([line]) => JSON.parse(line))
  expect(sums).toHaveLength(3)
  for (const { tokens, cost_nano_usd, cost_usd } of sums) {
    expect(1000 * (tokens.input * input + tokens.cache_read * cacheRead + tokens.output * output)).toBe(cost_nano_usd)
    expect(Math.round(cost_usd * 1e9)).toBe(cost_nano_usd)
  }
  const total = String(sums.at(-1).cost_usd)
  expect(page).toMatch(new RegExp(`^total .* ${total} +0$`, 'm'))
  expect(page).toContain(`9 upstream calls, ${total} USD`)
})
