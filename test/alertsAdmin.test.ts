// GET and POST /admin/alerts and `turnout alerts`: who was told of what, tries, and messages sent again.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadDriver } from '../src/store/driver.ts'
import { type ControlGateway, document, keys, startControl } from './support/control.ts'
import { endTurnout, runTurnout, said, startTurnout } from './support/turnoutProcess.ts'
import { startReceiver, type WebhookReceiver } from './support/webhookReceiver.ts'

const secret = 'test-webhook-secret-0123456789'

let receiver: WebhookReceiver
let gateway: ControlGateway

const webhooks = (): string => `
webhooks:
  ops: { url: "${receiver.url}/T0-planted-path", secret: ${secret}, headers: { x-hook-token: planted-hook-token }, attempts: 1 }
  spare: { url: "${receiver.url}", secret: ${secret}, attempts: 2, retryDelay: 1h }
`

beforeAll(async () => {
  receiver = await startReceiver()
  gateway = await startControl({ text: document(webhooks()) })
})
afterAll(async () => {
  await gateway.close()
  await receiver.close()
})

describe('POST /admin/alerts', () => {
  it('sends a signed test message and answers when it has arrived', async () => {
    const { status, body } = await gateway.ask('POST', '/alerts', { action: 'test', webhooks: ['ops'] }, 'responder')
    expect(status).toBe(200)
    expect(body).toMatchObject({
      object: 'alert_test',
      event: expect.stringMatching(/^msg_/),
      deliveries: [{ webhook: 'ops', state: 'delivered', status: 200, attempts: 1 }],
    })
    const message = receiver.messages.at(-1)!
    await receiver.verify(message, secret)
    expect(message.headers['webhook-id']).toBe(body.event)
    expect(message.headers['x-hook-token']).toBe('planted-hook-token')
    expect(message.body).toMatchObject({ type: 'alert.test', data: { severity: 'info' } })
  })

  it('waits for a database that another writes to, and is a 503 when that takes too long', async () => {
    const other = new (loadDriver())(`${gateway.folder}/data/turnout.db`)
    try {
      other.exec('BEGIN IMMEDIATE')
      const { status, body } = await gateway.ask('POST', '/alerts', { action: 'test', webhooks: ['ops'] })
      expect([status, body.error.code]).toEqual([503, 'ledger_unavailable'])
      other.exec('COMMIT')
      expect((await gateway.ask('POST', '/alerts', { action: 'test', webhooks: ['ops'] })).status).toBe(200)
    } finally {
      other.close()
    }
  })

  it('tells what each webhook said, also when one fails: dead at once, or waiting for another try', async () => {
    receiver.answer(500)
    const { body } = await gateway.ask('POST', '/alerts', { action: 'test' })
    expect(body.deliveries).toMatchObject([
      { webhook: 'ops', state: 'dead', status: 500, error: 'status_500', next_at: null },
      { webhook: 'spare', state: 'waiting', status: 500, error: 'status_500', next_at: expect.stringMatching(/Z$/) },
    ])
    receiver.answer(200)
    const { length } = receiver.messages
    const again = await gateway.ask('POST', '/alerts', { action: 'resend', delivery: body.deliveries[0].id })
    expect(again.body).toEqual({ object: 'alert_resend', deliveries: [body.deliveries[0].id] })
    expect((await receiver.received(length + 1)).at(-1)!.headers['webhook-id']).toBe(body.event)
    const waiting = await gateway.ask('POST', '/alerts', { action: 'resend', delivery: body.deliveries[1].id })
    expect(waiting.body.error).toMatchObject({ code: 'invalid_value', param: 'delivery' })
  })

  it.each([
    [{ action: 'test', webhooks: ['nobody'] }, 404, 'webhooks'],
    [{ action: 'test', webhooks: [] }, 400, 'webhooks'],
    [{ action: 'resend', delivery: 'dlv_99999' }, 404, 'delivery'],
    [{ action: 'resend', delivery: "1' OR 1=1" }, 404, 'delivery'],
    [{ action: 'resend', delivery: 'dlv_1', webhook: 'ops' }, 400, 'delivery'],
    [{ action: 'resend', webhook: 'nobody' }, 404, 'webhook'],
    [{ action: 'fire' }, 400, 'action'],
    [{}, 400, 'action'],
  ])('refuses %j', async (body, status, param) => {
    const reply = await gateway.ask('POST', '/alerts', body)
    expect([reply.status, reply.body.error.param]).toEqual([status, param])
  })

  it('needs a responder, and leaves an audit row', async () => {
    expect((await gateway.ask('POST', '/alerts', { action: 'test' }, 'viewer')).status).toBe(403)
    await gateway.ask('POST', '/alerts', { action: 'test', webhooks: ['ops'] }, 'responder')
    const { body } = await gateway.ask('GET', '/audit?limit=1')
    expect(body.data[0]).toMatchObject({
      actor: 'responder',
      verb: 'alerts',
      subject: 'test',
      after: { webhooks: ['ops'], event: expect.stringMatching(/^msg_/) },
    })
  })
})

describe('GET /admin/alerts', () => {
  it('shows webhooks, events and deliveries, and filters', async () => {
    const { body } = await gateway.ask('GET', '/alerts?limit=5', undefined, 'viewer')
    expect(body.object).toBe('alerts')
    expect(body.webhooks.map(({ name }: { name: string }) => name)).toEqual(['ops', 'spare'])
    expect(body.events[0]).toMatchObject({ type: 'alert.test', data: { severity: 'info' } })
    expect(body.deliveries[0]).toMatchObject({ id: expect.stringMatching(/^dlv_/), webhook: 'ops' })
    const waiting = await gateway.ask('GET', '/alerts?state=waiting')
    expect(waiting.body.deliveries).toMatchObject([{ webhook: 'spare', state: 'waiting' }])
    expect((await gateway.ask('GET', '/alerts?state=lost')).body.error.param).toBe('state')
  })

  it('C50 shows no address, no secret and no header of a webhook, nor does the page of metrics', async () => {
    const { text } = await gateway.ask('GET', '/alerts?limit=1000')
    const metrics = await (await fetch(`${gateway.url}/metrics`)).text()
    for (const word of ['T0-planted-path', 'planted-hook-token', secret]) {
      expect(text).not.toContain(word)
      expect(metrics).not.toContain(word)
    }
    expect(metrics).toMatch(/^turnout_webhook_deliveries_total\{outcome="delivered",webhook="ops"\} [1-9]/m)
    expect(metrics).toMatch(/^turnout_webhook_deliveries_total\{outcome="dead",webhook="ops"\} 1$/m)
    expect(metrics).toMatch(/^turnout_webhook_messages\{webhook="spare",state="waiting"\} 1$/m)
  })
})

describe('turnout alerts', () => {
  const turnout = (...args: string[]) =>
    runTurnout(['alerts', ...args, '--url', gateway.url, '--key', keys.responder], { cwd: gateway.folder })

  it('tests, shows deliveries, sends again and lists', { timeout: 300_000 }, async () => {
    receiver.answer(503)
    const failed = await turnout('test', 'ops')
    expect([failed.code, failed.out]).toEqual([1, 'ops: given up (status_503)\n'])
    receiver.answer(200)
    const dead = await turnout('deliveries', '--state', 'dead')
    expect(dead.out).toMatch(/^delivery +created +event +webhook/)
    expect((await turnout('deliveries', '--state', 'waiting', '--webhook', 'ops')).out).toBe('no messages\n')
    const id = /dlv_\d+/.exec(dead.out)![0]
    expect((await turnout('resend', id)).out).toBe('1 message is sent again\n')
    const listed = await turnout()
    expect(listed.out).toMatch(/^No alert is configured.\n\nwebhook +waiting +delivered +dead\nops/)
    expect(listed.out).toContain('This is a test. Nothing has happened.')
  })
})

describe('C53 kill -9', () => {
  it('loses no message: what was stored and not delivered is delivered by the next process, once', {
    timeout: 300_000,
  }, async () => {
    const place = await startControl({
      text: document(`
webhooks:
  ops: { url: "${receiver.url}", secret: ${secret}, timeout: 1m }
`),
    })
    await place.running.stop()
    const start = () =>
      startTurnout(['serve', '--config', place.file], {
        cwd: place.folder,
        env: { SIMULATOR_URL: place.simulator.url, TURNOUT_DATA_DIR: `${place.folder}/data` },
      })
    try {
      const { length } = receiver.messages
      // Takes the message and never answers: the process dies while it waits.
      receiver.answer(() => {})
      const first = start()
      const url = /listens on (\S+) with/.exec(await said(first, 'stderr', /listens on \S+ with/))![1]
      const asked = fetch(`${url}/admin/alerts`, {
        method: 'POST',
        headers: { authorization: `Bearer ${keys.admin}`, 'content-type': 'application/json' },
        body: '{"action":"test"}',
      }).catch(() => undefined)
      const [lost] = (await receiver.received(length + 1)).slice(-1)
      await endTurnout(first, 'SIGKILL')
      await asked
      receiver.answer(200)
      const second = start()
      await said(second, 'stderr', /listens on \S+ with/)
      const again = (await receiver.received(length + 2)).at(-1)!
      expect(again.headers['webhook-id']).toBe(lost!.headers['webhook-id'])
      expect(again.text).toBe(lost!.text)
      await receiver.verify(again, secret)
      expect(await endTurnout(second)).toBe(0)
      await place.restart(true)
      const { body } = await place.ask('GET', '/alerts')
      expect(body.deliveries).toMatchObject([{ state: 'delivered', attempts: 1 }])
      expect(receiver.messages).toHaveLength(length + 2)
    } finally {
      await place.close()
    }
  })
})
