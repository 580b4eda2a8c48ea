// What compatible servers answer instead of a reply, in every form that they have for it: the official client shows what is wrong.
import type { IncomingMessage, ServerResponse } from 'node:http'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ask, CHAT, reply } from './support/chatBodies.ts'
import { post } from './support/exchange.ts'
import { type FakeUpstream, sendJson, startFakeUpstream } from './support/fakeUpstream.ts'
import { startGateway, type TestGateway, upstreamAt } from './support/gateway.ts'

const key = 'tk-test-vendor-errors-0123'

interface Answer {
  status: number
  body: unknown
  type?: string
}

let answer: Answer
let upstream: FakeUpstream
let gateway: TestGateway
let client: OpenAI

beforeAll(async () => {
  upstream = await startFakeUpstream((_req, res) =>
    sendJson(res, answer.status, answer.body, answer.type ? { 'content-type': answer.type } : {}),
  )
  gateway = await startGateway(
    { providers: { vendor: upstreamAt(upstream.url, { kind: 'vllm' }) }, directModels: true },
    { env: { TURNOUT_MASTER_KEY: key } },
  )
  client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: key, maxRetries: 0 })
})
afterAll(async () => {
  await gateway?.close()
  await upstream?.close()
})

/** A model of its own for each answer: an account's trouble shuts the target. */
let models = 0
const failure = async (told: Answer, stream: boolean): Promise<InstanceType<typeof OpenAI.APIError>> => {
  answer = told
  const asked = client.chat.completions.create({
    model: `vendor/m${models++}`,
    stream,
    messages: [{ role: 'user', content: 'x' }],
  })
  return asked.then(
    () => expect.fail('it should have failed'),
    (error) => error,
  )
}

const quoted = 'Tell nobody about the merger.'
const forms: readonly (Answer & { about: string; says: string })[] = [
  {
    about: 'a message at the top',
    status: 400,
    body: { object: 'error', message: 'The model is too small.', type: 'BadRequestError', code: 400 },
    says: 'The model is too small.',
  },
  {
    about: 'a list of details within the message',
    status: 422,
    body: { object: 'error', message: { detail: [{ loc: ['body', 'seed'], msg: 'Extra inputs are not permitted' }] } },
    says: 'body.seed: Extra inputs are not permitted',
  },
  {
    about: 'a list of details',
    status: 422,
    body: { detail: [{ loc: ['body', 'messages', 0], msg: 'field required', input: quoted }, { msg: 'and more' }] },
    says: 'body.messages.0: field required; and more',
  },
  { about: 'a detail', status: 401, body: { detail: 'Not authenticated' }, says: 'Not authenticated' },
  {
    about: 'a list of errors',
    status: 403,
    body: { success: false, errors: [{ code: 7003, message: 'No route for that URI' }] },
    says: 'No route for that URI',
  },
  {
    about: 'errors as a list',
    status: 400,
    body: [{ error: { code: 400, message: 'API key not valid.', status: 'INVALID_ARGUMENT' } }],
    says: 'API key not valid.',
  },
  { about: 'a message with a capital', status: 403, body: { Message: 'Signature expired' }, says: 'Signature expired' },
  // The AI SDK reads no text here, and says "Bad Request" instead.
  {
    about: 'an error that is a text, as of xAI',
    status: 400,
    body: { code: 'Client specified an invalid argument', error: 'Model not found: grok-9' },
    says: 'Model not found: grok-9',
  },
  {
    about: 'an error that is a text alone, as of Ollama',
    status: 404,
    body: { error: 'model "m" not found, try pulling it first' },
    says: 'model "m" not found, try pulling it first',
  },
  {
    about: 'a list of texts under the error, as of Hugging Face',
    status: 422,
    body: { error: ['Error in `seed`: not a number', 'and more'], warnings: [] },
    says: 'Error in `seed`: not a number; and more',
  },
  {
    about: 'an error that a proxy has put into its own',
    status: 400,
    body: { error: { error: { message: 'No such voice.', code: 'odd' } } },
    says: 'No such voice.',
  },
  { about: 'a detail of the error', status: 400, body: { error: { detail: 'No.' } }, says: 'No.' },
  {
    about: 'an error that is an empty text',
    status: 400,
    body: { error: '' },
    says: 'The upstream answered with status 400.',
  },
  {
    about: 'an error with an empty message',
    status: 400,
    body: { error: { message: '', code: 'odd' } },
    says: 'The upstream answered with status 400.',
  },
  {
    about: 'an error without a message',
    status: 400,
    body: { error: { code: 'odd' } },
    says: 'The upstream answered with status 400.',
  },
  { about: 'nothing at all', status: 503, body: {}, says: 'The upstream answered with status 503.' },
]

describe.each([false, true])('stream: %s', (stream) => {
  it('one that is nested deeper than can be written again is told by its words', async () => {
    const deep = `{"message":"No.","a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`
    const error = await failure({ status: 422, body: deep, type: 'application/json' }, stream)
    expect([error.status, error.message]).toEqual([422, '422 No.'])
  })

  it.each(forms)('$about', async ({ says, ...told }) => {
    const error = await failure(told, stream)
    expect(error).toBeInstanceOf(OpenAI.APIError)
    expect(error.status).toBe(told.status)
    expect(error.message).toBe(`${told.status} ${says}`)
    expect(error).toMatchObject({ type: expect.any(String), code: expect.any(String) })
    // Nothing of what the vendor said is lost.
    const said = Array.isArray(told.body) ? { errors: told.body } : told.body
    const { details } = (error.error as { metadata: { details?: unknown } }).metadata
    expect(details).toEqual(Object.keys(said as object).length > 0 ? said : undefined)
    expect(JSON.stringify(gateway.lines.at(-1))).not.toContain(quoted)
  })

  it.each([
    { error: { message: 'No.', type: 'invalid_request_error', param: 'x', code: null, extra: 1 }, request: 7 },
    { error: { message: 'Nothing else.' } },
  ])('an error where the clients look for it passes as it is: %j', async (body) => {
    const error = await failure({ status: 400, body }, stream)
    expect(error.error).toEqual(body.error)
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'vendor/m', stream, messages: [{ role: 'user', content: 'x' }] }),
    })
    expect(await response.text()).toBe(JSON.stringify(body))
  })
})

/** What a client hears of an error that a server gives to a request with a configured header. */
async function messageTo(header: string, answer: (req: IncomingMessage, res: ServerResponse) => void): Promise<string> {
  const proxy = await startFakeUpstream(answer)
  const behind = await startGateway({
    providers: { p: upstreamAt(proxy.url, { headers: { 'x-proxy': header } }) },
    routes: { m: 'p/m' },
  })
  try {
    return JSON.parse((await post(behind.url + CHAT, ask('m'))).text).error.message
  } finally {
    await behind.close()
    await proxy.close()
  }
}

it('a configured header is blanked without its scheme, too', async () => {
  const message = await messageTo('Bearer our-own-proxy-0123456789', ({ headers }, res) =>
    sendJson(res, 400, { error: { message: `Not good: ${String(headers['x-proxy']).split(' ')[1]}`, code: 'x' } }),
  )
  expect(message).toBe('Not good: ***')
})

it.each(['a/b+c==', 'a\\/b\\u002Bc\\u003d\\u003d', 'a\\u002fb\\u002bc=='])(
  'a credential is blanked however JSON has it: %s',
  async (written) => {
    const message = await messageTo('Basic dXNlcjpwYXNzd29yZAa/b+c==', (_, res) => {
      res.writeHead(400, { 'content-type': 'application/json' })
      res.end(`{"error":{"message":"Not good: Basic dXNlcjpwYXNzd29yZA${written}"}}`)
    })
    expect(message).toBe('Not good: ***')
  },
)

it("a key that is a common word leaves that word as it is in a server's errors", async () => {
  const message = 'The prompt is empty: the key EMPTY gets no answer to that.'
  const server = await startFakeUpstream((_, res) => sendJson(res, 400, { error: { message } }))
  const before = await startGateway({
    providers: { p: upstreamAt(server.url, { apiKey: 'EMPTY' }) },
    routes: { m: 'p/m' },
  })
  try {
    const { text } = await post(before.url + CHAT, ask('m'))
    expect(JSON.parse(text).error.message).toBe('The prompt is empty: the key *** gets no answer to that.')
  } finally {
    await before.close()
    await server.close()
  }
})

it.each([
  [405, 405, 'server_error'],
  [421, 421, 'server_error'],
  // `fetch` hands out no reply with this status.
  [407, 401, 'auth_failed'],
])(
  'a %d is the word of somebody in between: the next target is asked, and the client understands it',
  async (status, told, code) => {
    const page = await startFakeUpstream((_req, res) => {
      res.writeHead(status, { 'content-type': 'text/html', 'proxy-authenticate': 'Basic realm="egress"' })
      res.end('<html>Not here.</html>')
    })
    const spare = await startFakeUpstream((_req, res) => sendJson(res, 200, reply('from the spare')))
    const behind = await startGateway({
      providers: { main: upstreamAt(page.url), spare: upstreamAt(spare.url) },
      retries: { attempts: 1 },
      routes: { both: ['main/m', 'spare/m'], alone: 'main/other' },
    })
    const openai = new OpenAI({ baseURL: `${behind.url}/v1`, apiKey: 'any', maxRetries: 0 })
    const asking = (model: string) =>
      openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'x' }] })
    try {
      expect((await asking('both')).choices[0]!.message.content).toBe('from the spare')
      expect(behind.lines.at(-1)).toMatchObject({ status: 200, attempts: 2 })
      await expect(asking('alone')).rejects.toMatchObject({
        status: told,
        code,
        message: expect.stringContaining(`${status}`),
      })
    } finally {
      await behind.close()
      await page.close()
      await spare.close()
    }
  },
)
