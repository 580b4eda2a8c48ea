// Env files: which are read, which value wins, and that the process's own environment is never written to.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: such references are what is tested.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { run } from '../src/cli/run.ts'
import { firstSet, readEnv } from '../src/config/env.ts'
import { ConfigError, formatProblem } from '../src/config/problem.ts'

let cwd: string
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'turnout-env-'))
})
afterEach(() => rmSync(cwd, { recursive: true }))

test('process over --env-file over .env', () => {
  writeFileSync(join(cwd, '.env'), '\uFEFFA=dot\nB=dot\nC=dot\nD="two\nlines"\n')
  writeFileSync(join(cwd, 'more.env'), 'B=file\nC=file\n')
  const { env, files } = readEnv({ processEnv: { C: 'process' }, envFile: 'more.env', cwd })
  expect({ ...env }).toEqual({ A: 'dot', B: 'file', C: 'process', D: 'two\nlines' })
  expect(files).toEqual([join(cwd, '.env'), join(cwd, 'more.env')])
})

test('a line that sets nothing is told by its number, and takes nothing of its neighbours with it', () => {
  const lines = [
    'A=1',
    'OPENAI_API_KEY: sk-test-0123456789',
    'TURNOUT_MASTER_KEY=kept',
    'export',
    'export B=2',
    '=3',
    '# a comment, and a line of blanks',
    '  ',
    'C="two',
    'lines, no=stray"',
    "D='never closed",
    'E F=4',
    'G = 5',
    'H=',
    '\tI=8',
    'export  J=9',
    'export\tK\t=\t"10"\t# a comment',
  ]
  for (const end of ['\n', '\r\n']) {
    writeFileSync(join(cwd, 'more.env'), lines.join(end))
    const { env, warnings } = readEnv({ processEnv: {}, envFile: 'more.env', cwd })
    const set = {
      A: '1',
      TURNOUT_MASTER_KEY: 'kept',
      B: '2',
      C: 'two\nlines, no=stray',
      D: "'never closed",
      G: '5',
      H: '',
      I: '8',
      J: '9',
      K: '10',
    }
    expect({ ...env }).toEqual(set)
    expect(warnings.map((warning) => formatProblem(warning, 'turnout.yaml'))).toEqual(
      [2, 4, 6, 12].map((line) => `more.env:${line}:1 is no NAME=value and no comment: the line sets nothing`),
    )
  }
})

test('a start that is refused tells of such lines, too: one may be why something is missing', async () => {
  const [config, envFile] = [join(cwd, 'turnout.yaml'), join(cwd, 'more.env')]
  writeFileSync(config, 'providers: { openai: { apiKey: "${THE_KEY}" } }\nroutes: { r: openai/x }\n')
  writeFileSync(envFile, 'THE_KEY: sk-test-0123456789\n')
  const error: Error = await run({ config, envFile, port: 0 }).then(
    () => new Error('it was not refused'),
    (refusal) => refusal,
  )
  expect(error.message.split('\n')).toEqual([
    expect.stringContaining(`${config}:1:32 providers.openai.apiKey`),
    `${envFile}:1:1 is no NAME=value and no comment: the line sets nothing`,
  ])
})

test('a binding that is refused does, too: the line may be that of the key', async () => {
  const [config, envFile] = [join(cwd, 'turnout.yaml'), join(cwd, 'more.env')]
  writeFileSync(config, 'providers: { openai: { apiKey: sk-test-0123456789 } }\nroutes: { r: openai/x }\n')
  writeFileSync(envFile, 'TURNOUT_MASTER_KEY: 0123456789abcdef\n')
  vi.stubEnv('TURNOUT_MASTER_KEY', undefined)
  const start = run({ config, envFile, host: '0.0.0.0', port: 0 }).finally(() => vi.unstubAllEnvs())
  await expect(start).rejects.toThrow(
    /^Refusing to listen on 0\.0\.0\.0 without a key[^\n]+\n\S+more\.env:1:1 is no NAME=value[^\n]+: the line sets nothing$/,
  )
})

test('`.env` that is named is read once, and its faults are told once', () => {
  writeFileSync(join(cwd, '.env'), 'A=1\nB: 2\n')
  const { env, files, warnings } = readEnv({ processEnv: {}, envFile: './.env', cwd })
  expect([{ ...env }, files, warnings.length]).toEqual([{ A: '1' }, [join(cwd, '.env')], 1])
})

test('is read afresh each time, and leaves the process environment alone', () => {
  const before = { ...process.env }
  writeFileSync(join(cwd, '.env'), 'TURNOUT_TEST_FRESH=1\n')
  expect(readEnv({ processEnv: process.env, cwd }).env.TURNOUT_TEST_FRESH).toBe('1')
  writeFileSync(join(cwd, '.env'), 'TURNOUT_TEST_FRESH=2\n')
  expect(readEnv({ processEnv: process.env, cwd }).env.TURNOUT_TEST_FRESH).toBe('2')
  expect({ ...process.env }).toEqual(before)
})

test('.env may be absent, the named file may not', () => {
  expect(readEnv({ processEnv: {}, cwd }).files).toEqual([])
  expect(() => readEnv({ processEnv: {}, envFile: 'nope.env', cwd })).toThrow(ConfigError)
  expect(() => readEnv({ processEnv: {}, envFile: 'nope.env', cwd })).toThrow(/nope\.env cannot be read: ENOENT/)
})

test('a blank variable counts as unset where a gap is filled', () => {
  expect(firstSet({ A: ' ', B: ' x ' }, ['A', 'B'])).toEqual({ name: 'B', value: 'x' })
  expect(firstSet({}, ['A'])).toBeUndefined()
})
