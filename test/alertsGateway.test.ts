// Alerts in a whole gateway: real requests, a real ledger, a real receiver; restarts, kills and swaps in between.
import { writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startSimulator } from '../src/simulator/server.ts'
import { loadDriver } from '../src/store/driver.ts'
import { type ControlGateway, document, keys, startControl } from './support/control.ts'
import { post } from './support/exchange.ts'
import { startGateway, upstreamAt } from './support/gateway.ts'
import { endTurnout, said, startTurnout } from './support/turnoutProcess.ts'
import { startReceiver, type WebhookReceiver } from './support/webhookReceiver.ts'

const secret = 'test-webhook-secret-0123456789'

let receiver: WebhookReceiver
let gateway: ControlGateway | undefined

beforeEach(async () => {
  receiver = await startReceiver()
})
afterEach(async () => {
  await gateway?.close()
  gateway = undefined
  await receiver.close()
})

/** A dollar for each token of an answer. */
const setUp = (alerts: string): string =>
  document(`
prices: { sim-*: { input: 0, output: 1000000 } }
webhooks:
  ops: { url: "${receiver.url}", secret: ${secret}, retryDelay: 20 }
alerts:
${alerts}
`)

const start = async (alerts: string): Promise<ControlGateway> => {
  gateway = await startControl({ text: setUp(alerts) })
  return gateway
}

/** Dollars that all requests so far have cost, as the ledger has it. */
async function spent({ ask }: ControlGateway): Promise<number> {
  const { body } = await ask('GET', '/spend')
  return Number(body.total.cost_usd)
}

/** Until the rules know what was spent before. */
async function ready({ ask }: ControlGateway): Promise<void> {
  for (;;) {
    const { body } = await ask('GET', '/alerts')
    if (body.data.every(({ state }: { state: string }) => state !== 'reading')) return
    await pause(5)
  }
}

describe('a gateway with alerts', () => {
  it('tells webhook, log, metric and admin API what a request has set off, once', async () => {
    const place = await start('  first: { kind: spend, per: key, usd: 0.5, severity: critical }')
    await ready(place)
    await place.chat('chat')
    await place.chat('chat')
    const [message] = await receiver.received(1)
    await receiver.verify(message!, secret)
    expect(message!.body).toMatchObject({
      type: 'alert.firing',
      data: { alert: 'first', severity: 'critical', state: 'firing', scope: 'key', entity: 'app', threshold: '0.5' },
    })
    const { body } = await place.ask('GET', '/alerts', undefined, 'viewer')
    expect(body.data).toMatchObject([
      { name: 'first', kind: 'spend', state: 'firing', webhooks: ['ops'], watched: 1, firing: [{ entity: 'app' }] },
    ])
    expect(Number(body.data[0].firing[0].value)).toBe(await spent(place))
    expect(body.events).toMatchObject([{ type: 'alert.firing', data: { alert: 'first' } }])
    const metrics = await (await fetch(`${place.url}/metrics`)).text()
    expect(metrics).toContain('turnout_alerts_firing{alert="first",severity="critical"} 1\n')
    expect(metrics).toContain('turnout_alert_messages_total{state="firing",alert="first"} 1\n')
    expect(metrics).toContain('turnout_alert_messages_total{state="resolved",alert="first"} 0\n')
    expect(receiver.messages).toHaveLength(1)
  })

  it('counts each call for its own target, and a request for the last of them', async () => {
    const place = await start(`
  by-target: { kind: spend, per: target, usd: 0.5, cooldown: 1ms }
  share: { kind: share, target: small, of: requests, percent: 100, minRequests: 1 }`)
    await ready(place)
    // The first target fails and costs nothing; the second answers.
    await place.ask('POST', '/targets/sim/sim-text/disable', {})
    await place.chat('chat')
    const messages = await receiver.received(2)
    expect(messages.map(({ body }) => [body.data.alert, body.data.entity]).sort()).toEqual([
      ['by-target', 'small'],
      ['share', null],
    ])
  })

  it('knows after a restart what was spent before, and repeats nothing', async () => {
    const place = await start(
      '  often: { kind: average, usd: 0.5, minRequests: 3 }\n  first: { kind: spend, usd: 0.5 }',
    )
    await ready(place)
    await place.chat('chat')
    await place.chat('chat')
    await receiver.received(1)
    await place.restart()
    await ready(place)
    expect(receiver.messages.map(({ body }) => body.data.alert)).toEqual(['first'])
    await place.chat('chat')
    const messages = await receiver.received(2)
    expect(messages[1]!.body.data).toMatchObject({ alert: 'often', kind: 'average' })
    expect(Number(messages[1]!.body.data.value) * 3).toBeCloseTo(await spent(place), 6)
  })

  it('gives a rule that is new the past, and takes back what a rule said that is gone', async () => {
    const place = await start('  first: { kind: spend, usd: 1000000 }')
    await ready(place)
    await place.chat('chat')
    writeFileSync(place.file, setUp('  second: { kind: spend, per: route, usd: 0.5 }'))
    await place.running.reload()
    // Without another request.
    const [firing] = await receiver.received(1)
    expect(firing!.body.data).toMatchObject({ alert: 'second', state: 'firing', entity: 'chat' })
    writeFileSync(place.file, setUp('  third: { kind: spend, usd: 1000000 }'))
    await place.running.reload()
    const [, resolved] = await receiver.received(2)
    expect(resolved!.body).toMatchObject({
      type: 'alert.resolved',
      data: { alert: 'second', summary: 'second: the rule is gone.' },
    })
  })

  it('goes on serving while the receiver is dead', async () => {
    const place = await start('  first: { kind: spend, per: key, usd: 0.5 }')
    await ready(place)
    // Not closed: its port might be another program's before it is open again.
    receiver.answer((_res, req) => req.socket.destroy())
    const replies = await Promise.all(Array.from({ length: 20 }, () => place.chat('chat')))
    expect(replies.map(({ status }) => status)).toEqual(Array(20).fill(200))
    const { length } = await receiver.received(1)
    receiver.answer(200)
    const message = (await receiver.received(length + 1)).at(-1)
    await receiver.verify(message!, secret)
  })
})

describe('a rule on budgets', () => {
  it('tells 50, 80 and 100 percent, repeats nothing after a restart, and takes it back when the limit is raised', {
    timeout: 300_000,
  }, async () => {
    const place = await start('  none: { kind: spend, usd: 1000000 }')
    await place.chat('chat')
    const one = await spent(place)
    const write = async (usd: number, more = ''): Promise<void> => {
      writeFileSync(
        place.file,
        `${setUp(`  money: { kind: budget, budgets: [all], cooldown: 1ms }\n${more}`)}\nbudgets: { all: { usd: ${usd}, window: month, hard: false } }\n`,
      )
      await place.running.reload()
    }
    // 29, 57, 86 and 114 percent.
    await write(one * 3.5)
    await place.chat('chat')
    await receiver.received(1)
    await place.chat('chat')
    await receiver.received(2)
    await place.restart()
    await ready(place)
    await place.chat('chat')
    const messages = await receiver.received(3)
    expect(messages.map(({ body }) => [body.type, body.data.entity, body.data.percent])).toEqual([
      ['alert.firing', 'all', 50],
      ['alert.firing', 'all', 80],
      ['alert.firing', 'all', 100],
    ])
    expect(messages[2]!.body.data).toMatchObject({
      scope: 'budget',
      unit: 'usd',
      summary: expect.stringMatching(/^The budget all has reached 100 %: \$[\d.]+ of \$[\d.]+ spent\.$/),
      reset: expect.stringMatching(/^\d{4}-\d\d-01T00:00:00\.000Z$/),
    })
    expect(Number(messages[2]!.body.data.value)).toBe(await spent(place))
    // A rule that is new learns what was passed before it was there.
    await write(one * 3.5, '  late: { kind: budget, at: [80] }')
    const late = (await receiver.received(4))[3]!
    expect(late.body.data).toMatchObject({ alert: 'late', state: 'firing', percent: 80 })
    await write(one * 100, '  late: { kind: budget, at: [80], channels: [] }')
    const over = (await receiver.received(5))[4]!
    expect(over.body).toMatchObject({ type: 'alert.resolved', data: { alert: 'money', entity: 'all' } })
  })

  it('takes back what the last process told where the limit was raised since, and tells of the new one', {
    timeout: 300_000,
  }, async () => {
    const place = await start('  none: { kind: spend, usd: 1000000 }')
    await place.chat('chat')
    const one = await spent(place)
    const write = (usd: number): void =>
      writeFileSync(
        place.file,
        `${setUp('  money: { kind: budget, cooldown: 1ms }\n')}\nbudgets: { all: { usd: ${usd}, window: month, hard: false } }\n`,
      )
    write(one * 1.5)
    await place.running.reload()
    await place.chat('chat')
    const told = async (count: number): Promise<[string, number]> => {
      const { type, data } = (await receiver.received(count))[count - 1]!.body
      return [type, data.percent]
    }
    expect([await told(1), await told(2)]).toEqual([
      ['alert.firing', 50],
      ['alert.firing', 100],
    ])
    await place.running.stop()
    write(one * 3.5)
    await place.restart(true)
    expect((await told(3))[0]).toBe('alert.resolved')
    // 86 percent.
    await place.chat('chat')
    expect(await told(4)).toEqual(['alert.firing', 80])
  })
})

describe('a transition of a rollout', () => {
  it('names the models of both sides, also where the stable one is what the route asks anyway', async () => {
    const { ask } = await start('  first: { kind: spend, usd: 100 }')
    const move = async (percent: number, target: string): Promise<void> => {
      const moved = await ask('PUT', '/routes/chat/canary', { percent, target, reason: 'test' })
      expect(moved.status).toBe(200)
    }
    await move(5, 'other/sim-text')
    await move(0, 'other/sim-text')
    const told = (await receiver.received(3)).map(({ body: { data } }) => [data.stable, data.canary])
    const sides = [['sim/sim-text', 'small'], ['other/sim-text']]
    expect(told).toEqual([sides, sides, sides])
  })

  it('C53 is stored together with its message, or neither is: no kill between the two loses one', async () => {
    const { ask, folder } = await start('  first: { kind: spend, usd: 100 }')
    const move = (body: object) => ask('PUT', '/routes/single/canary', { percent: 5, reason: 'test', ...body })
    expect((await move({ target: 'sim/sim-fast' })).status).toBe(200)
    const other = new (loadDriver())(`${folder}/data/turnout.db`)
    other.exec("CREATE TRIGGER none BEFORE INSERT ON delivery BEGIN SELECT raise(ABORT, 'no'); END")
    expect((await move({ percent: 10 })).body).toMatchObject({ error: { code: 'ledger_unavailable' } })
    expect((await ask('GET', '/routes/single/canary')).body).toMatchObject({ percent: 5, revision: 2 })
    other.exec('DROP TRIGGER none')
    other.close()
    expect((await move({ percent: 20 })).body).toMatchObject({ percent: 20, revision: 3 })
    const told = (await receiver.received(3)).map(({ body: { type, data } }) => [type, data.percent])
    expect(told.sort()).toEqual([
      ['rollout.created', 0],
      ['rollout.started', 5],
      ['rollout.weight', 20],
    ])
  })
})

describe('C53 kill -9', () => {
  it('loses no alert and no money: the next process tells what the last one could not, and counts on', {
    timeout: 300_000,
  }, async () => {
    gateway = await startControl({
      text: setUp('  first: { kind: spend, per: key, usd: 0.5 }\n  three: { kind: average, usd: 0.5, minRequests: 3 }'),
    })
    const place = gateway
    await place.running.stop()
    const env = { SIMULATOR_URL: place.simulator.url, TURNOUT_DATA_DIR: `${place.folder}/data` }
    const child = startTurnout(['serve', '--config', place.file], { cwd: place.folder, env })
    const url = /listens on (\S+) with/.exec(await said(child, 'stderr', /listens on \S+ with/))![1]!
    receiver.answer((_res, req) => req.socket.destroy())
    const chat = { model: 'chat', messages: [{ role: 'user', content: 'Say hello' }] }
    for (let n = 0; n < 2; n++)
      expect((await post(`${url}/v1/chat/completions`, chat, { authorization: `Bearer ${keys.app}` })).status).toBe(200)
    const [lost] = await receiver.received(1)
    await endTurnout(child, 'SIGKILL')
    const { length } = receiver.messages
    receiver.answer(200)
    await place.restart(true)
    const again = (await receiver.received(length + 1)).at(-1)!
    expect([again.headers['webhook-id'], again.text]).toEqual([lost!.headers['webhook-id'], lost!.text])
    await ready(place)
    await place.chat('chat')
    const three = (await receiver.received(length + 2)).at(-1)!
    expect(three.body.data).toMatchObject({ alert: 'three', state: 'firing' })
    expect(receiver.messages.filter(({ body }) => body.data.alert === 'first').map(({ text }) => text)).toEqual(
      Array(length + 1).fill(lost!.text),
    )
  })
})

it('writes one line into the log for each message, as loud as its severity, and none for an empty list of webhooks', async () => {
  const upstream = await startSimulator()
  const place = await startGateway({
    providers: { sim: upstreamAt(upstream.url) },
    routes: { chat: 'sim/sim-text' },
    prices: { 'sim-*': { input: 0, output: 1_000_000 } },
    alerts: {
      loud: { kind: 'spend', usd: 0.5, severity: 'critical', channels: [] },
      plain: { kind: 'spend', usd: 0.5, channels: [] },
    },
  })
  try {
    for (let n = 0; n < 3; n++)
      await post(`${place.url}/v1/chat/completions`, {
        model: 'chat',
        messages: [{ role: 'user', content: 'Say hello' }],
      })
    const lines = (place.notes as { text: string; facts?: { event?: string } }[]).filter(
      ({ facts }) => facts?.event === 'alert_firing',
    )
    expect(lines).toMatchObject(
      [
        { text: /^alert loud firing: All requests cost \$/, facts: { alert: 'loud', severity: 'critical' } },
        { text: /^alert plain firing: All requests cost \$/, facts: { alert: 'plain', severity: 'warning' } },
      ].map(({ text, facts }) => ({ text: expect.stringMatching(text), facts })),
    )
  } finally {
    await place.close()
    await upstream.close()
  }
})

it('without rules nothing is watched', async () => {
  const place = await startControl()
  gateway = place
  await place.chat('chat')
  const { body } = await place.ask('GET', '/alerts')
  expect(body).toEqual({ object: 'alerts', data: [], webhooks: [], events: [], deliveries: [] })
})
