// The secret of an installation: made once, private, stable, and never replaced in silence.
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { run } from '../src/cli/run.ts'
import { hashUser, loadSecret } from '../src/store/secret.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-secret-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

describe('secret', () => {
  it('is made once, readable by the owner alone, and the same ever after', () => {
    const secret = loadSecret(folder, {})
    expect(secret).toHaveLength(32)
    expect(statSync(join(folder, 'secret')).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder)).toEqual(['secret'])
    expect(loadSecret(folder, {}).equals(secret)).toBe(true)
    expect(readFileSync(join(folder, 'secret'), 'utf8')).toBe(`${secret.toString('hex')}\n`)
  })

  it('makes the folder that it lies in: the database may be in another', () => {
    const data = join(folder, 'new', 'data')
    expect(loadSecret(data, {})).toHaveLength(32)
    expect(statSync(data).mode & 0o777).toBe(0o700)
  })

  it('comes from the environment where it is set, as hex or as a long text', () => {
    expect(loadSecret(folder, { TURNOUT_SECRET: 'ab'.repeat(32) }).toString('hex')).toBe('ab'.repeat(32))
    const text = loadSecret(folder, { TURNOUT_SECRET: 'a long text that is not hexadecimal' })
    expect(text).toHaveLength(32)
    expect(text.equals(loadSecret(folder, { TURNOUT_SECRET: 'a long text that is not hexadecimal.' }))).toBe(false)
    expect(readdirSync(folder)).toEqual([])
    expect(() => loadSecret(folder, { TURNOUT_SECRET: 'short' })).toThrow('too short')
  })

  it('refuses a damaged file and one that others can read, and leaves it as it is', () => {
    const file = join(folder, 'secret')
    writeFileSync(file, 'abc', { mode: 0o600 })
    expect(() => loadSecret(folder, {})).toThrow('64 hex digits')
    expect(readFileSync(file, 'utf8')).toBe('abc')
    writeFileSync(file, 'ab'.repeat(32))
    chmodSync(file, 0o644)
    expect(() => loadSecret(folder, {})).toThrow('chmod 600')
  })

  it('hashes users: the same for the same secret and user, else another, and not reversible by a list of prefixes', () => {
    const one = loadSecret(folder, {})
    const two = loadSecret(folder, { TURNOUT_SECRET: 'cd'.repeat(32) })
    expect(hashUser(one, 'ada')).toMatch(/^u_[\w-]{22}$/)
    expect(hashUser(one, 'ada')).toBe(hashUser(one, 'ada'))
    expect(new Set([hashUser(one, 'ada'), hashUser(one, 'adb'), hashUser(two, 'ada'), hashUser(one, '')]).size).toBe(4)
  })
})

it('a start says when it makes another one for a database that had one', async () => {
  const config = join(folder, 'turnout.yaml')
  writeFileSync(
    config,
    `{ server: { port: 0 }, dataDir: ${folder}, log: { level: warn, file: ${join(folder, 'log')} }, providers: { ollama: }, routes: { chat: [ollama/a, ollama/b] } }`,
  )
  const told = async () => {
    await (await run({ config })).stop()
    return readFileSync(join(folder, 'log'), 'utf8').match(/the secret of this installation is gone/g)?.length ?? 0
  }
  expect(await told()).toBe(0)
  expect(await told()).toBe(0)
  rmSync(join(folder, 'secret'))
  expect(await told()).toBe(1)
  expect(await told()).toBe(1)
})
