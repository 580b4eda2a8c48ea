// Heads of replies with lines that are ready: what comes over the wire, from our own server and from one of somebody else's.
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { LinedResponse, setLines } from '../src/gateway/linedResponse.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

const serve = async (
  listener: (req: IncomingMessage, res: ServerResponse) => void,
  lined = true,
): Promise<{ port: number }> => {
  const server = createServer(lined ? { ServerResponse: LinedResponse } : {}, listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return server.address() as AddressInfo
}

/** Names and values as they came, and the body. */
const ask = (port: number, method = 'POST'): Promise<{ status: number; headers: string[]; body: string }> =>
  new Promise((resolve, reject) => {
    const req = request({ port, host: '127.0.0.1', method }, (res) => {
      let body = ''
      res.setEncoding('utf8').on('data', (text: string) => (body += text))
      res.on('end', () => resolve({ status: res.statusCode!, headers: res.rawHeaders, body }))
    })
    req.on('error', reject).end(method === 'POST' ? '{}' : undefined)
  })

const LINES = 'x-turnout-target: up/a\r\nx-request-id: req_1\r\n'

describe.each([
  ['our own server', true],
  ["somebody else's", false],
])('%s', (_, lined) => {
  test('sends the lines and the list, each once', async () => {
    const { port } = await serve((_req, res) => {
      setLines(res, 'x-turnout-target: of before\r\n')
      setLines(res, LINES)
      res.writeHead(201, ['content-type', 'text/plain', 'content-length', '5', 'x-more', 'a', 'x-more', 'b'])
      res.end('hello')
    }, lined)
    const { status, headers, body } = await ask(port)
    expect(status).toBe(201)
    expect(body).toBe('hello')
    const told = new Map(headers.flatMap((name, at) => (at % 2 === 0 ? [[name.toLowerCase(), headers[at + 1]]] : [])))
    expect(told.get('x-turnout-target')).toBe('up/a')
    expect(told.get('x-request-id')).toBe('req_1')
    expect(told.get('content-length')).toBe('5')
    expect(told.get('connection')).toBe('keep-alive')
    expect(headers.filter((name) => name === 'x-turnout-target')).toHaveLength(1)
  })

  test('without lines the head is as Node makes it', async () => {
    const { port } = await serve((_req, res) => res.writeHead(200, ['content-length', '2']).end('ok'), lined)
    const { headers, body } = await ask(port)
    expect(headers.filter((_name, at) => at % 2 === 0)).toEqual(['content-length', 'Date', 'Connection', 'Keep-Alive'])
    expect(body).toBe('ok')
  })

  test('a stream without a length is chunked, and a HEAD has no body', async () => {
    const { port } = await serve((req, res) => {
      setLines(res, LINES)
      res.writeHead(200, ['content-type', 'text/plain'])
      if (req.method !== 'HEAD') res.write('one ')
      res.end(req.method === 'HEAD' ? undefined : 'two')
    }, lined)
    const whole = await ask(port)
    expect(whole.body).toBe('one two')
    expect(whole.headers.join(' ')).toContain('Transfer-Encoding chunked')
    const { headers, body } = await ask(port, 'HEAD')
    expect(body).toBe('')
    expect(headers.join(' ')).toContain('x-turnout-target up/a')
  })
})

test('two replies on one connection each have their own', async () => {
  let count = 0
  const { port } = await serve((req, res) => {
    req.resume()
    setLines(res, `x-count: ${++count}\r\n`)
    res.writeHead(200, ['content-length', '0']).end()
  })
  const socket = connect(port, '127.0.0.1')
  let said = ''
  socket.setEncoding('latin1').on('data', (text: string) => (said += text))
  socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
  await once(socket, 'close')
  expect(said.match(/HTTP\/1\.1 200 OK\r\nx-count: \d/g)).toEqual([
    'HTTP/1.1 200 OK\r\nx-count: 1',
    'HTTP/1.1 200 OK\r\nx-count: 2',
  ])
})

test('a value of the list that would break the head is refused as ever', async () => {
  let error: unknown
  const { port } = await serve((_req, res) => {
    setLines(res, LINES)
    try {
      res.writeHead(200, ['x-evil', 'a\r\nset-cookie: b'])
    } catch (caught) {
      error = caught
    }
    res.writeHead(500, ['content-length', '0']).end()
  })
  const { status, headers } = await ask(port)
  expect(error).toMatchObject({ code: 'ERR_INVALID_CHAR' })
  expect(status).toBe(500)
  expect(headers.join(' ')).not.toContain('set-cookie')
})
