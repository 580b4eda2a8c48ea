// Erasing a user takes them out of what was told of budgets, too: out of stored messages, out of those that wait, out of what alerts remember.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ControlGateway, document, keys, startControl } from './support/control.ts'
import { post } from './support/exchange.ts'
import { startReceiver, type WebhookReceiver } from './support/webhookReceiver.ts'

let receiver: WebhookReceiver
let gateway: ControlGateway

beforeAll(async () => {
  receiver = await startReceiver()
  // It takes nothing at first: messages wait.
  receiver.answer(500)
  gateway = await startControl({
    text: document(`
prices: { sim-*: { input: 0, output: 1000000 } }
webhooks:
  ops: { url: "${receiver.url}", secret: test-webhook-secret-0123456789, attempts: 2, retryDelay: 1h }
alerts:
  money: { kind: budget, at: [50], cooldown: 1ms }
budgets:
  each: { per: [key, user], usd: 0.5, window: lifetime, hard: false }
`),
  })
})
afterAll(async () => {
  await gateway.close()
  await receiver.close()
})

const chat = async (user: string): Promise<void> => {
  const body = { model: 'chat', user, messages: [{ role: 'user', content: 'Say hello' }] }
  const { status } = await post(`${gateway.url}/v1/chat/completions`, body, { authorization: `Bearer ${keys.app}` })
  expect(status).toBe(200)
}
const stored = () => gateway.ask('GET', '/alerts')

it('takes the hash out of events, waiting messages, alerts that fire and their memory, and leaves others alone', async () => {
  await chat('alice')
  await chat('bob')
  await receiver.received(2)
  const before = await stored()
  const hashes = receiver.messages.map(({ body }) => String(body.data.entity).split('/')[1]!)
  expect(new Set(hashes).size).toBe(2)
  const [alice, bob] = hashes as [string, string]
  expect(alice).toMatch(/^u_[\w-]{22}$/)
  expect(before.text).toContain(alice)
  expect(before.body.data[0].firing).toHaveLength(2)

  const erased = await gateway.ask('POST', '/users/erase', { user: 'alice' })
  expect(erased.body).toMatchObject({ object: 'erasure', user: alice, requests: 1 })
  const after = await stored()
  expect(after.text).not.toContain(alice)
  expect(after.text).toContain(bob)
  expect(after.body.data[0].firing).toHaveLength(1)
  const { running, folder } = gateway
  expect(running.turnout.snapshot.alerts).toHaveLength(1)

  // The message that waited is sent without it, and genuine.
  receiver.answer(200)
  const waiting = (await gateway.ask('GET', '/alerts')).body.deliveries as { id: string; state: string }[]
  for (const { id, state } of waiting)
    if (state === 'dead') await gateway.ask('POST', '/alerts', { action: 'resend', delivery: id })
  await gateway.restart()
  expect((await stored()).text).not.toContain(alice)
  expect((await stored()).body.data[0].firing).toHaveLength(1)
  await gateway.running.stop()
  // Nor in the bytes of the database, once its log is in it.
  expect(readFileSync(join(folder, 'data', 'turnout.db')).includes(Buffer.from(`web/${alice}`))).toBe(false)
  await gateway.restart(true)
})
