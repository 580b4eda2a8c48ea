// A reply that is a fault and tells of its usage all the same: the vendor charges what it tells, and so does the ledger.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import type { StoredAttempt } from '../src/store/requestRead.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { post } from './support/exchange.ts'
import { appKey, bearer, startLedgerGateway } from './support/ledgerGateway.ts'

const usageMetadata = { promptTokenCount: 100, candidatesTokenCount: 30, thoughtsTokenCount: 20, totalTokenCount: 150 }
const usage = { prompt_tokens: 100, completion_tokens: 50, total_tokens: 150 }
const failed = (finishReason: string) => ({ candidates: [{ index: 0, content: {}, finishReason }], usageMetadata })

it.each([
  ['a call that Gemini could not write', 'gemini', failed('MALFORMED_FUNCTION_CALL'), false],
  ['the same as the whole of a stream', 'gemini', failed('MALFORMED_FUNCTION_CALL'), true],
  ['a reason without an answer', 'gemini', failed('OTHER'), false],
  ['no candidate at all', 'gemini', { usageMetadata }, false],
  ['an error inside a 200', 'openai', { error: { message: 'It broke.', code: 502 }, usage }, false],
  ['no choice', 'openai', { id: 'x', choices: [], usage }, false],
] as const)('%s', async (_name, provider, reply, stream) => {
  const vendor = createServer((req, res) => {
    req.resume().on('end', () => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(reply)))
  }).listen(0, '127.0.0.1')
  await once(vendor, 'listening')
  onTestFinished(() => void vendor.close())
  const baseUrl = `http://127.0.0.1:${(vendor.address() as AddressInfo).port}`
  const books = await startLedgerGateway({
    providers: { [provider]: { apiKey: 'sk-0123456789abcdef', baseUrl } },
    prices: { some: { input: 1, output: 2, maxOutput: 1_000 } },
    routes: { chat: [`${provider}/some`] },
    budgets: { all: { usd: 1 } },
  })
  onTestFinished(() => books.close())
  const answer = await post(books.url + CHAT, { ...ask('chat'), stream }, bearer(appKey))
  expect(answer.status).toBe(502)
  expect(answer.headers['x-turnout-cost-usd']).toBe('0.0002')
  await books.ledger.flush()
  const attempts = books.store.db.prepare('SELECT * FROM attempts').all() as StoredAttempt[]
  expect(attempts).toMatchObject([{ input: 100, estimated: 0, cost: 200_000 }])
  expect(attempts[0]!.output + attempts[0]!.reasoning).toBe(50)
  expect(books.gateway.turnout.budgets.utilisation()).toMatchObject([{ spent: 200_000, reserved: 0 }])
})

it('a stream that an error breaks off has told of the prompt, and of an answer that was not over', async () => {
  const told = { id: 'm', type: 'message', role: 'assistant', model: 'some', content: [], stop_reason: null }
  const events = [
    { type: 'message_start', message: { ...told, usage: { input_tokens: 100, output_tokens: 1 } } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Well' } },
    { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
  ]
  const vendor = createServer((req, res) => {
    const text = events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')
    req.resume().on('end', () => res.writeHead(200, { 'content-type': 'text/event-stream' }).end(text))
  }).listen(0, '127.0.0.1')
  await once(vendor, 'listening')
  onTestFinished(() => void vendor.close())
  const baseUrl = `http://127.0.0.1:${(vendor.address() as AddressInfo).port}`
  const books = await startLedgerGateway({
    providers: { anthropic: { apiKey: 'sk-0123456789abcdef', baseUrl } },
    routes: { chat: ['anthropic/some'] },
  })
  onTestFinished(() => books.close())
  await post(books.url + CHAT, { ...ask('chat'), stream: true }, bearer(appKey))
  await books.ledger.flush()
  const attempts = books.store.db.prepare('SELECT * FROM attempts').all() as StoredAttempt[]
  expect(attempts).toMatchObject([{ input: 100, output: 1, estimated: 1 }])
})
