// What becomes of answers that are kept: rows and sums, staleness, compression, removal, rollouts, memory.
import { execFile } from 'node:child_process'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { markOf, speak, startCacheGateway } from './support/cacheGateway.ts'
import { ask, CHAT, reply } from './support/chatBodies.ts'
import { get, post } from './support/exchange.ts'
import { sendJson } from './support/fakeUpstream.ts'
import { appKey, bearer, startLedgerGateway } from './support/ledgerGateway.ts'

const content = (text: string): string => JSON.parse(text).choices[0].message.content

describe('a hit in the books', () => {
  it('costs nothing, says what it saved, and is a row like any other', async () => {
    const it = await startLedgerGateway({ routes: { m: { targets: ['sim/sim-text'], cache: true } } })
    onTestFinished(() => it.close())
    const chat = (more: object = {}) =>
      post(it.url + CHAT, ask('m', { temperature: 0, ...more }), { ...bearer(appKey), 'x-turnout-usage': 'cost' })
    const first = await chat()
    const second = await chat()
    expect([markOf(first), markOf(second)]).toEqual(['miss', 'hit'])
    expect(JSON.parse(second.text).usage).toMatchObject({ cost: 0, cost_details: { attempts: 0 } })
    expect(second.headers['x-turnout-cost-usd']).toBe('0')
    await it.ledger.flush()
    const rows = it.store.db.prepare('SELECT * FROM requests ORDER BY id').all() as Record<string, unknown>[]
    expect(rows[0]).toMatchObject({ attempts: 1, cache: null, cache_saved: null })
    expect(rows[0]!.cost).toBeGreaterThan(0)
    expect(rows[1]).toMatchObject({
      attempts: 0,
      cost: 0,
      key: 'web',
      outcome: 'ok',
      cache: 'hit',
      cache_age_s: expect.any(Number),
      cache_saved: rows[0]!.cost,
    })
    expect(it.gateway.lines.map(({ cache }) => cache)).toEqual(['miss', 'hit'])
    const { body } = await it.gateway.metrics.expose()
    expect(body).toContain('turnout_cache_requests_total{route="m",status="hit"} 1')
    expect(body).toContain('turnout_cache_requests_total{route="m",status="miss"} 1')
    expect(body).toContain(`turnout_cache_saved_usd_total{route="m"} ${Number(rows[0]!.cost) / 1e9}`)
    expect(body).toContain('turnout_cache_entries{route="m"} 1')
  })

  it('is a refusal in all of them where no row can be kept, but for one that finds that out', async () => {
    const it = await startLedgerGateway({ routes: { m: { targets: ['sim/sim-text'], cache: true } } })
    onTestFinished(() => it.close())
    const chat = () => post(it.url + CHAT, ask('m', { temperature: 0 }), bearer(appKey))
    await chat()
    await it.ledger.flush()
    it.store.db.pragma(`max_page_count = ${it.store.db.pragma('page_count', { simple: true })}`)
    const statuses: number[] = []
    while (statuses.filter((status) => status === 503).length < 20) statuses.push((await chat()).status)
    const { body } = await it.gateway.metrics.expose()
    const counted = (labels: string) =>
      Number(new RegExp(`^turnout_requests_total\\{${labels}.*\\} (\\d+)`, 'm').exec(body)?.[1])
    const told = it.gateway.lines.filter(({ refusal }) => refusal === 'ledger_unavailable').length
    // On a slow machine the ledger is tried anew in between, and another one finds it out.
    expect(told).toBeGreaterThan(10)
    expect(counted('status="5xx",outcome="refused",route="m",target=""')).toBe(told)
    expect(body).toContain(`turnout_request_errors_total{blame="gateway",cause="ledger_unavailable",route="m"} ${told}`)
    it.store.db.pragma('max_page_count = 1073741823')
    await expect.poll(async () => (await chat()).status, { timeout: 60_000 }).toBe(200)
  })

  it('is one of a request that is refused in any case, too', async () => {
    const it = await startLedgerGateway()
    onTestFinished(() => it.close())
    const chat = () => post(it.url + CHAT, ask('sim/sim-text', { n: 0 }), bearer(appKey))
    expect((await chat()).status).toBe(400)
    await it.ledger.flush()
    it.store.db.pragma(`max_page_count = ${it.store.db.pragma('page_count', { simple: true })}`)
    const statuses: number[] = []
    while (statuses.filter((status) => status === 503).length < 20) statuses.push((await chat()).status)
    const told = it.gateway.lines.filter(({ status }) => status === 503)
    // As above.
    expect(told.length).toBeGreaterThan(10)
    for (const line of told) expect(line).toMatchObject({ outcome: 'refused', refusal: 'ledger_unavailable' })
    const { body } = await it.gateway.metrics.expose()
    expect(body).toContain(`turnout_requests_total{status="5xx",outcome="refused",route="",target=""} ${told.length}`)
  })

  it('is none of an answer that was bought while the clock was ahead', async () => {
    const real = Date.now
    let ahead = 400 * 86_400_000
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => real() + ahead)
    onTestFinished(() => clock.mockRestore())
    const it = await startLedgerGateway({ routes: { m: { targets: ['sim/sim-text'], cache: true } } })
    onTestFinished(() => it.close())
    const chat = async () => markOf(await post(it.url + CHAT, ask('m', { temperature: 0 }), bearer(appKey)))
    expect([await chat(), await chat()]).toEqual(['miss', 'hit'])
    ahead = 0
    expect([await chat(), await chat()]).toEqual(['miss', 'hit'])
    // Set back by little, as clocks are.
    ahead = -30_000
    expect(await chat()).toBe('hit')
  })

  it('of many that shared a call one carries its cost', async () => {
    const it = await startLedgerGateway({ routes: { m: { targets: ['sim/sim-text'], cache: true } } })
    onTestFinished(() => it.close())
    const asked = Array.from({ length: 20 }, (_, n) =>
      post(it.url + CHAT, ask('m', { temperature: 0, stream: n % 2 === 1 }), bearer(appKey)),
    )
    await Promise.all(asked)
    await it.ledger.flush()
    const rows = it.store.db.prepare('SELECT attempts, cost, cache, cache_saved FROM requests').all() as {
      attempts: number
      cost: number
      cache: string | null
      cache_saved: number | null
    }[]
    expect(rows).toHaveLength(20)
    const paid = rows.filter(({ attempts }) => attempts > 0)
    expect(paid.length).toBe(it.simulator.totals().requests)
    expect(paid.length).toBeLessThanOrEqual(2)
    for (const row of rows.filter(({ attempts }) => attempts === 0)) {
      expect(row.cost).toBe(0)
      expect(row.cache).toMatch(/^(hit|coalesced)$/)
      expect(row.cache_saved).toBe(paid[0]!.cost)
    }
  })
})

describe('time', () => {
  /** A gateway whose answers are over soon. */
  const brief = { ttl: '40ms' }
  const later = (ms = 60): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

  it('an answer is over after its time, and a client may ask for less of it', async () => {
    const { chat } = await startCacheGateway(brief)
    await chat()
    await later()
    expect(markOf(await chat())).toBe('miss')
    const hour = await startCacheGateway()
    await hour.chat({}, { 'x-turnout-cache-ttl': '0.04s' })
    await later()
    expect(markOf(await hour.chat())).toBe('miss')
    await later(20)
    expect(markOf(await hour.chat({}, { 'cache-control': 'max-age=0' }))).toBe('miss')
    expect((await hour.chat()).headers['x-turnout-cache']).toMatch(/^hit; age=\d+$/)
  })

  it('a stale one is given, marked, when all targets fail, and only as long as the route says', async () => {
    let fails = false
    const { gateway, chat } = await startCacheGateway({ ...brief, staleIfError: '1h' }, (req, res, raw, n) =>
      fails ? sendJson(res, 503, { error: { message: 'busy' } }) : speak()(req, res, raw, n),
    )
    await chat()
    await later()
    fails = true
    const stale = await chat()
    expect([stale.status, content(stale.text)]).toEqual([200, 'answer 1'])
    expect(stale.headers['x-turnout-cache']).toMatch(/^stale; age=\d+; reason=error$/)
    expect(markOf(await chat({ stream: true }))).toBe('stale; reason=error')
    expect((await chat({}, { 'cache-control': 'no-cache' })).status).toBe(503)
    expect((await chat({ seed: 2 })).status).toBe(503)
    expect(gateway.lines.map(({ outcome }) => outcome)).toEqual(['ok', 'ok', 'ok', 'failed', 'failed'])
    const never = await startCacheGateway(brief, (req, res, raw, n) =>
      n > 1 ? sendJson(res, 503, { error: { message: 'busy' } }) : speak()(req, res, raw, n),
    )
    await never.chat()
    await later()
    expect((await never.chat()).status).toBe(503)
  })

  it('a stale one is given while a new one is fetched, once, with a row of its own', async () => {
    let release = (): void => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const { gateway, upstream, chat } = await startCacheGateway(
      { ttl: '100ms', staleWhileRevalidate: '1h' },
      async (req, res, raw, n) => {
        if (n === 2) await held
        await speak()(req, res, raw, n)
      },
    )
    await chat()
    await later(110)
    const stale = await Promise.all([chat(), chat(), chat()])
    expect(stale.map(markOf)).toEqual(Array(3).fill('stale; reason=revalidating'))
    expect(stale.map(({ text }) => content(text))).toEqual(Array(3).fill('answer 1'))
    await upstream.waitFor(() => upstream.requests.length === 2)
    release()
    const lines = await gateway.settled(5)
    expect(lines.filter(({ cache }) => cache === 'refresh')).toMatchObject([
      { outcome: 'ok', status: 200, attempts: 1 },
    ])
    const next = await chat()
    // Fresh, or stale again on a slow machine: in any case the new one.
    expect(content(next.text)).toBe('answer 2')
  })

  it('asks nobody anew but the target whose answers are kept: a fallback would be paid for nothing', async () => {
    const asked: string[] = []
    const { gateway, chat } = await startCacheGateway(
      true,
      async (req, res, raw, n) => {
        const { model } = JSON.parse(raw.toString())
        asked.push(model)
        if (n === 1 || model === 'second') return speak()(req, res, raw, n)
        sendJson(res, 503, { error: { message: 'down' } })
      },
      { routes: { m: { targets: ['p/first', 'p/second'], cache: { ttl: '100ms', staleWhileRevalidate: '1h' } } } },
    )
    await chat()
    await later(110)
    expect(markOf(await chat())).toBe('stale; reason=revalidating')
    expect((await gateway.settled(3)).filter(({ cache }) => cache === 'refresh')).toMatchObject([
      { outcome: 'failed', target: 'p/first', attempts: 1 },
    ])
    expect(asked).toEqual(['first', 'first'])
    // Who does not want the old one has the fallback as ever.
    const fresh = await chat({}, { 'cache-control': 'max-age=0' })
    expect([fresh.status, fresh.headers['x-turnout-target']]).toEqual([200, 'p/second'])
  })

  it.each([
    ['brings nothing that may be kept', 200],
    ['fails', 503],
  ])('asks for a new one again after a pause only, where that %s', async (_, status) => {
    const timers = vi.spyOn(globalThis, 'setTimeout')
    onTestFinished(() => timers.mockRestore())
    const { gateway, upstream, chat } = await startCacheGateway(
      { ttl: '100ms', staleWhileRevalidate: '1h' },
      async (req, res, raw, n) =>
        n === 1 ? speak()(req, res, raw, n) : sendJson(res, status, reply('cut', { finish_reason: 'length' })),
    )
    await chat()
    await later(110)
    for (let n = 0; n < 3; n++) {
      expect(markOf(await chat())).toBe('stale; reason=revalidating')
      await gateway.settled(3 + n)
    }
    expect(upstream.requests).toHaveLength(2)
    const pause = timers.mock.calls.filter(([, ms]) => ms === 10_000)
    expect(pause).toHaveLength(1)
    const [refreshed, , key] = pause[0]! as unknown as [(key: unknown) => void, number, unknown]
    refreshed(key)
    expect(markOf(await chat())).toBe('stale; reason=revalidating')
    await upstream.waitFor(() => upstream.requests.length === 3)
  })

  it('holds no request until that pause is over', async () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const used = async (): Promise<number> => {
      upstream.requests.length = 0
      for (let n = 0; n < 3; n++) {
        await turn()
        collect()
      }
      const { heapUsed, external } = process.memoryUsage()
      return heapUsed + external
    }
    const count = 10
    let kept = 0
    const { upstream, chat } = await startCacheGateway(
      { ttl: '100ms', staleWhileRevalidate: '1h' },
      (_, res) => (kept++ < count ? sendJson(res, 200, reply()) : sendJson(res, 503, {})),
      { breaker: { failures: 1_000 } },
    )
    const askAll = async (): Promise<void> => {
      for (let n = 0; n < count; n++)
        await chat({ messages: [{ role: 'user', content: `${n} ${'x'.repeat(4_000_000)}` }] })
    }
    await askAll()
    await later(110)
    const before = await used()
    const timers = vi.spyOn(globalThis, 'setTimeout')
    onTestFinished(() => timers.mockRestore())
    await askAll()
    await vi.waitFor(() => expect(timers.mock.calls.filter(([, ms]) => ms === 10_000)).toHaveLength(count), 10_000)
    timers.mockRestore()
    expect((await used()) - before).toBeLessThan(count * 2_000_000)
  })

  it('asks for no new one on behalf of a client that wants an answer out of the cache alone', async () => {
    const { gateway, upstream, chat } = await startCacheGateway({ ttl: '100ms', staleWhileRevalidate: '1h' })
    await chat()
    await later(110)
    for (const [name, value] of [
      ['x-turnout-cache', 'only'],
      ['cache-control', 'only-if-cached'],
    ] as const)
      expect(markOf(await chat({}, { [name]: value }))).toBe('stale; reason=revalidating')
    await gateway.turnout.close()
    expect(upstream.requests).toHaveLength(1)
  })

  it('a shorter life that the route is given counts for answers that are there', async () => {
    const { gateway, chat } = await startCacheGateway({ ttl: '1h', staleIfError: '1h' })
    await chat()
    await later()
    expect(markOf(await chat())).toBe('hit')
    const { snapshot } = gateway.turnout
    const route = snapshot.routes.get('m')!
    const shorter = { ...route, cache: { ...route.cache!, ttl: 50 } }
    gateway.turnout.swap({ ...snapshot, version: 2, routes: new Map([['m', shorter]]) })
    expect(markOf(await chat())).toBe('miss')
  })

  it('a stop waits for what it fetches anew no longer than for clients', async () => {
    const { gateway, upstream, chat } = await startCacheGateway(
      { ttl: '100ms', staleWhileRevalidate: '1h' },
      (req, res, raw, n) => (n === 1 ? speak()(req, res, raw, n) : undefined),
      { server: { drainTimeout: '300ms' } },
    )
    await chat()
    await later(110)
    expect(markOf(await chat())).toBe('stale; reason=revalidating')
    await upstream.waitFor(() => upstream.requests.length === 2)
    await gateway.turnout.close()
    expect(gateway.lines.filter(({ cache }) => cache === 'refresh')).toMatchObject([
      { outcome: 'refused', refusal: 'shutting_down', status: 503, attempts: 1 },
    ])
  }, 20_000)

  it('what it fetches anew by itself is no request of a client in the metrics, whatever comes of it', async () => {
    const { gateway, chat } = await startCacheGateway(
      { ttl: '100ms', staleWhileRevalidate: '1h' },
      async (req, res, raw, n) =>
        n === 1 ? speak()(req, res, raw, n) : sendJson(res, 503, { error: { message: 'down' } }),
    )
    await chat()
    await later(110)
    expect(markOf(await chat())).toBe('stale; reason=revalidating')
    expect((await gateway.settled(3)).filter(({ cache }) => cache === 'refresh')).toMatchObject([{ outcome: 'failed' }])
    const { text } = await get(`${gateway.url}/metrics`)
    const sum = (name: string): number =>
      [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))].reduce(
        (of, found) => of + Number(found[1]),
        0,
      )
    const figures = ['requests_total', 'request_duration_seconds_count', 'key_requests_total', 'request_errors_total']
    expect(figures.map((name) => sum(`turnout_${name}`))).toEqual([2, 2, 2, 0])
    expect([sum('turnout_upstream_attempts_total'), sum('turnout_requests_in_flight')]).toEqual([2, 0])
    expect(text).toContain('turnout_cache_requests_total{route="m",status="refresh"} 1')
  })
})

describe('memory', () => {
  it('large answers are kept compressed where room is scarce, and come back as they were', async () => {
    const text = 'All work and no play makes a long text. '.repeat(4000)
    const { gateway, upstream, chat } = await startCacheGateway(true, (_, res) => sendJson(res, 200, reply(text)))
    const { cache } = gateway.turnout
    // An answer takes more than half of it.
    cache.configure({ size: 300_000, compressAbove: 16_384, persist: false, diskSize: 0 }, [])
    const first = await chat()
    while (cache.bytes > 20_000) await turn()
    const again = await chat()
    expect(markOf(again)).toBe('hit')
    expect(content(again.text)).toBe(text)
    expect({ ...JSON.parse(again.text), id: '' }).toEqual({ ...JSON.parse(first.text), id: '' })
    expect(upstream.requests).toHaveLength(1)
  })

  it('removal reaches answers that are on their way', async () => {
    let release = (): void => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const { gateway, upstream, chat } = await startCacheGateway(true, async (req, res, raw, n) => {
      if (n === 2) await held
      await speak()(req, res, raw, n)
    })
    const { cache } = gateway.turnout
    await chat({ seed: 1 })
    const slow = chat({ seed: 2 })
    await upstream.waitFor(() => upstream.requests.length === 2)
    expect(cache.dropTarget('p/other')).toBe(0)
    expect(cache.dropTarget('p/m')).toBe(1)
    release()
    expect(markOf(await slow)).toBe('miss; reason=dropped')
    expect(cache.entries).toBe(0)
    expect(markOf(await chat({ seed: 2 }))).toBe('miss')
    expect(markOf(await chat({ seed: 2 }))).toBe('hit')
  })
})

const MB = 1024 ** 2

describe('what the process takes', () => {
  // What V8 lets lie before it collects: 64 MB off its heap, and a young generation with half spaces of 64 MB, as shipped.
  const slack = 224

  it.each([
    [16, 2000, 'as they are'],
    [64, 20_000, 'as they are'],
    [64, 100_000, 'compressed'],
    [128, 2000, 'as they are'],
  ])(
    `is %i MB and at most ${slack} more when ten times as much is stored at full speed, in answers of %i bytes, %s`,
    async (megabytes, body, form) => {
      const size = megabytes * MB
      const flags = ['--expose-gc', '--max-semi-space-size=64', '--no-allocation-site-pretenuring', '--import', 'tsx']
      const args = [...flags, 'test/support/cacheFill.ts', String(size), String(body), form]
      const { stdout } = await promisify(execFile)(process.execPath, args, {
        cwd: fileURLToPath(new URL('..', import.meta.url)),
      })
      const { grown, bytes, over } = JSON.parse(stdout) as { grown: number; bytes: number; over: number }
      expect(over).toBe(0)
      expect(bytes).toBeLessThanOrEqual(size)
      if (form === 'as they are') expect(bytes).toBeGreaterThan(0.9 * size)
      expect(grown).toBeLessThan(size + slack * MB)
    },
    300_000,
  )
})
