// A log that cannot be written: memory is bounded, nobody waits, and what is missing is counted and said.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest'
import { createLog, type Log } from '../src/telemetry/log.ts'
import { isFile, openLogFile } from '../src/telemetry/logFile.ts'

const most = 300_000

let folder: string
let pipe: string
/** Opens the pipe for reading without reading. */
let held: number | undefined
let reader: ChildProcess | undefined
let text: string
let log: Log

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-log-queue-'))
  pipe = join(folder, 'log')
  expect(spawnSync('mkfifo', [pipe]).status).toBe(0)
  held = openSync(pipe, 'r+')
  text = ''
  log = createLog({ level: 'info', file: pipe, mostWaiting: most })
})

afterEach(async () => {
  if (reader) {
    const gone = once(reader, 'exit')
    reader.kill()
    await gone
  }
  reader = undefined
  letGo()
  rmSync(folder, { recursive: true, force: true })
})

function letGo(): void {
  if (held !== undefined) closeSync(held)
  held = undefined
}

function read(): void {
  reader = spawn('cat', [pipe], { stdio: ['ignore', 'pipe', 'inherit'] })
  reader.stdout!.on('data', (chunk: Buffer) => {
    text += chunk
  })
}

let said = 0
/** In one turn, so that nothing can be written meanwhile. */
function sayUntilFull(): number {
  const before = log.dropped
  const first = said
  const one = (): void => log.request({ id: `req_${said++}`, route: 'r', status: 200, outcome: 'ok', durationMs: 1 })
  while (log.dropped === before) one()
  for (let i = 0; i < 500; i++) one()
  // Hands over what is gathered.
  log.warn('too late')
  return said - first + 1
}

interface Line {
  level: string
  msg: string
  event?: string
  count?: number
  id?: string
}
const lines = (): Line[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((one) => JSON.parse(one))
const notices = (): Line[] => lines().filter(({ event }) => event === 'log')

it('drops the newest lines while its reader stands still, and says how many where they are missing', async () => {
  read()
  for (let round = 1; round <= 2; round++) {
    text = ''
    const before = log.dropped
    const all = sayUntilFull()
    const missing = log.dropped - before
    expect(missing).toBeGreaterThan(500)
    await expect.poll(() => notices().length).toBe(1)
    log.info('goes on')
    await expect.poll(() => lines().at(-1)?.msg).toBe('goes on')
    const kept = lines().slice(0, -2)
    expect(kept.map(({ id }) => id)).toEqual(kept.map((_, at) => `req_${said - all + 1 + at}`))
    expect(lines().at(-2)).toMatchObject({
      level: 'warn',
      event: 'log',
      count: missing,
      msg: 'lines are missing here: the log could not be written',
    })
    expect(kept.length + missing).toBe(all)
    const bytes = text.split('\n').slice(0, kept.length).join('\n').length + 1
    expect(bytes).toBeLessThanOrEqual(most)
    expect(bytes).toBeGreaterThan(most / 2)
  }
})

it('tries again by itself when writes failed, and takes lines again', async () => {
  letGo()
  log.warn('first')
  await expect.poll(() => log.failures).toBeGreaterThan(0)
  const all = sayUntilFull()
  expect(log.dropped).toBeGreaterThan(500)
  read()
  // Not a line more is said.
  await expect.poll(() => notices().length).toBe(1)
  expect(lines()[0]).toMatchObject({ msg: 'first' })
  expect(lines().length - 2 + log.dropped).toBe(all)
  expect(lines().at(-1)).toMatchObject({ count: log.dropped })
})

it('is flushed as far as it can be: a gateway that stops waits for no reader', async () => {
  log.warn('first')
  await log.flush()
  sayUntilFull()
  // Nobody reads.
  await log.flush()
  read()
  await expect.poll(() => notices().length).toBe(1)
  const gone = once(reader!, 'exit')
  reader!.kill()
  await gone
  reader = undefined
  letGo()
  log.warn('nobody is there')
  await log.flush()
  expect(log.failures).toBeGreaterThan(0)
})

it('lets the process end, and waits once for a reader that stands still on standard output, and for a slow one', async () => {
  const script = `
    import { writeSync } from 'node:fs'
    import { createLog } from './src/telemetry/log.ts'
    const log = createLog({ level: 'info' })
    for (let i = 0; i < 40_000; i++) log.request({ id: 'req_' + i, route: 'r', status: 200, outcome: 'ok', durationMs: 1 })
    await log.flush()
    const since = performance.now()
    writeSync(2, 'flushed ')
    process.on('exit', () => writeSync(2, String(performance.now() - since)))
    process.exit(0)
  `
  const startWriter = (): ChildProcess => {
    const writer = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: join(import.meta.dirname, '..'),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    onTestFinished(() => void writer.kill('SIGKILL'))
    return writer
  }
  // Nobody reads what this one says.
  const unread = startWriter()
  unread.stderr!.on('data', (chunk: Buffer) => {
    text += chunk
  })
  const slow = startWriter()
  let isFlushed = false
  slow.stderr!.on('data', () => {
    isFlushed = true
  })
  const gone = once(unread, 'exit')
  let lines = 0
  for await (const chunk of slow.stdout! as AsyncIterable<Buffer>) {
    lines += chunk.toString().split('\n').length - 1
    if (!isFlushed) await pause(100)
  }
  // What is under way when the process ends may be lost: 16 KB.
  expect(lines).toBeGreaterThan(39_500)
  expect(await gone).toEqual([0, null])
  expect(Number(text.split(' ')[1])).toBeLessThan(4_000)
}, 60_000)

it('is known for a pipe by what it is, not by where it was named: large pieces are for files', () => {
  expect(isFile(held!)).toBe(false)
  const fd = openLogFile(join(folder, 'file'))
  expect(isFile(fd)).toBe(true)
  closeSync(fd)
  expect(isFile(fd)).toBe(false)
})
