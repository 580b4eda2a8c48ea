// C53: the process is killed at random moments under load, and everything it was promised is in the ledger, once.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { journalFile, readJournal } from '../src/store/journal.ts'
import { readJournalPlace } from '../src/store/journalPlace.ts'
import { openLedger } from '../src/store/ledger.ts'
import { openStore } from '../src/store/open.ts'
import { verifyLedger } from '../src/store/verify.ts'
import { drawOf } from './support/draws.ts'

let folder: string
let file: string
let child: ChildProcess | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-crash-'))
  file = join(folder, 'turnout.db')
})

afterEach(async () => {
  if (child && child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  rmSync(folder, { recursive: true, force: true })
})

interface Promised {
  intents: Set<number>
  settled: Map<number, number>
  refused: string[]
}

const script = fileURLToPath(new URL('./support/ledgerLoad.ts', import.meta.url))

/** Runs the load for so many milliseconds, and until so many rows were promised; kills it, and returns what it said until then. */
async function runAndKill(mode: string, killAfter: number, least = 25): Promise<Promised> {
  child = spawn(process.execPath, ['--import', 'tsx', script, file, mode], { stdio: ['ignore', 'pipe', 'inherit'] })
  const said = text(child.stdout!)
  let settled = 0
  const enough = new Promise<void>((resolve) => {
    child!.stdout!.on('data', (piece: Buffer) => {
      settled += String(piece).split('S ').length - 1
      if (settled >= least) resolve()
    })
  })
  await once(child.stdout!, 'data')
  await new Promise((resolve) => setTimeout(resolve, killAfter))
  await enough
  expect(child.exitCode).toBeNull()
  child.kill('SIGKILL')
  await once(child, 'exit')
  return parse(await said)
}

function parse(said: string): Promised {
  const promised: Promised = { intents: new Set(), settled: new Map(), refused: [] }
  const lines = said.split('\n')
  // What follows the last line end is half a line.
  for (const line of lines.slice(0, -1)) {
    const [what, first, second] = line.split(' ')
    if (what === 'I') promised.intents.add(Number(first))
    if (what === 'S') promised.settled.set(Number(first), Number(second))
    if (what === 'F') promised.refused.push(String(first))
  }
  return promised
}

/** Records that the journal holds and the database does not. */
function recordsBehind(): number {
  const store = openStore({ file, readonly: true })
  try {
    return [...readJournal(journalFile(file), readJournalPlace(store.db))].length
  } finally {
    store.close()
  }
}

/** Opens the ledger as the next start would, and holds it against all that was promised so far. */
async function compare(promised: Promised): Promise<{ requests: number; orphans: number }> {
  const store = openStore({ file })
  const ledger = openLedger(store)
  try {
    const requests = new Map(
      (
        store.db.prepare('SELECT id, cost, outcome FROM requests').all() as {
          id: number
          cost: number
          outcome: string
        }[]
      ).map((row) => [row.id, row]),
    )
    const attempts = new Set(store.db.prepare('SELECT id FROM attempt').pluck().all() as number[])
    const wrong: string[] = []
    for (const [id, cost] of promised.settled) {
      const row = requests.get(id)
      if (row?.outcome !== 'ok' || row.cost !== cost)
        wrong.push(`settled ${id} is ${JSON.stringify(row)}, promised ${cost}`)
    }
    for (const id of promised.intents) if (!attempts.has(id)) wrong.push(`intent ${id} is lost`)
    expect(wrong).toEqual([])
    const verified = verifyLedger(store.db)
    expect(verified).toMatchObject({ ok: true, problems: [], open: 0 })
    // Nothing but what was asked for: a row more would be a request counted twice.
    expect(requests.size).toBe(verified.requests)
    return { requests: requests.size, orphans: ledger.stats.orphans }
  } finally {
    await ledger.close()
    store.close()
  }
}

describe('C53 kill -9', () => {
  for (const [mode, rounds] of [
    ['process', 6],
    ['journal', 6],
    ['power', 3],
  ] as const) {
    it(`C53 nothing promised is lost, ${rounds} rounds in mode ${mode}`, { timeout: 300_000 }, async () => {
      const draw = drawOf(20)
      const all: Promised = { intents: new Set(), settled: new Map(), refused: [] }
      let orphans = 0
      let behind = 0
      for (let round = 0; round < rounds; round++) {
        const promised = await runAndKill(mode, 60 + draw() * 400)
        expect(promised.refused).toEqual([])
        behind += recordsBehind()
        for (const id of promised.intents) {
          expect(all.intents.has(id)).toBe(false)
          all.intents.add(id)
        }
        for (const [id, cost] of promised.settled) all.settled.set(id, cost)
        const found = await compare(all)
        orphans += found.orphans
      }
      expect(all.settled.size).toBeGreaterThan(rounds * 20)
      // 16 clients are always in the middle of something: a round without an open call would mean that the test looks at nothing.
      expect(orphans).toBeGreaterThan(0)
      // So would one without a row that only the journal holds.
      if (mode === 'journal') expect(behind).toBeGreaterThan(0)
    })
  }

  it('C53 relaxed may lose the last moments, but what is there is whole', { timeout: 300_000 }, async () => {
    const promised = await runAndKill('relaxed', 400)
    const { requests } = await compare({ intents: new Set(), settled: new Map(), refused: [] })
    expect(requests).toBeGreaterThan(0)
    expect(promised.settled.size).toBeGreaterThan(requests / 2)
  })
})

describe('C53 a disk that is full', () => {
  it.each(['process', 'journal'])(
    'C53 the file-size limit is met in mode %s: rows are refused with a type, and all that was promised is there',
    {
      timeout: 300_000,
    },
    async (mode) => {
      // 512-byte blocks: a file may grow to 2.4 MB, which holds hundreds of requests also when each has a commit of its own.
      const command = `ulimit -f 4800; exec "$0" --import tsx "$1" "$2" ${mode} 4000`
      child = spawn('/bin/sh', ['-c', command, process.execPath, script, file], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const [said] = await Promise.all([text(child.stdout!), once(child, 'exit')])
      const promised = parse(said)
      expect(said.endsWith('E\n')).toBe(true)
      expect(promised.settled.size).toBeGreaterThan(50)
      expect(promised.refused.length).toBeGreaterThan(50)
      expect(promised.refused.filter((code) => code !== 'full' && code !== 'io')).toEqual([])
      await compare(promised)
    },
  )
})
