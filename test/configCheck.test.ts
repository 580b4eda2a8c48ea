// `turnout config check` as its users meet it: what it prints, in text and as JSON, and how it exits.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: such references are what is tested.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { addConfigCommand } from '../src/cli/configCheck.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-check-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true })
  process.exitCode = undefined
})

async function check(text: string, ...flags: string[]) {
  const file = join(folder, 'turnout.yaml')
  writeFileSync(file, text)
  let out = ''
  const program = new Command('turnout').exitOverride().configureOutput({ writeOut: (part) => (out += part) })
  addConfigCommand(program)
  await program.parseAsync(['config', 'check', file, ...flags], { from: 'user' })
  const code = process.exitCode ?? 0
  process.exitCode = undefined
  return { out, code, file }
}

const sound = 'providers:\n  ollama:\n  vllm:\nroutes: { r: [ollama/a, vllm/b] }\n'

test('a sound file: one line, exit 0', async () => {
  const { out, code } = await check(sound)
  expect(out).toBe('ok: 0 errors, 0 warnings\n')
  expect(code).toBe(0)
})

test('every error as file:line:column path message, exit 1', async () => {
  const { out, code, file } = await check('providers:\n  ollama:\nroutes:\n  r: olama/a\nlgo: {}\n')
  expect(out.split('\n')).toEqual([
    `${file}:4:6 routes.r no provider "olama"; did you mean "ollama"?`,
    `${file}:5:1 lgo unknown key "lgo"; did you mean "log"?`,
    'not usable: 2 errors, 0 warnings',
    '',
  ])
  expect(code).toBe(1)
})

test('warnings do not count', async () => {
  const { out, code, file } = await check('server: { host: 0.0.0.0 }\nproviders:\n  ollama:\nroutes: { r: ollama/a }\n')
  expect(out).toContain(`warning: ${file}:4:11 routes.r has one target and no fallback`)
  expect(out).toContain(`warning: ${file} server.host Refusing to listen on 0.0.0.0 without a key`)
  expect(out).toContain('ok: 0 errors, 2 warnings')
  expect(code).toBe(0)
})

test('a line of the env file that sets nothing is worth a warning, in a file that cannot be served, too', async () => {
  const env = join(folder, 'some.env')
  writeFileSync(env, 'A=1\nB: sk-test-0123456789\n')
  const warning = `warning: ${env}:2:1 is no NAME=value and no comment: the line sets nothing\n`
  const good = await check(sound, '--env-file', env)
  expect([good.out, good.code]).toEqual([`${warning}ok: 0 errors, 1 warning\n`, 0])
  const bad = await check(sound.replace('ollama/a', '${B}'), '--env-file', env)
  expect([bad.out, bad.code]).toEqual([
    expect.stringMatching(/B.* is not set[\s\S]*is no NAME=value[\s\S]*not usable: 1 error, 1 warning/),
    1,
  ])
})

describe('--json', () => {
  test('one object', async () => {
    const good = await check(sound, '--json')
    expect(JSON.parse(good.out)).toEqual({ ok: true, file: good.file, errors: [], warnings: [] })
    const bad = await check('lgo: {}\nproviders: { ollama: }\n', '--json')
    expect(JSON.parse(bad.out)).toMatchObject({ ok: false, errors: [{ path: 'lgo', line: 1, column: 1 }] })
    expect(bad.code).toBe(1)
  })
})

test('--env-file fills variables, and has to exist', async () => {
  const text = 'providers:\n  vllm: { baseUrl: "${CHECK_TEST_URL}" }\n  ollama:\nroutes: { r: [vllm/a, ollama/b] }\n'
  expect((await check(text)).out).toContain('vllm.baseUrl environment variable CHECK_TEST_URL is not set')
  const envFile = join(folder, 'more.env')
  writeFileSync(envFile, 'CHECK_TEST_URL=http://127.0.0.1:9/v1\n')
  expect((await check(text, '--env-file', envFile)).code).toBe(0)
  const missing = await check(text, '--env-file', join(folder, 'nope.env'))
  expect(missing.out).toContain('nope.env cannot be read: ENOENT')
  expect(missing.code).toBe(1)
})
