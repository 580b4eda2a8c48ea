// Random runs of the ledger against a model: locks, a full database, unfit rows, clocks that go back, kills at any moment. Seeded.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { loadDriver, type Sqlite } from '../src/store/driver.ts'
import { type Ledger, openLedger } from '../src/store/ledger.ts'
import { attemptId, requestOf } from '../src/store/ledgerId.ts'
import { bringInLeftovers } from '../src/store/leftovers.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { verifyLedger } from '../src/store/verify.ts'
import { drawOf } from './support/draws.ts'
import { attemptRow, intentOf, requestRow } from './support/ledgerRows.ts'

/** What was handed over and promised, in all runs on one database up to a moment. */
interface Model {
  /** Attempts that were ever announced or settled, requests that were ever settled, whether promised or not. */
  handed: Set<number>
  intents: Set<number>
  /** Refused: nothing of it may be there, unless its request was settled. */
  refused: Set<number>
  /** Cost by request. */
  settled: Map<number, number>
  /** Unfit for SQLite, which says so only when it sees them: no promise is made of them. */
  unfit: Set<number>
  /** Announced, freed, and a row that was handed over later is promised. */
  freed: Set<number>
}

const copyOf = (model: Model): Model => ({
  handed: new Set(model.handed),
  intents: new Set(model.intents),
  refused: new Set(model.refused),
  settled: new Map(model.settled),
  unfit: new Set(model.unfit),
  freed: new Set(model.freed),
})

/** Refused by a trigger of the test, as a constraint would. */
const unfitStatus = 599
const most = 1_073_741_823

let root = ''
const disposals: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const dispose of disposals.splice(0).reverse()) await dispose()
  if (root) rmSync(root, { recursive: true, force: true })
})

interface Run {
  ledger: Ledger
  store: Store
  /** Another program. */
  other: Sqlite
  open: Set<Promise<void>>
  follow(work: Promise<void>): void
  killed: { folder: string; model: Model } | undefined
  /** Copies the folder as a kill at this instruction would leave it, when the callback comes next. */
  killAt: 'commit' | 'trouble' | undefined
  dispose(): Promise<void>
}

class World {
  readonly seen: Record<string, number> = {}
  model: Model = {
    handed: new Set(),
    intents: new Set(),
    refused: new Set(),
    settled: new Map(),
    unfit: new Set(),
    freed: new Set(),
  }
  folder: string
  #folders = 0
  /** The clock of this machine is off by so much. */
  #shift = 0

  readonly draw: () => number

  constructor(draw: () => number) {
    this.draw = draw
    this.folder = join(root, 'f0')
    mkdirSync(this.folder)
  }

  get file(): string {
    return join(this.folder, 'turnout.db')
  }

  count(what: string): void {
    this.seen[what] = (this.seen[what] ?? 0) + 1
  }

  below(end: number): number {
    return Math.floor(this.draw() * end)
  }

  start(): Run {
    // Clocks are set back between runs; no id may come again.
    this.#shift -= this.below(3) * 60_000
    const shift = this.#shift
    const now = (): number => Date.now() + shift
    const store = openStore({ file: this.file, now })
    store.db.exec(`CREATE TRIGGER IF NOT EXISTS unfit BEFORE INSERT ON request WHEN new.status = ${unfitStatus}
      BEGIN SELECT RAISE(ABORT, 'unfit'); END`)
    const Database = loadDriver()
    const other = new Database(this.file, { timeout: 0 })
    const ledger = openLedger(store, {
      mode: this.below(8) === 0 ? 'power' : 'process',
      smallCommits: this.below(2) * 20,
      lockTimeout: 5 + this.below(30),
      now,
      onCommit: () => this.#dieAt(run, 'commit'),
      onTrouble: () => this.#dieAt(run, 'trouble'),
    })
    this.count(ledger.mode)
    const run: Run = {
      ledger,
      store,
      other,
      open: new Set(),
      follow(work) {
        const one: Promise<void> = work.finally(() => run.open.delete(one))
        run.open.add(one)
      },
      killed: undefined,
      killAt: undefined,
      dispose: async () => {
        if (!store.db.open) return
        if (other.inTransaction) other.exec('ROLLBACK')
        other.close()
        store.db.pragma(`max_page_count = ${most}`)
        await ledger.close()
        store.close()
      },
    }
    disposals.push(run.dispose)
    return run
  }

  #dieAt(run: Run | undefined, moment: 'commit' | 'trouble'): void {
    if (run?.killAt === moment) this.kill(run, moment)
  }

  /** Another process copies: in this one, closing a file of the database would drop SQLite's locks on it. */
  kill(run: Run, moment: string): void {
    if (run.killed) return
    const folder = join(root, `f${++this.#folders}`)
    // The log first: what a checkpoint moves meanwhile is then in the log's copy, too.
    const files = ['-wal', '', '.journal'].map((ending) => this.file + ending).filter(existsSync)
    mkdirSync(folder)
    expect(spawnSync('cp', [...files, folder]).status).toBe(0)
    run.killed = { folder, model: copyOf(this.model) }
    this.count(`killed ${moment}`)
    if (run.ledger.stats.behind() > 0) this.count('killed with rows in the journal alone')
  }

  /** One request from its intent to its end, or to where it is left open. */
  async request(run: Run, plain = false): Promise<void> {
    const { ledger } = run
    const { model } = this
    const id = ledger.nextRequestId()
    // No id comes again that anything is on record of.
    expect(model.settled.has(id) || model.intents.has(attemptId(id, 1))).toBe(false)
    const serves = this.below(3) === 0
    const unfit = !plain && this.below(25) === 0
    const user = `u_${this.below(5)}`
    let legs = 1 + this.below(2)
    const attempts = []
    let cost = 0
    for (let n = 1; n <= legs; n++) {
      const attempt = attemptId(id, n)
      model.handed.add(attempt)
      try {
        await ledger.intend(intentOf(id, n, { user }))
        model.intents.add(attempt)
        model.refused.delete(attempt)
      } catch {
        this.count('refused intent')
        model.refused.add(attempt)
        if (!serves) break
        // Of two calls, the first of which is not on record, a kill would leave the second alone: a gap, and no wrong one.
        legs = n
      }
      if (this.below(3) === 0) await pause(this.below(12))
      const failed = n < legs
      attempts.push(
        attemptRow(id, n, { cost: failed ? 0 : 1 + this.below(1e6), ...(failed ? { fault: 'reset' } : {}) }),
      )
      cost += attempts.at(-1)!.cost!
      if (failed) {
        ledger.free(attempt)
        // Held by the next row that is promised: that of the next leg.
        if (model.intents.has(attempt)) run.follow(this.#freeWith(run, attempt))
      }
    }
    if (attempts.length === 0 && this.below(2) === 0) return
    // Left open: its client has gone, or its vendor hangs.
    if (!plain && this.below(8) === 0) return this.count('left open')
    model.handed.add(id)
    if (unfit) model.unfit.add(id)
    else model.unfit.delete(id)
    const settled = ledger.settle(requestRow(id, { user, ...(unfit ? { status: unfitStatus } : {}) }), attempts)
    try {
      await settled
      if (unfit) return this.count('unfit')
      model.settled.set(id, cost)
      this.count('settled')
    } catch (error) {
      this.count((error as { kept?: boolean }).kept ? 'kept' : `refused row`)
    }
  }

  async #freeWith(run: Run, attempt: number): Promise<void> {
    const { model } = this
    const failures = failuresOf(run)
    const probe = run.ledger.nextRequestId()
    model.handed.add(probe)
    try {
      await run.ledger.settle(requestRow(probe, { outcome: 'refused', status: 429 }), [])
    } catch {
      return
    }
    model.settled.set(probe, 0)
    // Beside rows that were refused it may have been given up: nobody waits for it.
    if (failuresOf(run) === failures) model.freed.add(attempt)
  }

  async act(run: Run): Promise<void> {
    const { store, other } = run
    const chance = this.below(100)
    if (chance < 60) {
      for (let many = this.below(10) === 0 ? 40 : 1 + this.below(4); many > 0; many--) run.follow(this.request(run))
    } else if (chance < 68) {
      if (other.inTransaction) other.exec('ROLLBACK')
      else if (tryTo(() => other.exec('BEGIN IMMEDIATE'))) this.count('locked')
    } else if (chance < 72) {
      const pages = store.db.pragma('page_count', { simple: true }) as number
      const full = this.below(2) === 0
      store.db.pragma(`max_page_count = ${full ? pages : most}`)
      if (full) this.count('full')
    } else if (chance < 76) run.ledger.bringIn()
    else if (chance < 90) for (let turns = this.below(4); turns >= 0; turns--) await turn()
    else await pause(this.below(30))
  }

  /** The next start, perhaps after a command that reads. */
  async check(found: Model, file: string): Promise<void> {
    if (this.below(2) === 0) {
      bringInLeftovers(file)
      const store = openStore({ file, readonly: true })
      expect(verifyLedger(store.db)).toMatchObject({ ok: true, problems: [] })
      store.close()
    }
    const store = openStore({ file })
    const ledger = openLedger(store)
    try {
      const rows = store.db.prepare('SELECT id, cost, outcome FROM requests').all() as Row[]
      const requests = new Map(rows.map((row) => [row.id, row]))
      const attempts = new Map(
        (store.db.prepare('SELECT id, cost FROM attempt').all() as Row[]).map((row) => [row.id, row.cost]),
      )
      const wrong: string[] = []
      for (const [id, cost] of found.settled) {
        const row = requests.get(id)
        if (!row || row.cost !== cost || row.outcome === 'interrupted')
          wrong.push(`settled ${id} with ${cost} is ${JSON.stringify(row)}`)
      }
      for (const id of found.intents) if (!attempts.has(id)) wrong.push(`intent ${id} is lost`)
      for (const id of found.refused)
        if (attempts.has(id) && !found.handed.has(requestOf(id))) wrong.push(`intent ${id} was refused, and is there`)
      for (const id of found.freed)
        if (attempts.get(id) !== 0) wrong.push(`attempt ${id} is free, and costs ${attempts.get(id)}`)
      for (const id of [...requests.keys(), ...attempts.keys()])
        if (!found.handed.has(id) && !found.handed.has(requestOf(id) + 1)) wrong.push(`nobody handed over ${id}`)
      for (const id of found.unfit)
        if (requests.has(id) && requests.get(id)!.outcome !== 'interrupted') wrong.push(`unfit ${id} is there`)
      expect(wrong).toEqual([])
      expect(verifyLedger(store.db)).toMatchObject({ ok: true, problems: [], open: 0, requests: rows.length })
    } finally {
      await ledger.close()
      store.close()
    }
  }
}

interface Row {
  id: number
  cost: number
  outcome: string
}

const failuresOf = ({ ledger }: Run): number => Object.values(ledger.stats.failures).reduce((sum, one) => sum + one, 0)

function tryTo(act: () => void): boolean {
  try {
    act()
    return true
  } catch {
    return false
  }
}

describe('random runs', () => {
  const seeds = process.env.CHECK_SEED ? [Number(process.env.CHECK_SEED)] : [1, 2, 3, 4]

  it.each(seeds)(
    'whatever was promised is there once after every kill, seed %d',
    { timeout: 300_000 },
    async (seed) => {
      root = mkdtempSync(join(tmpdir(), 'turnout-model-'))
      const world = new World(drawOf(seed))
      for (let generation = 0; generation < 6; generation++) {
        const run = world.start()
        await world.request(run, true)
        const steps = 10 + world.below(40)
        const killed = world.below(4) > 0
        for (let step = 0; step < steps && !run.killed; step++) {
          if (killed && step === steps - 5) run.killAt = world.below(2) === 0 ? 'commit' : 'trouble'
          await world.act(run)
        }
        if (killed) {
          world.kill(run, 'between')
          const { folder, model } = run.killed!
          await run.dispose()
          await Promise.all(run.open)
          world.folder = folder
          world.model = model
        } else {
          if (run.other.inTransaction) run.other.exec('ROLLBACK')
          run.store.db.pragma(`max_page_count = ${most}`)
          await Promise.all(run.open)
          await run.ledger.flush()
          await expect.poll(() => run.ledger.stats.kept, { timeout: 60_000 }).toBe(0)
          await run.dispose()
          world.count('closed')
        }
        await world.check(world.model, world.file)
        world.model.refused.clear()
      }
      // One in each run is made before anything goes wrong.
      expect(world.seen.settled).toBeGreaterThanOrEqual(6)
    },
  )
})
