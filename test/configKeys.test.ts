// Access: which secrets are good enough to start with, and which address may be bound with which keys.
import { describe, expect, test } from 'vitest'
import { checkBinding, isLoopback } from '../src/config/binding.ts'
import type { Env } from '../src/config/interpolation.ts'
import { digestOf } from '../src/config/keySettings.ts'
import { parseConfig } from '../src/config/load.ts'

const good = 'k3yW1thEn0ughRandomness'
const load = (keys: unknown, env: Env = {}, host = '127.0.0.1') =>
  parseConfig(JSON.stringify({ providers: { ollama: null }, server: { host }, directModels: true, keys }), {
    file: 'f.yaml',
    env,
    version: 1,
  }).snapshot

describe('C49 secrets that can be guessed refuse to start', () => {
  test.each(['', 'short', '123456789012345', 'aaaaaaaaaaaaaaaaaaaaaaaa', 'abababababababababab'])('key %j', (key) => {
    expect(() => load([{ name: 'a', key }])).toThrow(/keys\[0\]\.key/)
  })

  test.each(['', '  ', 'short', 'aaaaaaaaaaaaaaaaaaaaaaaa', 'with spaces in between it'])(
    'TURNOUT_MASTER_KEY %j',
    (key) => {
      expect(() => load([], { TURNOUT_MASTER_KEY: key })).toThrow(
        /^f\.yaml TURNOUT_MASTER_KEY a secret|an empty secret/,
      )
    },
  )

  test('the demo key is the one exception', () => {
    expect(load([{ name: 'a', key: 'tk-demo' }]).keys.size).toBe(1)
    expect(load([], { TURNOUT_MASTER_KEY: 'tk-demo' }).keys.get(digestOf('tk-demo'))).toEqual({
      name: 'master',
      digest: digestOf('tk-demo'),
      role: 'admin',
    })
  })
})

test('the master key is an admin beside the keys of the file', () => {
  const { keys } = load([{ name: 'app', key: good }], { TURNOUT_MASTER_KEY: `${good}2` })
  expect(keys.get(digestOf(good))).toEqual({ name: 'app', digest: digestOf(good), role: 'app' })
  expect(keys.get(digestOf(`${good}2`))).toEqual({
    name: 'master',
    digest: digestOf(`${good}2`),
    role: 'admin',
  })
})

test('two keys never share a name or a secret', () => {
  expect(() =>
    load([
      { name: 'a', key: good },
      { name: 'a', key: `${good}2` },
    ]),
  ).toThrow(/keys\[1\]\.name/)
  expect(() =>
    load([
      { name: 'a', key: good },
      { name: 'b', key: good, role: 'admin' },
    ]),
  ).toThrow(/keys\[1\]\.key/)
  expect(() => load([{ name: 'master', key: good }], { TURNOUT_MASTER_KEY: `${good}2` })).toThrow(/called "master"/)
  expect(() => load([{ name: 'a', key: good }], { TURNOUT_MASTER_KEY: good })).toThrow(/same secret/)
  const passing = { name: 'a', key: good, role: 'admin', expiresAt: '2099-01-01T00:00:00Z' }
  expect(() => load([passing], { TURNOUT_MASTER_KEY: good })).toThrow(/same secret/)
})

test.each(['ada', 'master'])('the key of an admin called "%s" may stand in the variable, too', (name) => {
  const { keys } = load([{ name, key: good, role: 'admin' }], { TURNOUT_MASTER_KEY: good })
  expect([...keys.values()].map((key) => [key.name, key.role])).toEqual([[name, 'admin']])
})

describe('binding', () => {
  test.each(['127.0.0.1', '127.9.9.9', 'localhost', '::1', '[::1]', 'LOCALHOST', '::ffff:127.0.0.1'])(
    '%s is loopback',
    (host) => {
      expect(isLoopback(host)).toBe(true)
      expect(checkBinding(load([], {}, host), {})).toBeUndefined()
    },
  )

  test.each([
    '0.0.0.0',
    '::',
    '192.168.1.4',
    'example.com',
    '127.0.0.1.example.com',
    '::ffff:10.0.0.1',
    '128.0.0.1',
    'localhost.example.com',
  ])('%s needs a key', (host) => {
    expect(isLoopback(host)).toBe(false)
    expect(checkBinding(load([], {}, host), {})).toMatch(/without a key/)
    expect(checkBinding(load([], {}, host), { insecure: true })).toBeUndefined()
    expect(checkBinding(load([{ name: 'a', key: good }], {}, host), {})).toBeUndefined()
    expect(checkBinding(load([], { TURNOUT_MASTER_KEY: good }, host), {})).toBeUndefined()
  })

  test('an address may stand in brackets, as in a URL', () => {
    expect(load([], {}, '[::1]').server.host).toBe('::1')
    const text = JSON.stringify({
      providers: { ollama: null },
      directModels: true,
      metrics: { port: 1, host: '[::1]' },
    })
    const { server, metrics } = parseConfig(text, { env: { HOST: '[::]' }, version: 1 }).snapshot
    expect([server.host, metrics.host]).toEqual(['::', '::1'])
    // To Node no address is every address: brackets around a variable that is not set must not come to that.
    expect(load([], {}, '[]').server.host).toBe('[]')
  })

  test('and the demo key does not count as one', () => {
    const keys = [
      { name: 'a', key: 'tk-demo' },
      { name: 'b', key: good },
    ]
    expect(checkBinding(load(keys, {}, '0.0.0.0'), {})).toMatch(/demo key/)
    expect(checkBinding(load(keys), {})).toBeUndefined()
  })
})
