// Temporary blocks: who is kept out, for how long, by whom, and what is on record of it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addressKey, createAddressRules } from '../src/state/limits/address.ts'
import { createBlocks } from '../src/state/limits/blocks.ts'
import { createFamiliar } from '../src/state/limits/familiar.ts'
import { type ControlGateway, document, keys, type Reply, startControl } from './support/control.ts'
import { get, send } from './support/exchange.ts'
import { holdUp } from './support/holdUp.ts'
import { rawExchange } from './support/rawSocket.ts'
import { runTurnout } from './support/turnoutProcess.ts'

describe('in memory', () => {
  it('end by themselves, are replaced, and tell what they were', () => {
    let now = 1_000_000
    const blocks = createBlocks(() => now)
    expect(blocks.holds('ip')).toBe(false)
    blocks.add('ip', '10.0.0.1', 60, 'a')
    blocks.add('key', 'web', 10, 'b')
    blocks.add('ip', '::ffff:10.0.0.1', 120, 'c')
    expect(blocks.list().map(({ kind, value, reason }) => [kind, value, reason])).toEqual([
      ['key', 'web', 'b'],
      ['ip', '10.0.0.1', 'c'],
    ])
    now += 10_000
    expect(blocks.find('key', 'web')).toBeUndefined()
    expect(blocks.holds('key')).toBe(false)
    expect(blocks.find('ip', '10.0.0.1')?.until).toBe(1_120_000)
    expect(blocks.remove('ip', '10.0.0.1')?.reason).toBe('c')
    expect(blocks.remove('ip', '10.0.0.1')).toBeUndefined()
    expect(blocks.list()).toEqual([])
    for (const seconds of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => blocks.add('ip', '10.0.0.1', seconds, '')).toThrow(RangeError)
  })

  it('are bounded, and those that ended make room', () => {
    let now = 0
    const blocks = createBlocks(() => now)
    for (let n = 0; n < 100_000; n++) blocks.add('key', `k${n}`, 10, '')
    expect(() => blocks.add('key', 'one more', 10, '')).toThrow('100000')
    blocks.add('key', 'k7', 20, 'replaced')
    blocks.add('ip', '10.0.0.1', 10, 'of another kind')
    now = 10_000
    blocks.add('key', 'one more', 10, '')
    expect(blocks.list().map(({ value }) => value)).toEqual(['k7', 'one more'])
  })
})

describe('addresses', () => {
  it('of IPv6 count by their first 64 bits, IPv4 as it is, however they are written', () => {
    expect(addressKey('192.0.2.1')).toBe('192.0.2.1')
    expect(addressKey('::ffff:192.0.2.1')).toBe('192.0.2.1')
    const home = addressKey('2001:db8:1:2:3:4:5:6')
    expect(home).toBe('2001:db8:1:2::/64')
    for (const text of ['2001:db8:1:2::', '2001:0DB8:0001:0002:ffff::1', '2001:db8:1:2::1.2.3.4'])
      expect(addressKey(text), text).toBe(home)
    expect(addressKey('2001:db8:1:3::')).not.toBe(home)
    expect(addressKey('::1')).toBe(addressKey('0:0:0:0::5'))
    expect(addressKey('fe80::1%eth0')).toBe(addressKey('fe80::2'))
    expect(addressKey('nonsense')).toBe('nonsense')
  })

  it('on the list `deny` may not come, with a list `allow` nobody else may', () => {
    const judge = createAddressRules({ allow: ['10.0.0.0/8', '2001:db8::/32'], deny: ['10.1.0.0/16'] })
    expect(['10.2.0.1', '10.1.0.1', '192.0.2.1', '2001:db8::1', '2001:db9::1', ''].map(judge)).toEqual([
      'allowed',
      'denied',
      'not_allowed',
      'allowed',
      'not_allowed',
      'not_allowed',
    ])
    expect(createAddressRules({ allow: [], deny: ['192.0.2.1'] })('192.0.2.2')).toBe('allowed')
    expect(createAddressRules({ allow: [], deny: [] })('nonsense')).toBe('allowed')
  })

  it('are remembered with the keys that came from them, the newest', () => {
    const familiar = createFamiliar(2)
    for (const key of ['a', 'b', 'a', 'c']) familiar.note('10.0.0.1', key)
    expect(['a', 'b', 'c'].map((key) => familiar.knows('10.0.0.1', key))).toEqual([false, true, true])
    expect([familiar.knows('10.0.0.2', 'c'), familiar.size]).toEqual([false, 2])
  })
})

describe('of a running gateway', () => {
  let gateway: ControlGateway
  beforeAll(async () => {
    gateway = await startControl({
      text: document('access: { failuresPerMinute: 3 }\n').replace(
        'server: { port: 0 }',
        'server: { port: 0, trustedProxies: [127.0.0.1] }',
      ),
    })
  })
  afterAll(() => gateway.close())

  const from = (address: string): Record<string, string> => ({ 'x-forwarded-for': address })
  const chatAs = (user: string, key: string = keys.app): Promise<Reply> =>
    fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      body: JSON.stringify({ model: 'single', user, messages: [{ role: 'user', content: 'Say hello' }] }),
    }).then(async (reply) => {
      const text = await reply.text()
      return { status: reply.status, headers: Object.fromEntries(reply.headers), body: JSON.parse(text), text }
    })

  it('keeps an address out of every page, and lets it in again', async () => {
    const block = await gateway.ask('POST', '/blocks', { ip: '203.0.113.7', seconds: 600, reason: 'secret why' })
    expect(block).toMatchObject({ status: 200, body: { object: 'block', kind: 'ip', value: '203.0.113.7' } })
    expect(Date.parse(block.body.until) - Date.now()).toBeGreaterThan(400_000)
    for (const reply of [
      await gateway.chat('chat', from('203.0.113.7')),
      await gateway.ask('GET', '/blocks', undefined, 'admin', from('203.0.113.7')),
    ]) {
      expect([reply.status, reply.body.error.code, reply.body.error.metadata.scope]).toEqual([403, 'blocked', 'ip'])
      expect(Number(reply.headers['retry-after'])).toBeGreaterThan(400)
      // Theirs to know, not the client's.
      expect(reply.text).not.toContain('secret why')
    }
    expect((await get(`${gateway.url}/status`, from('203.0.113.7'))).status).toBe(403)
    expect((await get(`${gateway.url}/health`, from('203.0.113.7'))).status).toBe(200)
    // However many headers of its own come before what the proxy says of it.
    const padded = `GET /status HTTP/1.1\r\nHost: x\r\n${'a:b\r\n'.repeat(2_100)}X-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n`
    expect((await rawExchange(Number(new URL(gateway.url).port), padded)).status).toBe(403)
    expect((await gateway.chat('chat', from('203.0.113.8'))).status).toBe(200)
    expect((await gateway.ask('DELETE', '/blocks', { ip: '203.0.113.7' })).body.removed).toBe(true)
    expect((await gateway.chat('chat', from('203.0.113.7'))).status).toBe(200)
    expect((await gateway.ask('DELETE', '/blocks', { ip: '203.0.113.7' })).status).toBe(404)
  })

  it('keeps a key and an end user out, and nobody else', async () => {
    await gateway.ask('POST', '/blocks', { key: 'app', seconds: 600, reason: 'leaked' })
    expect((await chatAs('ann')).body.error).toMatchObject({ code: 'blocked', message: /key is blocked/ })
    expect((await chatAs('ann', keys.viewer)).status).toBe(200)
    await gateway.ask('DELETE', '/blocks', { key: 'app' })
    const block = await gateway.ask('POST', '/blocks', { user: 'ann', seconds: 600, reason: 'abuse' })
    expect((await chatAs('ann')).body.error).toMatchObject({ code: 'blocked', metadata: { scope: 'user' } })
    expect((await chatAs('bob')).status).toBe(200)
    const listed = await gateway.ask('GET', '/blocks', undefined, 'viewer')
    expect(listed.body.data).toEqual([block.body])
    // By hash, as in the ledger.
    expect(listed.text).not.toContain('ann')
    expect((await get(`${gateway.url}/metrics`)).text).toMatch(/^turnout_blocks\{kind="user"\} 1$/m)
    await gateway.ask('DELETE', '/blocks', { user: 'ann' })
    expect((await chatAs('ann')).status).toBe(200)
  })

  it.each([
    ['address', { ip: '203.0.113.30' }, 'ip'],
    ['user', { user: 'zoe' }, 'user'],
    ['key', { key: 'queued' }, 'key'],
  ])('keeps out whoever waits for its turn when its %s is blocked', async (_, who, scope) => {
    const limits = { concurrency: 1, queueMs: 60_000 }
    const { secret } = (await gateway.ask('POST', '/keys', { name: 'queued', limits })).body
    const headers = { authorization: `Bearer ${secret}`, ...from('203.0.113.30') }
    const first = await holdUp(gateway, headers)
    const body = { model: 'chat', user: 'zoe', messages: [{ role: 'user', content: 'Hello' }] }
    const second = send('POST', `${gateway.url}/v1/chat/completions`, body, headers)
    await expect.poll(() => gateway.running.turnout.limits.size.waiting).toBe(1)
    await gateway.ask('POST', '/blocks', { ...who, seconds: 600, reason: 'floods' })
    first.request.destroy()
    const reply = await second.done
    expect(reply.status, reply.text).toBe(403)
    expect(JSON.parse(reply.text).error).toMatchObject({ code: 'blocked', metadata: { scope } })
    expect(gateway.simulator.calls).toHaveLength(1)
    await gateway.ask('DELETE', '/blocks', who)
    await gateway.ask('DELETE', '/keys/queued')
  })

  it.each([
    ['an address', { ip: '203.0.113.31' }, 'ip'],
    ['a key', { key: 'waiting' }, 'key'],
  ])('tells no models to %s that was blocked while it waited for its turn', async (_, who, scope) => {
    const limits = { concurrency: 1, queueMs: 60_000 }
    const { secret } = (await gateway.ask('POST', '/keys', { name: 'waiting', limits })).body
    const headers = { authorization: `Bearer ${secret}`, ...from('203.0.113.31') }
    const first = await holdUp(gateway, headers)
    const second = get(`${gateway.url}/v1/models`, headers)
    await expect.poll(() => gateway.running.turnout.limits.size.waiting).toBe(1)
    await gateway.ask('POST', '/blocks', { ...who, seconds: 600, reason: 'floods' })
    first.request.destroy()
    const { status, text } = await second
    expect([status, JSON.parse(text).error?.metadata.scope]).toEqual([403, scope])
    expect(gateway.running.turnout.limits.size.waiting).toBe(0)
    await gateway.ask('DELETE', '/blocks', who)
    expect((await get(`${gateway.url}/v1/models`, headers)).status).toBe(200)
    await gateway.ask('DELETE', '/keys/waiting')
  })

  it('leaves a row of each change', async () => {
    await gateway.ask('POST', '/blocks', { ip: '203.0.113.9', seconds: 60, reason: 'one' }, 'responder')
    await gateway.ask('POST', '/blocks', { ip: '203.0.113.9', seconds: 90, reason: 'two' })
    await gateway.ask('DELETE', '/blocks', { ip: '203.0.113.9' })
    const { body } = await gateway.ask('GET', '/audit?limit=3')
    expect(
      body.data.map(({ actor, verb, subject, before, after }: Record<string, { reason: string }>) => [
        actor,
        verb,
        subject,
        before?.reason,
        after?.reason,
      ]),
    ).toEqual([
      ['admin', 'unblock', 'ip 203.0.113.9', 'two', undefined],
      ['admin', 'block', 'ip 203.0.113.9', 'one', 'two'],
      ['responder', 'block', 'ip 203.0.113.9', undefined, 'one'],
    ])
  })

  it('is refused to those who would lock themselves out, reach too high, or mistype', async () => {
    const block = (body: Record<string, unknown>, who: 'viewer' | 'responder' | 'admin' = 'admin', headers = {}) =>
      gateway.ask('POST', '/blocks', { seconds: 60, reason: 'x', ...body }, who, headers)
    const code = async (reply: Promise<Reply>): Promise<unknown[]> => {
      const { status, body } = await reply
      return [status, body.error?.code, body.error?.param]
    }
    expect(await code(block({ key: 'admin' }))).toEqual([400, 'invalid_value', 'key'])
    expect(await code(block({ ip: '203.0.113.7' }, 'admin', from('203.0.113.7')))).toEqual([400, 'invalid_value', 'ip'])
    expect(await code(block({ key: 'operator' }, 'responder'))).toEqual([403, 'permission_denied', 'key'])
    expect(await code(block({ key: 'jwt:ops' }, 'responder'))).toEqual([403, 'permission_denied', 'key'])
    expect(await code(block({ key: 'ap' }))).toEqual([404, 'not_found', 'key'])
    expect(await code(block({ key: 'app' }, 'viewer'))).toEqual([403, 'permission_denied', null])
    expect(await code(block({ ip: '10.0.0.300' }))).toEqual([400, 'invalid_value', 'ip'])
    expect((await block({ ip: '10.0.0.3', key: 'app' })).body.error.message).toContain('exactly one of')
    expect((await block({})).body.error.message).toContain('exactly one of')
    const long = block({ ip: '10.0.0.3', seconds: 2_592_001 })
    expect(await code(long)).toEqual([400, 'invalid_value', 'seconds'])
    expect((await long).body.error.message).toContain('30 days')
    expect((await gateway.ask('GET', '/blocks')).body.data).toEqual([])
  })

  it('turnout blocks does the same from a shell', { timeout: 300_000 }, async () => {
    const blocks = async (...args: string[]): Promise<string> => {
      const { code, out, err } = await runTurnout(['blocks', ...args], {
        cwd: gateway.folder,
        env: { TURNOUT_URL: gateway.url, TURNOUT_MASTER_KEY: keys.admin },
      })
      return code === 0 ? out : `${code} ${err}`
    }
    expect(await blocks('add', '--ip', '203.0.113.20', '--for', '1h', '--reason', 'drill')).toMatch(
      /^ip 203\.0\.113\.20 is blocked until 2\d{3}-/,
    )
    expect(await blocks()).toMatch(/^kind +whom +until +reason\nip +203\.0\.113\.20 +2\d{3}-\S+ +drill\n$/)
    expect(await blocks('remove', '--ip', '203.0.113.20')).toBe('ip 203.0.113.20 is not blocked any more\n')
    expect(await blocks('list')).toBe('nobody is blocked\n')
    expect(await blocks('remove', '--name', 'app')).toBe('1 There is no block of this key.\n')
    expect(await blocks('add', '--for', '1h')).toContain('one of --ip, --user and --name')
    expect(await blocks('add', '--ip', '203.0.113.20', '--for', 'soon')).toContain("'soon' is no time")
    expect(await blocks('add', '--ip', '203.0.113.21', '--for', '2d')).toMatch(/^ip 203\.0\.113\.21 is blocked until /)
    await blocks('remove', '--ip', '203.0.113.21')
  })

  it('an address with too many wrong keys has to wait; right keys that came from there before do not', async () => {
    const chatFrom = async (address: string, key: string): Promise<unknown> =>
      (await gateway.chat('chat', { ...from(address), authorization: `Bearer ${key}` })).body.error?.code
    expect(await chatFrom('203.0.113.30', keys.app)).toBeUndefined()
    for (let n = 0; n < 3; n++) expect(await chatFrom('203.0.113.30', `wrong-${n}`)).toBe('invalid_api_key')
    // Not even whether a key is right.
    for (const key of ['wrong', keys.viewer]) expect(await chatFrom('203.0.113.30', key)).toBe('rate_limit_exceeded')
    expect(await chatFrom('203.0.113.30', keys.app)).toBeUndefined()
    expect(await chatFrom('203.0.113.31', keys.viewer)).toBeUndefined()
    expect((await get(`${gateway.url}/metrics`)).text).toMatch(
      /^turnout_door_refusals_total\{reason="wrong_keys"\} 2$/m,
    )
  })
})
