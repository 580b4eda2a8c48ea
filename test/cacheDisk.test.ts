// The file that answers outlive the process in: whole or not at all, bounded, harmless to everything else, and gone when it is to be gone.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { openAnswerFile } from '../src/store/answerFile.ts'
import {
  type AnswerPage,
  type AnswerRow,
  type AnswerTable,
  DamagedFile,
  explain,
  openAnswers,
} from '../src/store/answerTable.ts'
import { loadDriver } from '../src/store/driver.ts'
import { numberedRow } from './support/answerRows.ts'

const MB = 1024 ** 2

function tempFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-answers-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'data', 'cache.db')
}

function open(file: string, size = 8 * MB, now: () => number = Date.now) {
  const told: string[] = []
  const answers = openAnswerFile({ file, size, told: (text) => told.push(text), now })
  onTestFinished(() => answers.close())
  return { answers, told }
}

/** What an earlier process left, by key. */
async function readAll(file: string, room = Number.MAX_SAFE_INTEGER): Promise<Map<string, AnswerRow>> {
  const { answers } = open(file, 64 * MB)
  const found = new Map<string, AnswerRow>()
  for await (const rows of answers.load(room, 0)) for (const row of rows) found.set(row.key, row)
  await answers.close()
  return found
}

/** Puts the answers of these numbers into the file. */
async function fill(file: string, count: number, more: Partial<AnswerRow> = {}): Promise<void> {
  const { answers } = open(file)
  for (let n = 0; n < count; n++) answers.put(numberedRow(n, more))
  await answers.close()
  expect(answers.counts).toEqual({ written: count, read: 0, skipped: 0, failed: 0, damaged: 0 })
}

const plain = (row: AnswerRow | undefined): object | undefined =>
  row && { ...row, body: Buffer.from(row.body).toString() }

/** Each is whole, and what was put under its key. */
function expectWhole(rows: Map<string, AnswerRow>): void {
  for (const [key, row] of rows) {
    const { n } = JSON.parse(row.facts) as { n: number }
    expect(plain(row)).toEqual(plain(numberedRow(n)))
    expect(row.key).toBe(key)
  }
}

describe('what is put', () => {
  it('is there for the next process, in a file for its owner alone', async () => {
    const file = tempFile()
    await fill(file, 300)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(statSync(join(file, '..')).mode & 0o777).toBe(0o700)
    const found = await readAll(file)
    expect(found.size).toBe(300)
    expectWhole(found)
  })

  it('takes the place of what was there under its key', async () => {
    const file = tempFile()
    await fill(file, 10)
    const { answers } = open(file)
    answers.put(numberedRow(3, { facts: '{"n":3,"again":1}' }))
    answers.put(numberedRow(3, { facts: '{"n":3,"again":2}' }))
    await answers.close()
    const found = await readAll(file)
    expect(found.size).toBe(10)
    expect(found.get(numberedRow(3).key)!.facts).toBe('{"n":3,"again":2}')
  })

  it('is not read after its time, and deleted', async () => {
    const file = tempFile()
    await fill(file, 20, { deadAt: 5000 })
    await fill(file, 1)
    const { answers } = open(file, 8 * MB, () => 5000)
    let read = 0
    for await (const rows of answers.load(MB, 0)) read += rows.length
    expect(read).toBe(1)
    expect(answers.entries).toBe(1)
    expect(readFileSync(file).includes('answer 7;')).toBe(false)
  })

  it('is read as far as there is room, the latest', async () => {
    const file = tempFile()
    await fill(file, 200)
    const found = await readAll(file, 100_000)
    const numbers = [...found.values()].map(({ facts }) => JSON.parse(facts).n as number)
    expect(numbers.at(-1)).toBe(199)
    expect(numbers).toEqual(Array.from(numbers, (_, at) => 200 - numbers.length + at))
    const bytes = [...found.values()].reduce((sum, { body }) => sum + body.length, 0)
    expect(bytes).toBeLessThanOrEqual(100_000)
    expect(bytes).toBeGreaterThan(100_000 - 13_010)
  })
})

it('the file never grows beyond its bound when ten times as much is put, and keeps the latest', async () => {
  const file = tempFile()
  const size = 2 * MB
  const { answers } = open(file, size)
  let bytes = 0
  let most = 0
  let n = 0
  for (; bytes < 10 * size; n++) {
    const row = numberedRow(n)
    answers.put(row)
    bytes += row.body.length
    if (n % 100 !== 99) continue
    await answers.flushed()
    most = Math.max(most, statSync(file).size)
  }
  await answers.flushed()
  expect(answers.counts).toEqual({ written: n, read: 0, skipped: 0, failed: 0, damaged: 0 })
  expect(most).toBeLessThanOrEqual(size)
  expect(answers.bytes).toBeLessThanOrEqual(size)
  answers.resize(MB)
  await answers.remove({ key: 'nobody' })
  expect(answers.bytes).toBeLessThanOrEqual(MB)
  expect(statSync(file).size).toBe(answers.bytes)
  await answers.close()
  const found = await readAll(file)
  expectWhole(found)
  const numbers = [...found.values()].map(({ facts }) => JSON.parse(facts).n as number)
  expect(numbers).toEqual(Array.from(numbers, (_, at) => n - numbers.length + at))
  expect([...found.values()].reduce((sum, { body }) => sum + body.length, 0)).toBeGreaterThan(MB / 3)
})

it('more at once than a small file holds: the latest are kept, and the file works on', async () => {
  const file = tempFile()
  const { answers, told } = open(file, MB / 4)
  // All in one turn of the event loop: they are written together.
  for (let n = 0; n < 40; n++) answers.put(numberedRow(n, { body: Buffer.alloc(10_000, 'x') }))
  await answers.flushed()
  expect(answers.counts).toEqual({ written: 40, read: 0, skipped: 0, failed: 0, damaged: 0 })
  expect([told, answers.bytes <= MB / 4]).toEqual([[], true])
  await answers.close()
  const numbers = [...(await readAll(file)).values()].map(({ facts }) => JSON.parse(facts).n as number)
  expect(numbers.length).toBeGreaterThan(5)
  expect(numbers).toEqual(Array.from(numbers, (_, at) => 40 - numbers.length + at))
})

it('more than the disk takes is skipped and counted, and so is what is too large for the file', async () => {
  const { answers } = open(tempFile(), MB)
  const large = Buffer.alloc(300_000, 'x')
  // All in one turn of the event loop: nothing can be written in between.
  for (let n = 0; n < 100; n++) answers.put(numberedRow(n, { body: large.subarray(0, 200_000) }))
  expect(answers.counts.skipped).toBe(100 - 41)
  await answers.flushed()
  expect(answers.counts.written).toBe(41)
  answers.put(numberedRow(1, { body: large }))
  await answers.flushed()
  expect(answers.counts).toEqual({ written: 41, read: 0, skipped: 60, failed: 0, damaged: 0 })
})

describe('what is removed', () => {
  it.each([
    ['by route', { route: 'route-1' }],
    ['by target', { target: 'provider/model-2' }],
    ['by owner', { owner: 'user-3' }],
    ['by route and target', { route: 'route-2', target: 'provider/model-4' }],
    ['by key', { key: numberedRow(7).key }],
    ['all', {}],
  ])('is gone, %s, also what waits and what is being written', async (_, filter) => {
    const file = tempFile()
    const { answers } = open(file)
    for (let n = 0; n < 100; n++) answers.put(numberedRow(n))
    await answers.flushed()
    for (let n = 100; n < 200; n++) answers.put(numberedRow(n))
    const meant = ({ key, route, target, owner }: AnswerRow): boolean =>
      Object.entries(filter).every(([name, value]) => ({ key, route, target, owner })[name as 'key'] === value)
    const before = Array.from({ length: 100 }, (_, n) => numberedRow(n)).filter(meant).length
    expect(await answers.remove(filter)).toBe(before)
    await answers.close()
    const left = await readAll(file)
    const expected = Array.from({ length: 200 }, (_, n) => numberedRow(n)).filter((row) => !meant(row))
    expect([...left.keys()]).toEqual(expected.map(({ key }) => key))
    // The bytes themselves, too: free pages are overwritten.
    const bytes = readFileSync(file)
    for (let n = 0; n < 100; n++) if (meant(numberedRow(n))) expect(bytes.includes(`answer ${n};`)).toBe(false)
  })
})

describe('damage', () => {
  /** The same numbers on each run. */
  function draws(): (below: number) => number {
    let seed = 12_345
    return (below) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
      return seed % below
    }
  }

  /** As the thread reads it, here without one. Undefined where the file is no good at all. */
  function readDamaged(file: string): Map<string, AnswerRow> | undefined {
    const found = new Map<string, AnswerRow>()
    let table: AnswerTable | undefined
    try {
      table = openAnswers(file, 64 * MB)
      let after: number | undefined = table.begin(Number.MAX_SAFE_INTEGER, 0, 0)
      while (after !== undefined) {
        const page: AnswerPage = table.page(after, 0)
        for (const row of page.rows) found.set(row.key, row)
        after = page.after
      }
      return found
    } catch (error) {
      expect(explain(error)).toBeInstanceOf(DamagedFile)
      return undefined
    } finally {
      table?.close()
    }
  }

  it('costs the answers that it hits, and no other answer is ever changed by it', async () => {
    const file = tempFile()
    await fill(file, 300)
    const sound = readFileSync(file)
    const draw = draws()
    let lost = 0
    let useless = 0
    for (let round = 0; round < 300; round++) {
      const bytes = Buffer.from(sound)
      for (let n = 0; n < 1 + (round % 7); n++) bytes[draw(bytes.length)]! ^= 1 + draw(255)
      writeFileSync(file, bytes)
      const found = readDamaged(file)
      if (!found) useless++
      else {
        expectWhole(found)
        lost += 300 - found.size
      }
    }
    expect(lost).toBeGreaterThan(0)
    // Most of a file are answers: a few flipped bytes seldom make all of it useless.
    expect(useless).toBeLessThan(150)
  })

  it.each([
    ['no database', (file: string) => writeFileSync(file, 'x'.repeat(10_000))],
    ['half a file', (file: string) => truncateSync(file, statSync(file).size / 2)],
    [
      'a database of something else',
      (file: string) => {
        rmSync(file)
        const db = new (loadDriver())(file)
        db.exec('CREATE TABLE other (a)')
        db.close()
      },
    ],
    [
      'a file of another version',
      (file: string) => {
        const db = new (loadDriver())(file)
        db.pragma('user_version = 99')
        db.close()
      },
    ],
  ])('%s is begun anew, is said, and can be used', async (_, spoil) => {
    const file = tempFile()
    await fill(file, 300)
    spoil(file)
    const { answers, told } = open(file)
    for await (const rows of answers.load(MB, 0)) expectWhole(new Map(rows.map((row) => [row.key, row])))
    for (let n = 0; n < 50; n++) answers.put(numberedRow(n))
    await answers.flushed()
    expect(answers.working).toBe(true)
    expect(told).toEqual([expect.stringMatching(/^the response cache's file is begun anew: ./)])
    await answers.close()
    expect((await readAll(file)).size).toBe(50)
  })

  it('a file that is deleted while it is in use is begun anew', async () => {
    const file = tempFile()
    const { answers, told } = open(file)
    answers.put(numberedRow(1))
    await answers.flushed()
    rmSync(file)
    answers.put(numberedRow(2))
    await answers.flushed()
    expect(told).toEqual(["the response cache's file is begun anew: it was taken away"])
    await answers.close()
    expect([...(await readAll(file)).keys()]).toEqual([numberedRow(2).key])
  })

  it('what another process holds is left to it, and used as soon as that is gone', async () => {
    const file = tempFile()
    const first = open(file)
    first.answers.put(numberedRow(1))
    await first.answers.flushed()
    const second = open(file)
    second.answers.put(numberedRow(2))
    await second.answers.flushed()
    expect(second.answers.counts).toMatchObject({ written: 0, failed: 1 })
    expect(second.answers.working).toBe(false)
    await expect(second.answers.remove({})).rejects.toThrow(/locked/)
    await first.answers.close()
    second.answers.put(numberedRow(3))
    await second.answers.flushed()
    expect(second.told).toEqual([
      "the response cache's file cannot be used: answers are kept in memory alone",
      "the response cache's file can be used again",
    ])
    await second.answers.close()
    expect([...(await readAll(file)).keys()]).toEqual([1, 3].map((n) => numberedRow(n).key))
  })

  it('a place where no file can be is said once, and costs nothing but the file', async () => {
    const file = tempFile()
    mkdirSync(file, { recursive: true })
    const { answers, told } = open(file)
    for (let n = 0; n < 10; n++) {
      answers.put(numberedRow(n))
      await answers.flushed()
    }
    expect(answers.counts).toMatchObject({ written: 0, failed: 10 })
    expect(told).toHaveLength(1)
  })
})

it('survives being killed at any moment: what is there is whole, and all that was said to be written is there', async () => {
  const file = tempFile()
  const size = 64 * MB
  for (const after of [300, 700, 1500]) {
    rmSync(file, { force: true })
    const script = fileURLToPath(new URL('support/answerCrash.ts', import.meta.url))
    const child = spawn(process.execPath, ['--import', 'tsx', script, file, String(size)], {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let written = 0
    const ended = new Promise((resolve) => child.once('close', resolve))
    for await (const line of createInterface({ input: child.stdout })) {
      written = Number(line)
      // In the middle of whatever it does.
      if (written >= after) child.kill('SIGKILL')
    }
    await ended
    expect(written).toBeGreaterThanOrEqual(after)
    const found = await readAll(file)
    expectWhole(found)
    for (let n = 0; n < written; n++) expect(found.has(numberedRow(n).key), `answer ${n} of ${written}`).toBe(true)
  }
}, 300_000)
