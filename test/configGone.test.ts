// A configuration file that is taken away under a running gateway: a fault, and no wish to be served by the environment alone.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { devNull, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { send } from './support/exchange.ts'
import { endTurnout, said, startTurnout } from './support/turnoutProcess.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-gone-'))
})
let child: ReturnType<typeof startTurnout>
afterEach(async () => {
  await endTurnout(child, 'SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

it('is refused, with a provider in the environment, too; what is served stays, and the file may come back', async () => {
  const file = join(folder, 'turnout.yaml')
  const key = 'sk-test-admin-key-0123456789'
  const text = `server: { port: 0 }\nproviders: { ollama: {} }\nroutes: { chat: [ollama/a, ollama/b] }\nkeys: [ { name: boss, key: ${key}, role: admin } ]\n`
  writeFileSync(file, text)
  // As where a container has none: no device that a reading waits for.
  symlinkSync(devNull, join(folder, '.env'))
  child = startTurnout(['serve'], { cwd: folder, env: { OPENAI_API_KEY: 'sk-test-openai-0123456789' } })
  const [, url] = /listens on (\S+) /.exec(await said(child, 'stderr', /listens on \S+ /))!
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const reload = () => send('POST', `${url}/admin/models/reload`, Buffer.from('{}'), headers).done
  renameSync(file, `${file}.old`)
  const refused = await reload()
  expect([refused.status, JSON.parse(refused.text).error.message]).toEqual([422, 'turnout.yaml does not exist'])
  const told = said(child, 'stdout', /"event":"refused"/)
  child.kill('SIGHUP')
  expect(await told).toContain('turnout.yaml does not exist')
  const status = JSON.parse((await send('GET', `${url}/status`, undefined, {}).done).text)
  expect(status).toMatchObject({ config: { version: 1, source: 'file' }, routes: [{ name: 'chat' }] })
  renameSync(`${file}.old`, file)
  const again = await reload()
  expect([again.status, JSON.parse(again.text).swapped]).toEqual([200, false])
}, 120_000)

it('is refused where a pipe stands in its place: to read that would stop every request', async () => {
  const file = join(folder, 'turnout.yaml')
  writeFileSync(file, 'server: { port: 0 }\nproviders: { ollama: {} }\nroutes: { chat: [ollama/a, ollama/b] }\n')
  child = startTurnout(['serve'], { cwd: folder })
  const [, url] = /listens on (\S+) /.exec(await said(child, 'stderr', /listens on \S+ /))!
  rmSync(file)
  execFileSync('mkfifo', [file])
  const told = said(child, 'stdout', /"event":"refused"/)
  child.kill('SIGHUP')
  expect(await told).toContain('turnout.yaml is a pipe or a device')
  const status = JSON.parse((await send('GET', `${url}/status`, undefined, {}).done).text)
  expect(status).toMatchObject({ config: { version: 1, source: 'file' }, routes: [{ name: 'chat' }] })
}, 60_000)

it.each(['.env', 'variables'])(
  'takes variables out of a pipe once, at the start: %s',
  async (name) => {
    writeFileSync(
      join(folder, 'turnout.yaml'),
      'server: { port: 0 }\nproviders: { openai: {} }\nroutes: { chat: [openai/a, openai/b] }\n',
    )
    execFileSync('mkfifo', [join(folder, name)])
    child = startTurnout(['serve', ...(name === '.env' ? [] : ['--env-file', name])], { cwd: folder })
    const listening = said(child, 'stderr', /listens on \S+ /)
    await writeFile(join(folder, name), 'OPENAI_API_KEY=sk-test-openai-0123456789\n')
    const [, url] = /listens on (\S+) /.exec(await listening)!
    const told = said(child, 'stdout', /"event":"refused"/)
    child.kill('SIGHUP')
    expect(await told).toContain(`${name} is a pipe or a device`)
    const status = JSON.parse((await send('GET', `${url}/status`, undefined, {}).done).text)
    expect(status).toMatchObject({ config: { version: 1, source: 'file' }, routes: [{ name: 'chat' }] })
  },
  60_000,
)
