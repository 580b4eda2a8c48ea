// The raw upstream of the tests does what its names say: a tool that lies would make every other test worthless.
import { afterEach, expect, it } from 'vitest'
import { eventsOf, post, send } from './support/exchange.ts'
import {
  cut,
  type FakeUpstream,
  type Handler,
  namedEvent,
  openSse,
  piecesOf,
  reset,
  sendJson,
  sendSse,
  sseText,
  stall,
  startFakeUpstream,
  writePieces,
} from './support/fakeUpstream.ts'

let upstream: FakeUpstream | undefined
afterEach(async () => {
  await upstream?.close()
  upstream = undefined
})
const start = async (handler: Handler) => {
  upstream = await startFakeUpstream(handler)
  return upstream
}

it('records method, path, headers and body, and counts from 1', async () => {
  const { url, requests, waitFor } = await start((_req, res, body, n) =>
    sendJson(res, 201, { n, bytes: body.length }, { 'x-a': 'b' }),
  )
  await post(`${url}/one?a=1`, '{"x":1.0}', { 'x-custom': 'y' })
  const reply = await post(`${url}/two`, 'äö')
  expect(reply).toMatchObject({ status: 201, text: '{"n":2,"bytes":4}', headers: { 'x-a': 'b' } })
  expect(requests[0]).toMatchObject({
    method: 'POST',
    path: '/one?a=1',
    headers: { 'x-custom': 'y' },
    closedEarly: false,
  })
  expect(requests[0]?.body.toString()).toBe('{"x":1.0}')
  expect((await waitFor((request) => request.path === '/two' && request.done)).closedEarly).toBe(false)
  await expect(waitFor((request) => request.path === '/three', 10)).rejects.toThrow(/2 came/)
})

it('sends events in pieces that arrive as pieces', async () => {
  const text = sseText([{ a: '東京' }, { a: '🚂' }], { eol: '\r\n' })
  const { url } = await start((_req, res) => sendSse(res, text, { pieces: 1 }))
  const reply = await post(url, '')
  expect(reply.text).toBe(text)
  expect(eventsOf(reply.text)).toEqual([{ a: '東京' }, { a: '🚂' }])
  expect(reply.pieces.length).toBeGreaterThan(text.length / 2)
  expect(Buffer.concat(piecesOf('äbc', 2)).toString()).toBe('äbc')
  expect(piecesOf('äbc', 2).map((piece) => piece.length)).toEqual([2, 2])
  expect(namedEvent('ping', {})).toBe('event: ping\ndata: {}\n\n')
})

it('cuts and resets after what was written, and calls neither the client’s doing', async () => {
  for (const end of [cut, reset]) {
    const { url, waitFor } = await start(async (_req, res) => {
      openSse(res)
      await writePieces(res, ['data: 1\n\n', 'data: 2\n\n'])
      end(res)
    })
    const reply = await post(url, '')
    expect(reply).toMatchObject({ status: 200, text: 'data: 1\n\ndata: 2\n\n', complete: false, error: 'ECONNRESET' })
    expect((await waitFor((request) => request.done)).closedEarly).toBe(false)
    await upstream?.close()
  }
})

it('stalls until the client goes, and notices that it went', async () => {
  let finish: () => void
  const over = new Promise<void>((resolve) => {
    finish = resolve
  })
  const { url, waitFor } = await start(async (_req, res) => {
    openSse(res)
    await stall(res)
    finish()
  })
  const sent = send('POST', url, '')
  await sent.response
  sent.request.destroy()
  expect((await waitFor((request) => request.done)).closedEarly).toBe(true)
  await over
})

it('reports what a handler threw', async () => {
  const failing = await startFakeUpstream(() => {
    throw new Error('a test went wrong')
  })
  expect((await post(failing.url, '')).error).toBe('ECONNRESET')
  await expect(failing.close()).rejects.toThrow('a test went wrong')
})
