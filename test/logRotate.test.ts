// A log file that is rotated: renamed, then a signal. Every line is in one of the files, whole, and the disk of the old one can be freed.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createLog } from '../src/telemetry/log.ts'
import { send } from './support/exchange.ts'
import { endTurnout, said, startTurnout } from './support/turnoutProcess.ts'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-rotate-'))
  file = join(folder, 'turnout.log')
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** Ids of the requests in the files, in their order; throws where a line is no JSON. */
const idsIn = (...files: string[]): unknown[] =>
  files
    .flatMap((name) => readFileSync(name, 'utf8').trimEnd().split('\n'))
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === undefined)
    .map(({ id }) => id)

it('goes on in a new file, also in the middle of a write, and loses and cuts no line', async () => {
  const log = createLog({ level: 'info', file })
  const ids: string[] = []
  const say = (count: number): void => {
    for (let i = 0; i < count; i++) {
      ids.push(`req_${ids.length}`)
      log.request({ id: ids.at(-1)!, route: 'chat', status: 200, outcome: 'ok', durationMs: 1 })
    }
  }
  // More than is written at a time: a thread has some of it when the file is renamed.
  say(5_000)
  renameSync(file, `${file}.1`)
  log.reopen()
  say(5_000)
  await log.flush()
  renameSync(file, `${file}.2`)
  log.reopen()
  // Nothing to do: it is that file.
  log.reopen()
  say(10)
  await log.flush()
  expect(idsIn(`${file}.1`, `${file}.2`, file)).toEqual(ids)
  expect(idsIn(file)).toEqual(ids.slice(-10))
})

it('writes on to the old file, and says so, where the new one cannot be opened', async () => {
  const log = createLog({ level: 'info', file })
  renameSync(file, `${file}.1`)
  mkdirSync(file)
  log.reopen()
  await log.flush()
  expect(JSON.parse(readFileSync(`${file}.1`, 'utf8'))).toMatchObject({
    level: 'error',
    event: 'log',
    file,
    msg: "the log's file could not be opened again (EISDIR): the old one is written on",
  })
})

it('is opened again on SIGHUP', async () => {
  writeFileSync(
    join(folder, 'turnout.yaml'),
    `server: { port: 0 }\nlog: { file: turnout.log }\nproviders: { ollama: {} }\nroutes: { chat: [ollama/a] }\n`,
  )
  const child = startTurnout(['serve'], { cwd: folder })
  try {
    const [, url] = /listens on (\S+) /.exec(await said(child, 'stderr', /listens on \S+ /))!
    const headers = { 'content-type': 'application/json' }
    const ids: unknown[] = []
    const ask = async (): Promise<void> => {
      const reply = await send('POST', `${url}/v1/chat/completions`, Buffer.from('{"model":"nobody"}'), headers).done
      ids.push(reply.headers['x-request-id'])
    }
    await ask()
    renameSync(file, `${file}.1`)
    child.kill('SIGHUP')
    while (!existsSync(file) && ids.length < 2_000) await ask()
    await ask()
    expect(await endTurnout(child)).toBe(0)
    expect(idsIn(`${file}.1`, file)).toEqual(ids)
    expect(idsIn(file)).toContain(ids.at(-1))
  } finally {
    await endTurnout(child, 'SIGKILL')
  }
}, 120_000)
