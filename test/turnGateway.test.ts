// What may happen between the steps of a turn: a client that leaves, a gateway that is closed.
import { setTimeout as pause } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { createTurn, type Turn } from '../src/state/turn.ts'
import { ask, CHAT, reply } from './support/chatBodies.ts'
import { get, send } from './support/exchange.ts'
import { type FakeUpstream, type Handler, sendJson, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'

/** Never answers, unless told how. */
const open = async (
  turn: Turn,
  server = {},
  answer: Handler = () => {},
): Promise<{ gateway: TestGateway; upstream: FakeUpstream }> => {
  const upstream = await startFakeUpstream(answer)
  const config = { providers: { up: upstreamAt(upstream.url) }, routes: { chat: 'up/gpt-test' }, server }
  const gateway = await startGateway(config, { turn })
  onTestFinished(async () => {
    await gateway.close()
    await upstream.close()
  })
  return { gateway, upstream }
}

const makeGate = (): { opened: Promise<void>; open: () => void } => {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}

/** Settles later than it is asked to, and than all else that is closed takes. */
const slowToSettle = (turn: Turn): Turn => ({
  ...turn,
  async at(step, work) {
    if (step === 'settling') await pause(300)
    turn.at(step, work)
  },
})

test('who leaves before its request is looked at costs nothing', async () => {
  const turn = createTurn()
  const gate = makeGate()
  const asked = makeGate()
  const { gateway, upstream } = await open({
    ...turn,
    async reached(step) {
      if (step === 'opening') {
        asked.open()
        await gate.opened
      }
      await turn.reached(step)
    },
  })
  const sent = send('POST', gateway.url + CHAT, ask('chat'))
  await asked.opened
  sent.request.destroy()
  await sent.done
  // Their connections were opened after that one was closed, and the second after the first was served.
  for (let times = 0; times < 2; times++) expect((await get(`${gateway.url}/health`)).status).toBe(200)
  gate.open()
  const [line] = await gateway.settled(1)
  expect(line).toMatchObject({ outcome: 'client_disconnected', status: 499, attempts: 0 })
  expect(upstream.requests).toHaveLength(0)
})

test('a gateway is not closed before all that it cut off is settled', async () => {
  const { gateway, upstream } = await open(slowToSettle(createTurn()), { drainTimeout: '50ms' })
  const sent = send('POST', gateway.url + CHAT, ask('chat'))
  sent.response.catch(() => {})
  await expect.poll(() => upstream.requests.length).toBe(1)
  expect(await gateway.turnout.close()).toBe(1)
  expect(gateway.metrics.inFlight).toBe(0)
  expect(gateway.lines).toMatchObject([{ outcome: 'refused', refusal: 'shutting_down', status: 503, attempts: 1 }])
  await sent.done
})

test('a scrape counts what was over before it came, although it is settled later in the turn', async () => {
  const turn = createTurn()
  const putOff: (() => void)[] = []
  const { gateway } = await open({
    at: (step, work) => (step === 'settling' ? void putOff.push(work) : turn.at(step, work)),
    async reached(step) {
      await turn.reached(step)
      if (step === 'commit') for (const work of putOff.splice(0)) work()
    },
  })
  const sent = send('POST', gateway.url + CHAT, ask('chat'))
  await expect.poll(() => gateway.metrics.inFlight).toBe(1)
  sent.request.destroy()
  await expect.poll(() => putOff.length).toBe(1)
  const { text } = await get(`${gateway.url}/metrics`)
  expect(text).toMatch(/^turnout_requests_total\{.*outcome="client_disconnected".*\} 1$/m)
})

test.each([
  ['an answer', 200, reply()],
  ["a vendor's refusal", 400, { error: { message: 'no' } }],
])('who leaves between %s and its settling did not get it, wherever that is told', async (_, status, body) => {
  const turn = createTurn()
  let settle = (): void => {}
  const over = makeGate()
  const { gateway } = await open(
    {
      ...turn,
      at(step, work) {
        if (step !== 'settling') return turn.at(step, work)
        settle = work
        over.open()
      },
    },
    {},
    (_req, res) => sendJson(res, status, body),
  )
  const sent = send('POST', gateway.url + CHAT, ask('chat'))
  await over.opened
  sent.request.destroy()
  await sent.done
  // Their connections were opened after that one was closed, and the second after the first was served.
  for (let times = 0; times < 2; times++) expect((await get(`${gateway.url}/health`)).status).toBe(200)
  settle()
  const [line] = await gateway.settled(1)
  expect(line).toMatchObject({ outcome: 'client_disconnected', status: 499, attempts: 1 })
  const { text } = await get(`${gateway.url}/metrics`)
  expect(text).toMatch(/^turnout_requests_total\{.*status="none",outcome="client_disconnected".*\} 1$/m)
  expect(text).toMatch(/^turnout_client_disconnects_total\{.*phase="before_reply".*\} 1$/m)
})
