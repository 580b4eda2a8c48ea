// What others have written gives the terminal of whoever reads it no orders: names in the ledger, reasons, messages of the log.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, it, vi } from 'vitest'
import { prettyLine } from '../src/telemetry/prettyLine.ts'
import { sendJson, startFakeUpstream } from './support/fakeUpstream.ts'
import { runTurnout } from './support/turnoutProcess.ts'

const cwd = mkdtempSync(join(tmpdir(), 'turnout-terminal-'))
afterAll(() => rmSync(cwd, { recursive: true, force: true }))
afterEach(() => {
  vi.unstubAllEnvs()
  vi.resetModules()
})

const orders = '\u001b[2J\u001b]0;x\u0007\u009b2J\r\u202e\u2066'
const control = /(?!\n)[\p{Cc}\u202a-\u202e\u2066-\u2069]/u

it.each([
  [
    ['canary', 'chat'],
    { object: 'canary', route: 'chat', target: ['p/m'], percent: 5, phase: 'running', reason: orders, idle: null },
  ],
  [
    ['trace', 'a'.repeat(32)],
    {
      object: 'trace',
      requests: [
        {
          trace_id: 'a'.repeat(32),
          id: 'req_1',
          route: `p/${orders}`,
          status: 200,
          outcome: 'ok',
          latency_ms: 1,
          steps: [{ name: `call 1: p/${orders} (primary)`, start_ms: 0, end_ms: 1 }],
        },
      ],
    },
  ],
])('turnout %j', async (args, answer) => {
  const server = await startFakeUpstream((_, res) => sendJson(res, 200, answer))
  try {
    const { code, out, err } = await runTurnout([...args, '--url', server.url, '--key', 'tk-test-boss-0123456789'], {
      cwd,
    })
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain('?[2J')
    expect(out).not.toMatch(control)
  } finally {
    await server.close()
  }
})

it.each([
  ['trace', 'a'.repeat(32)],
  ['rollout', 'status', 'move'],
])('turnout %s, refused', async (...args) => {
  const server = await startFakeUpstream((_, res) => sendJson(res, 409, { error: { message: `no: ${orders}` } }))
  try {
    const { out, err } = await runTurnout([...args, '--url', server.url, '--key', 'tk-test-boss-0123456789'], { cwd })
    expect([out, err]).toEqual(['', expect.stringContaining('no: ?[2J')])
    expect(err).not.toMatch(control)
  } finally {
    await server.close()
  }
})

const withoutColours = (line: string): string => line.split(/\p{Cc}\[\d+m/u).join('')

it('a line of the log', () => {
  const line = prettyLine(
    JSON.stringify({ level: 'warn', time: '', msg: `bypass on by ops: ${orders}\nforged`, key: orders }),
  )
  expect(line).toContain('bypass on by ops: ?[2J')
  // Its own colours are orders, too.
  expect(withoutColours(line).trimEnd()).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u)
})

it.each([
  ['NO_COLOR', '1', ' info  m a=1\n'],
  ['TERM', 'dumb', ' info  m a=1\n'],
  ['NO_COLOR', '', expect.stringContaining('\u001b[2ma=')],
])('a line of the log where %s is "%s"', async (name, value, told) => {
  for (const one of ['NO_COLOR', 'TERM']) vi.stubEnv(one, name === one ? value : '')
  vi.resetModules()
  const { prettyLine: line } = await import('../src/telemetry/prettyLine.ts')
  expect(line(JSON.stringify({ level: 'info', time: '', msg: 'm', a: 1 }))).toEqual(told)
})
