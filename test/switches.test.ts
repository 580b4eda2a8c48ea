// The headers by which clients switch: as they are written by hand and by other languages, and refused where they mean nothing.
import { afterEach, expect, it } from 'vitest'
import { startSimulator } from '../src/simulator/index.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { post } from './support/exchange.ts'
import { startGateway, upstreamAt } from './support/gateway.ts'

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})

const start = async (): Promise<
  (headers: Record<string, string>, more?: Record<string, unknown>) => ReturnType<typeof post>
> => {
  const simulator = await startSimulator({ scripts: { broken: { fault: { kind: 'status', status: 500 } } } })
  open.push(simulator)
  const gateway = await startGateway({
    providers: { up: upstreamAt(simulator.url), claude: { ...upstreamAt(simulator.url), kind: 'anthropic' } },
    routes: {
      chat: { targets: ['up/broken', 'up/well'] },
      kept: { targets: ['up/well'], cache: true },
      claude: 'claude/claude-sonnet-4-5',
    },
  })
  open.push(gateway)
  return (headers, more = {}) => post(`${gateway.url}${CHAT}`, ask('chat', more), headers)
}

it('take words in any case, as Python writes them', async () => {
  const call = await start()
  expect((await call({})).status).toBe(200)
  expect((await call({ 'x-turnout-fallback': ' OFF ' })).status).toBe(500)
  expect((await call({ 'x-turnout-fallback': 'On' })).status).toBe(200)
  const lossy = { model: 'claude', seed: 7 }
  expect((await call({ 'x-turnout-strict': 'False' }, lossy)).status).toBe(200)
  const strict = await call({ 'x-turnout-strict': 'True' }, lossy)
  expect([strict.status, JSON.parse(strict.text).error.param]).toEqual([400, 'seed'])
  const kept = { model: 'kept', temperature: 0 }
  expect((await call({ 'x-turnout-cache': 'Skip' }, kept)).headers['x-turnout-cache']).toBe('bypass; reason=skip')
  expect((await call({ 'x-turnout-cache': 'Skipped' }, kept)).status).toBe(400)
})

it.each([
  ['x-turnout-strict', '1', 'true or false'],
  ['x-turnout-fallback', 'none', 'on or off'],
  ['x-turnout-usage', 'costs', 'cost'],
  ['x-turnout-echo', 'reply', 'request'],
])('%s: %s means nothing, and is refused', async (name, value, expected) => {
  const call = await start()
  const { status, text } = await call({ [name]: value })
  expect([status, JSON.parse(text).error]).toEqual([
    400,
    {
      message: `Invalid header '${name}': expected ${expected}.`,
      type: 'invalid_request_error',
      param: name,
      code: 'invalid_value',
    },
  ])
})
