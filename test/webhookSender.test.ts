// Webhooks: what is told is stored first, signed, posted, tried again, and given up in sight of everybody.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import OpenAI from 'openai'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { WebhookSettings } from '../src/config/alertTypes.ts'
import { openDeliveries } from '../src/store/deliveries.ts'
import { openStore, type Store } from '../src/store/open.ts'
import type { Log } from '../src/telemetry/log.ts'
import { backoffOf } from '../src/telemetry/webhook/backoff.ts'
import type { DeliveryState } from '../src/telemetry/webhook/delivery.ts'
import { openPost } from '../src/telemetry/webhook/post.ts'
import { type AttemptResult, createSender, type Sender } from '../src/telemetry/webhook/sender.ts'
import { signMessage } from '../src/telemetry/webhook/signature.ts'
import { startReceiver, type WebhookReceiver } from './support/webhookReceiver.ts'

const secret = `whsec_${Buffer.from('thirty-two bytes of test secret!').toString('base64')}`
const plainSecret = 'test-plain-secret-0123456789'

let folder: string
let store: Store
let receiver: WebhookReceiver
let senders: Sender[]
let said: { level: string; text: string; facts: unknown }[]
let counts: Map<string, number>

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-webhook-'))
  store = openStore({ file: join(folder, 'turnout.db') })
  receiver = await startReceiver()
  senders = []
  said = []
  counts = new Map()
})
afterEach(async () => {
  await Promise.all(senders.map((sender) => sender.stop(0)))
  store.close()
  await receiver.close()
  rmSync(folder, { recursive: true })
})

const hook = (more: Partial<WebhookSettings> = {}): WebhookSettings => ({
  name: 'ops',
  url: receiver.url,
  secrets: [secret],
  headers: {},
  timeout: 60_000,
  attempts: 3,
  retryDelay: 5,
  ...more,
})

const note =
  (level: string) =>
  (text: string, facts?: unknown): void =>
    void said.push({ level, text, facts })
const log = {
  debug: note('debug'),
  info: note('info'),
  warn: note('warn'),
  error: note('error'),
} as unknown as Log

function open(
  webhooks: WebhookSettings[] | (() => WebhookSettings[]) = [hook()],
  more: { now?: () => number; bounds?: { waiting?: number; kept?: number } } = {},
): Sender {
  const list = typeof webhooks === 'function' ? webhooks : () => webhooks
  const sender = createSender({
    shelf: openDeliveries(store, more.bounds),
    webhooks: () => new Map(list().map((one) => [one.name, one])),
    log,
    now: more.now,
    counted: (webhook: string, outcome: AttemptResult) =>
      void counts.set(`${webhook} ${outcome}`, (counts.get(`${webhook} ${outcome}`) ?? 0) + 1),
    userAgent: 'Turnout/test',
  })
  senders.push(sender)
  sender.wake()
  return sender
}

const event = (n = 1) => ({ type: 'alert.test', at: Date.UTC(2026, 0, 31, 8), data: { n } })
const states = (sender: Sender): DeliveryState[] => sender.shelf.list({ limit: 100 }).map(({ state }) => state)

/** Until every message has ended. */
async function ended(sender: Sender): Promise<void> {
  while (states(sender).includes('waiting')) await new Promise((resolve) => setTimeout(resolve, 2))
}

describe('the signature', () => {
  it('is the one of the standard’s own example', () => {
    const example = {
      id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      timestamp: 1_614_265_330,
      body: '{"test": 2432232314}',
    }
    expect(signMessage(['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'], example)).toBe(
      'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    )
  })

  it('holds for each secret while one is changed, and for no other', async () => {
    open([hook({ secrets: [secret, plainSecret] })]).notify(event())
    const [message] = await receiver.received(1)
    await receiver.verify(message!, secret)
    await receiver.verify(message!, plainSecret)
    await expect(receiver.verify(message!, 'test-other-secret-0123456789')).rejects.toThrow(
      OpenAI.InvalidWebhookSignatureError,
    )
    const changed = { ...message!, text: message!.text.replace('"n":1', '"n":2') }
    await expect(receiver.verify(changed, secret)).rejects.toThrow(OpenAI.InvalidWebhookSignatureError)
  })
})

describe('one message', () => {
  it('is a signed JSON body with its type, time and data, the operator’s headers and ours', async () => {
    const sender = open([hook({ headers: { authorization: 'Bearer test-hook-token', 'x-env': 'staging' } })])
    sender.notify(event())
    const [message] = await receiver.received(1)
    expect(message!.method).toBe('POST')
    expect(message!.path).toBe('/hooks')
    expect(message!.body).toEqual({ type: 'alert.test', timestamp: '2026-01-31T08:00:00.000Z', data: { n: 1 } })
    expect(message!.headers).toMatchObject({
      'content-type': 'application/json',
      'user-agent': 'Turnout/test',
      authorization: 'Bearer test-hook-token',
      'x-env': 'staging',
      'webhook-id': expect.stringMatching(/^msg_[0-9a-f]{32}$/),
    })
    expect(Math.abs(Number(message!.headers['webhook-timestamp']) - Date.now() / 1000)).toBeLessThan(120)
    await receiver.verify(message!, secret)
    await ended(sender)
    expect(sender.shelf.list({ limit: 10 })).toMatchObject([
      { state: 'delivered', attempts: 1, status: 200, error: null, webhook: 'ops', type: 'alert.test' },
    ])
    expect(counts.get('ops delivered')).toBe(1)
  })

  it('is durable before `notify` returns', () => {
    const sender = open()
    sender.notify(event())
    const beside = openStore({ file: store.file, readonly: true })
    expect(beside.db.prepare('SELECT state FROM delivery').pluck().all()).toEqual(['waiting'])
    beside.close()
  })

  it('goes to all webhooks, or to those that are named, or only into the record', async () => {
    const other = await startReceiver()
    const sender = open([hook(), hook({ name: 'chat', url: other.url })])
    sender.notify(event(1))
    sender.notify(event(2), ['chat'])
    sender.notify(event(3), [])
    await other.received(2)
    await ended(sender)
    expect(receiver.messages.map(({ body }) => body.data.n)).toEqual([1])
    expect(other.messages.map(({ body }) => body.data.n).sort()).toEqual([1, 2])
    expect(sender.shelf.events(10)).toHaveLength(3)
    // One event has one id wherever it goes.
    expect(receiver.messages[0]!.headers['webhook-id']).toBe(
      other.messages.find(({ body }) => body.data.n === 1)!.headers['webhook-id'],
    )
    await other.close()
  })

  it('is shown with the last ones, newest first', () => {
    const sender = open([])
    const types = Array.from({ length: 40 }, (_, n) => `test.number-${n}`)
    for (const [n, type] of types.entries()) sender.notify({ type, at: n, data: {} })
    expect(sender.shelf.events(30).map(({ type }) => type)).toEqual(types.toReversed().slice(0, 30))
  })

  it('is no trouble when it cannot be JSON: that is said, and nothing is thrown', () => {
    const loop: Record<string, unknown> = {}
    loop.self = loop
    open().notify({ type: 'alert.test', at: 0, data: loop })
    expect(said).toMatchObject([{ level: 'error', text: expect.stringContaining('cannot be told') }])
  })
})

describe('a receiver that fails', () => {
  it('gets the same message again, with the same id and a fresh signature, until it takes it', async () => {
    receiver.answer(500, 503, 204)
    const sender = open()
    sender.notify(event())
    const messages = await receiver.received(3)
    await ended(sender)
    expect(new Set(messages.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    expect(new Set(messages.map(({ text }) => text)).size).toBe(1)
    for (const message of messages) await receiver.verify(message, secret)
    expect(sender.shelf.list({ limit: 1 })).toMatchObject([{ state: 'delivered', attempts: 3, status: 204 }])
    expect([...counts]).toEqual([
      ['ops failed', 2],
      ['ops delivered', 1],
    ])
    expect(said.filter(({ level }) => level === 'warn')).toHaveLength(2)
  })

  it('is given up after the last attempt: a dead letter with its reason, which can be sent again', async () => {
    receiver.answer(500)
    const sender = open()
    sender.notify(event())
    await receiver.received(3)
    await ended(sender)
    const [dead] = sender.shelf.list({ state: 'dead', limit: 10 })
    expect(dead).toMatchObject({ attempts: 3, status: 500, error: 'status_500', nextAt: null })
    expect(said.at(-1)).toMatchObject({ level: 'error', text: expect.stringContaining('given up') })
    receiver.answer(200)
    const ids = await sender.resend({ id: dead!.id })
    expect(ids).toEqual([dead!.id])
    await sender.tried(ids)
    expect(receiver.messages).toHaveLength(4)
    expect(receiver.messages[3]!.headers['webhook-id']).toBe(receiver.messages[0]!.headers['webhook-id'])
    expect(sender.shelf.find(dead!.id)).toMatchObject({ state: 'delivered', attempts: 1 })
    // What still waits is not revived.
    expect(await sender.resend({ webhook: 'ops' })).toEqual([])
  })

  it('is not followed to where it redirects', async () => {
    const elsewhere = await startReceiver()
    receiver.answer((res) => res.writeHead(307, { location: elsewhere.url }).end())
    const sender = open([hook({ attempts: 2 })])
    sender.notify(event())
    await receiver.received(2)
    await ended(sender)
    expect(sender.shelf.list({ limit: 1 })).toMatchObject([{ state: 'dead', status: 307, error: 'redirect' }])
    expect(elsewhere.messages).toHaveLength(0)
    await elsewhere.close()
  })

  it('gets no more once it says that it is gone (410)', async () => {
    receiver.answer(410)
    const sender = open([hook({ attempts: 9 })])
    sender.notify(event())
    await ended(sender)
    expect(receiver.messages).toHaveLength(1)
    expect(sender.shelf.list({ limit: 1 })).toMatchObject([{ state: 'dead', attempts: 1, error: 'status_410' }])
  })

  it('is waited for no longer than its time: silent, cut off, or not there', async () => {
    receiver.answer(
      () => {},
      (_res, req) => req.socket.destroy(),
    )
    // Reserved: a port that was free a moment ago may be another test's by now.
    const nobody = { url: 'http://127.0.0.1:1/hooks' }
    // Long enough for the second one to be cut off in time on a busy machine.
    const sender = open([hook({ attempts: 1, timeout: 3_000 }), hook({ name: 'gone', url: nobody.url, attempts: 1 })])
    sender.notify(event(1))
    await receiver.received(1)
    sender.notify(event(2))
    await ended(sender)
    const errors = sender.shelf.list({ limit: 10 }).map(({ webhook, error }) => `${webhook} ${error}`)
    expect(errors.sort()).toEqual(['gone ECONNREFUSED', 'gone ECONNREFUSED', 'ops UND_ERR_SOCKET', 'ops timeout'])
  })

  it('is taken at its word when it has answered 200 and never ends its body', async () => {
    receiver.answer((res) => res.writeHead(200).write('x'))
    const sender = open([hook({ timeout: 3_000 })])
    sender.notify(event())
    await ended(sender)
    expect(sender.shelf.list({ limit: 1 })).toMatchObject([{ state: 'delivered', attempts: 1 }])
  })

  it('says how long to wait, and is not asked before', async () => {
    let at = 1_000_000
    receiver.answer((res) => res.writeHead(429, { 'retry-after': '120' }).end(), 200)
    const sender = open([hook()], { now: () => at })
    sender.notify(event())
    await receiver.received(1)
    while (sender.shelf.list({ limit: 1 })[0]!.attempts === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    const { nextAt } = sender.shelf.list({ limit: 1 })[0]!
    expect(nextAt).toBeGreaterThanOrEqual(at + 120_000)
    expect(nextAt).toBeLessThanOrEqual(at + 132_000)
    at += 119_999
    sender.wake()
    expect(sender.shelf.due('ops', at, 1, new Set())).toEqual([])
    at += 12_001
    sender.wake()
    await receiver.received(2)
    await ended(sender)
  })

  it('holds up no other, and gets four at a time at most', async () => {
    const open4: (() => void)[] = []
    receiver.answer((res) => void open4.push(() => res.end()))
    const other = await startReceiver()
    const sender = open([hook(), hook({ name: 'chat', url: other.url })])
    for (let n = 0; n < 20; n++) sender.notify(event(n))
    await other.received(20)
    await receiver.received(4)
    expect(receiver.messages).toHaveLength(4)
    receiver.answer(200)
    for (const finish of open4.splice(0)) finish()
    await receiver.received(20)
    await ended(sender)
    expect(new Set(receiver.messages.map(({ body }) => body.data.n)).size).toBe(20)
    await other.close()
  })

  it('holds up no other webhook of the same server, however many messages are on their way', async () => {
    const warnings: Error[] = []
    const note = (warning: Error): void => void warnings.push(warning)
    process.on('warning', note)
    receiver.answer((res, req) => void (req.url!.endsWith('/slow') || res.end()))
    const slow = ['a', 'b', 'c'].map((name) => hook({ name, url: `${receiver.url}/slow` }))
    const sender = open([...slow, hook()])
    for (let n = 0; n < 5; n++) sender.notify(event(n))
    await receiver.received(3 * 4 + 5)
    expect(receiver.messages.filter(({ path }) => path === '/hooks')).toHaveLength(5)
    expect(warnings).toEqual([])
    process.off('warning', note)
  })
})

describe('what is kept', () => {
  it('is sent by the next start: a message whose sender was stopped, and one that was under way', async () => {
    receiver.answer(() => {})
    const first = open()
    first.notify(event(1))
    await receiver.received(1)
    await first.stop(0)
    expect(states(first)).toEqual(['waiting'])
    expect(first.shelf.list({ limit: 1 })[0]!.attempts).toBe(0)
    receiver.answer(200)
    const second = open()
    await receiver.received(2)
    await ended(second)
    expect(receiver.messages[1]!.headers['webhook-id']).toBe(receiver.messages[0]!.headers['webhook-id'])
  })

  it('follows the configuration: another address and other secrets at the next attempt, dead when its webhook is gone', async () => {
    const other = await startReceiver()
    let list = [hook({ retryDelay: 20 })]
    receiver.answer(500)
    const sender = open(() => list)
    sender.notify(event(1))
    await receiver.received(1)
    list = [hook({ url: other.url, secrets: [plainSecret] })]
    const [moved] = await other.received(1)
    await other.verify(moved!, plainSecret)
    await ended(sender)
    list = []
    sender.notify(event(2), ['ops'])
    await ended(sender)
    expect(sender.shelf.list({ state: 'dead', limit: 10 })).toMatchObject([{ error: 'no_such_webhook' }])
    await other.close()
  })

  it('is sent when its webhook is taken away and comes back while the database is locked', async () => {
    let list = [hook()]
    const sender = open(() => list)
    const beside = new (store.db.constructor as new (file: string) => typeof store.db)(store.file)
    let hold: (() => void) | undefined
    receiver.answer((res) => {
      hold = () => res.end()
    })
    list = []
    sender.notify(event(1), ['ops'])
    beside.exec('BEGIN IMMEDIATE')
    sender.wake()
    list = [hook()]
    sender.wake()
    await receiver.received(1)
    beside.exec('COMMIT')
    beside.close()
    while (!said.some(({ text }) => text.includes('given up'))) await new Promise((resolve) => setTimeout(resolve, 1))
    hold!()
    await ended(sender)
    receiver.answer(200)
    sender.notify(event(2))
    await receiver.received(2)
    await ended(sender)
    expect(states(sender)).toEqual(['delivered', 'delivered'])
  })

  it('is bounded: what finds a full queue is a dead letter at once, and old ones go', async () => {
    receiver.answer(() => {})
    const sender = open([hook()], { bounds: { waiting: 5, kept: 10 } })
    for (let n = 0; n < 8; n++) sender.notify(event(n))
    expect(states(sender).filter((state) => state === 'waiting')).toHaveLength(5)
    expect(sender.shelf.list({ state: 'dead', limit: 10 }).map(({ error }) => error)).toEqual(
      Array(3).fill('queue_full'),
    )
    for (let n = 0; n < 200; n++) sender.notify(event(n))
    const dead = store.db.prepare("SELECT count(*) FROM delivery WHERE state = 'dead'").pluck().get() as number
    expect(dead).toBeLessThan(10 + 101)
    expect(store.db.prepare('SELECT count(*) FROM event').pluck().get()).toBeLessThan(10 + 101 + 5)
    expect(counts.get('ops dead')).toBe(203)
  })

  it('is looked for after each message, and not by reading all that wait', () => {
    const shelf = openDeliveries(store)
    const best = (): number => {
      const times = Array.from({ length: 50 }, () => {
        const begun = performance.now()
        shelf.names()
        return performance.now() - begun
      })
      return Math.min(...times)
    }
    shelf.add({ id: 'msg_1', at: 0, type: 'alert.test', body: '{}' }, ['ops', 'chat'], 0)
    const few = best()
    store.db.exec(
      `INSERT INTO delivery (event, webhook, state, next_at)
       SELECT 1, 'ops', 'waiting', value FROM (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 20000) SELECT value FROM n)`,
    )
    expect(shelf.names()).toEqual(['chat', 'ops'])
    expect(best()).toBeLessThan(few * 20)
  })

  it('is not lost while the database is locked by another program', async () => {
    const sender = open()
    const beside = new (store.db.constructor as new (file: string) => typeof store.db)(store.file)
    beside.exec('BEGIN IMMEDIATE')
    sender.notify(event())
    expect(store.db.prepare('SELECT count(*) FROM event').pluck().get()).toBe(0)
    beside.exec('COMMIT')
    beside.close()
    const [message] = await receiver.received(1)
    await receiver.verify(message!, secret)
    await ended(sender)
  })

  it('shows no secret: not in the record, not in the log', async () => {
    const hidden = `http://127.0.0.1:${receiver.port}/T0-test-path-secret`
    receiver.answer(500)
    const sender = open([
      hook({ url: hidden, headers: { authorization: 'Bearer test-hook-token' } }),
      hook({ name: 'bad', url: 'http://127.0.0.1:1/T0-test-path-secret' }),
    ])
    sender.notify(event())
    await ended(sender)
    const all = JSON.stringify([
      said.map(({ facts, ...rest }) => ({
        ...rest,
        facts: { ...(facts as object), error: String((facts as { error?: unknown })?.error) },
      })),
      sender.shelf.list({ limit: 10 }),
      sender.shelf.events(10),
      store.db.prepare('SELECT * FROM delivery').all(),
    ])
    for (const word of ['T0-test-path-secret', 'test-hook-token', secret.slice(6)]) expect(all).not.toContain(word)
  })
})

describe('the wait between attempts', () => {
  it('is three times as long each time, at most an hour, spread by a tenth, and never shorter than asked for', () => {
    const settings = { retryDelay: 5_000 }
    expect([1, 2, 3, 4].map((n) => backoffOf(settings, n, 0))).toEqual([5_000, 15_000, 45_000, 135_000])
    expect(backoffOf(settings, 20, 0)).toBe(3_600_000)
    expect(backoffOf(settings, 1, 0.999)).toBeLessThanOrEqual(5_500)
    expect(backoffOf(settings, 1, 0, 30_000)).toBe(30_000)
    expect(backoffOf(settings, 1, 0, 1e12)).toBe(3_600_000)
  })
})

it('a connection that is never made is given up after the timeout, and at a stop', async () => {
  // Takes connections and speaks no TLS.
  const mute = createServer().listen(0, '127.0.0.1')
  await once(mute, 'listening')
  const wire = openPost('Turnout')
  const stop = new AbortController()
  const post = (timeout: number) =>
    wire.post(
      hook({ url: `https://127.0.0.1:${(mute.address() as AddressInfo).port}`, timeout }),
      { id: 'msg_1', body: '{}' },
      Date.now(),
      stop.signal,
    )
  expect(await post(100)).toMatchObject({ ok: false, error: 'timeout' })
  const dialled = once(mute, 'connection')
  const posted = post(60_000)
  await dialled
  stop.abort()
  expect(await posted).toMatchObject({ ok: false, error: 'stopped' })
  await wire.close()
  mute.close()
})

it('a message that was posted leaves nothing behind in memory', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const wire = openPost('Turnout')
  const { signal } = new AbortController()
  const post = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n += 50)
      await Promise.all(
        Array.from({ length: 50 }, () => wire.post(hook(), { id: `msg_${n}`, body: '{}' }, Date.now(), signal)),
      )
    receiver.messages.length = 0
  }
  const used = (): number => {
    collect()
    return process.memoryUsage().heapUsed
  }
  await post(2_000)
  const before = used()
  await post(6_000)
  expect((used() - before) / 3_000).toBeLessThan(350)
  await wire.close()
})
