// What the bench's configurations really do for each request, and which way the requests of its works take.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Contender, Running as RunningContender } from '../bench/contenders/contender.ts'
import { type Feature, features } from '../bench/contenders/features.ts'
import { findDetour } from '../bench/contenders/path.ts'
import { direct } from '../bench/contenders/peers.ts'
import { turnout, turnoutBare, writeConfig } from '../bench/contenders/turnout.ts'
import { buildChildren } from '../bench/folders.ts'
import { driveOwn } from '../bench/load/drive.ts'
import { bodyFile, checkWork, type Stage } from '../bench/stage.ts'
import { lanes, type Work, works } from '../bench/work.ts'
import { run } from '../src/cli/run.ts'
import { loadDriver } from '../src/store/driver.ts'
import { findQuietPort } from './support/quietPort.ts'

const folder = mkdtempSync(join(tmpdir(), 'turnout-path-'))
/** One of each lane and framing; the others differ in their connections alone. */
const asked = works.filter(({ name }) => !/-(1|64|256)$/.test(name))
const masterKey = 'mk-test-bench-0000000000000000'
let upstream: ChildProcess
let origin = ''

beforeAll(async () => {
  const port = await findQuietPort()
  origin = `http://127.0.0.1:${port}`
  const script = join(import.meta.dirname, '../bench/upstream.ts')
  upstream = spawn(process.execPath, ['--import', 'tsx', script, String(port)], { stdio: 'inherit' })
  await once(upstream, 'spawn')
  await vi.waitFor(() => fetch(`${origin}/small/`, { method: 'POST' }), { timeout: 60_000, interval: 20 })
})

afterAll(async () => {
  const ended = once(upstream, 'exit')
  upstream.kill()
  await ended
  rmSync(folder, { recursive: true, force: true })
})

/** What is left of a gateway with these features that was asked these works as the bench asks them before it measures. */
const ask = async (contender: Contender, on: readonly Feature[], asked: readonly Work[]) => {
  const place = mkdtempSync(join(folder, 'gateway-'))
  mkdirSync(join(place, 'data'))
  const port = await findQuietPort()
  const upstreams = Object.fromEntries(lanes.map((lane) => [lane, origin])) as Stage['upstreams']
  const config = writeConfig({ upstreams, folder: place, port }, on)
  const log = join(place, 'log.txt')
  // What the bench has at the standard output.
  const document = JSON.parse(readFileSync(config, 'utf8'))
  writeFileSync(config, JSON.stringify({ ...document, log: { ...document.log, file: log } }))
  // A key of the environment would be one of bare's, too.
  const gateway = await run({
    config,
    ...(contender === turnoutBare ? {} : { env: { TURNOUT_MASTER_KEY: masterKey } }),
  })
  const grounds = { machine: {} as never, upstreams, folder: place, port }
  const running: RunningContender = { contender, grounds, child: undefined }
  const read = async (path: string) =>
    (await fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization: `Bearer ${masterKey}` } })).text()
  try {
    for (const work of asked) await checkWork({ folder: place } as Stage, running, work)
    const metrics = await read('/metrics')
    const alerts = await read('/admin/alerts')
    await gateway.stop()
    const db = new (loadDriver())(join(place, 'data/turnout.db'), { readonly: true })
    const count = (sql: string): number => db.prepare(`SELECT count(*) FROM ${sql}`).pluck().get() as number
    const rows = {
      requests: count('requests'),
      hits: count("requests WHERE cache = 'hit'"),
      traces: count('trace'),
      assigned: count('requests WHERE rollout IS NOT NULL'),
      keyed: count("requests WHERE key = 'bench'"),
      priced: count('requests WHERE cost > 0'),
      translated: count("attempts WHERE lane = 'hub'"),
    }
    db.close()
    const lines = readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => line.includes('"msg":"request"'))
    const sumOf = (name: string): number =>
      [...metrics.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (.+)$`, 'gm'))].reduce((sum, [, n]) => sum + Number(n), 0)
    return { rows, lines: lines.length, sumOf, alerts }
  } finally {
    await gateway.stop()
  }
}

describe('all of the bench', () => {
  it('does everything that it says for each request, on the lanes that it says', async () => {
    const { rows, lines, sumOf, alerts } = await ask(turnout, features, asked)
    // Twice each; the cached one three times, of which one or, where both sides of the rollout were drawn, two are calls.
    const requests = asked.length * 2 + 1
    const calls = requests - rows.hits
    expect(rows.hits).toBeOneOf([1, 2])
    expect(rows).toEqual({
      ...{ requests, hits: rows.hits, traces: requests, assigned: calls, keyed: requests, priced: calls },
      translated: asked.filter(({ hub }) => hub).length * 2,
    })
    expect(lines).toBe(requests)
    expect(sumOf('turnout_cache_stored_total')).toBe(calls)
    // By the key, by the route, and for all.
    expect(sumOf('turnout_budget_spent_usd')).toBeCloseTo(3 * sumOf('turnout_request_cost_usd_total'))
    expect(sumOf('turnout_limit_entities')).toBe(3)
    const watched = Object.fromEntries(
      (JSON.parse(alerts) as { data: { name: string; watched: number }[] }).data.map((rule) => [
        rule.name,
        rule.watched,
      ]),
    )
    const routes = new Set(asked.map(({ lane }) => lane)).size
    expect(watched).toMatchObject({ hour: 1, day: routes, share: 1 })
    // A rollout has another target for its canary.
    expect(watched.spike).toBeGreaterThanOrEqual(routes)
  })
})

describe('bare', () => {
  it('does none of it', async () => {
    const identity = asked.filter(({ contenders }) => contenders?.includes('turnout-bare') ?? true)
    const { rows, lines, sumOf } = await ask(turnoutBare, [], identity)
    const requests = identity.length * 2
    expect(rows).toEqual({
      ...{ requests, hits: 0, traces: 0, assigned: 0, keyed: 0, priced: requests },
      translated: identity.filter(({ hub }) => hub).length * 2,
    })
    expect(lines).toBe(0)
    for (const name of ['cache_stored_total', 'budget_spent_usd', 'limit_entities', 'rollout_requests_total'])
      expect([name, sumOf(`turnout_${name}`)]).toEqual([name, 0])
  })
})

describe('the check before a work', () => {
  const named = (name: string): Work => works.find((work) => work.name === name)!

  it.each([
    ['trace', /x-turnout-trace is absent/],
    ['rollout', /x-turnout-rollout is absent/],
    ['limits', /x-upstream-ratelimit-limit-requests is absent/],
    ['cache', /x-turnout-cache is absent/],
  ])('finds that %s is off where everything is said to be on', async (name, problem) => {
    const on = features.filter((feature) => feature.name !== name)
    await expect(ask(turnout, on, [named('json')])).rejects.toThrow(problem)
  })

  it('finds what is on where everything is said to be off', async () => {
    const on = features.filter(({ name }) => name === 'trace')
    await expect(ask(turnoutBare, on, [named('json')])).rejects.toThrow(/x-turnout-trace is [0-9a-f]{32}/)
  })

  it.each(['hub-json', 'hub-stream'])("finds an answer at %s that is not OpenAI's", async (name) => {
    const grounds = { machine: {} as never, upstreams: {} as never, folder, port: Number(new URL(origin).port) }
    const target = (lane: string) => ({ path: `/${lane}/v1/chat/completions`, headers: {} })
    const contender: Contender = { ...direct, passes: 'identity', target }
    const asking = checkWork({ folder } as Stage, { contender, grounds, child: undefined }, named(name))
    await expect(asking).rejects.toThrow("not in OpenAI's dialect")
  })

  it('finds misses of the work that is about hits, and hits of the others', () => {
    const on = features.filter(({ name }) => name === 'cache')
    const headers = (cache: string) => ({ 'x-turnout-lane': 'identity', 'x-turnout-cache': cache })
    const find = (name: string, ...said: string[]) => findDetour(on, named(name), said.map(headers))
    expect(find('json-cached', 'miss', 'miss')).toBeUndefined()
    expect(find('json-cached', 'miss', 'miss', 'miss')).toBe('none of 3 came from the cache (miss, miss, miss)')
    expect(find('json-cached', 'miss', 'hit; age=0', 'miss')).toBeUndefined()
    expect(find('json', 'miss', 'hit; age=0')).toBe('it came from the cache')
    expect(find('hub-json', 'miss')).toBe('the lane is identity, not hub')
  })

  it('finds usage in a stream whose client did not ask for it', async () => {
    const grounds = { machine: {} as never, upstreams: {} as never, folder, port: Number(new URL(origin).port) }
    const contender = { ...direct, target: () => ({ path: '/fast/v1/chat/completions', headers: {} }) }
    // As if it had asked for it itself.
    const work = { ...named('stream-unasked'), body: named('stream').body }
    const asking = checkWork({ folder } as Stage, { contender, grounds, child: undefined }, work)
    await expect(asking).rejects.toThrow("other bytes than the upstream's")
  })
})

it('the latencies of a window are those after its lead, and all replies of it are looked at', async () => {
  await buildChildren()
  const port = Number(new URL(origin).port)
  const grounds = { machine: {} as never, upstreams: {} as never, folder, port }
  const target = () => ({ path: '/small/v1/chat/completions', headers: {} })
  const running = { contender: { ...direct, target }, grounds, child: undefined }
  const stage = { folder, machine: {} } as Stage
  const work = works.find(({ name }) => name === 'json')!
  writeFileSync(bodyFile(stage, work), work.body)
  await checkWork(stage, running, work)
  const drive = { mode: 'open', lead: 0.3, seconds: 0.2, rate: 100, connections: 4 } as const
  const { completed, latency, firstByte, wrong } = await driveOwn(stage, running, work, drive)
  expect({ completed, wrong }).toEqual({ completed: 50, wrong: 0 })
  expect([latency.length, firstByte.length]).toEqual([20, 20])
})
