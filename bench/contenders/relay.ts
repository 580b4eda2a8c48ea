// The Node limit as a process: node:http in, undici out, JSON parsed once each way, streams piped; no feature at all.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Pool } from 'undici'

const [port, map] = process.argv.slice(2) as [string, string]
/** Upstream origin by lane. */
const origins = JSON.parse(map) as Record<string, string>
const pools = new Map<string, Pool>()
for (const origin of Object.values(origins)) {
  if (!pools.has(origin)) pools.set(origin, new Pool(origin, { connections: 2048 }))
}

const relay = async (request: IncomingMessage, response: ServerResponse, body: Buffer): Promise<void> => {
  const path = request.url!
  const pool = pools.get(origins[path.split('/', 2)[1]!]!)!
  const wire = JSON.parse(body.toString()) as { stream?: boolean }
  const reply = await pool.request({
    path,
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: request.headers.authorization },
    body,
  })
  const type = reply.headers['content-type']
  if (wire.stream) {
    response.writeHead(reply.statusCode, { 'content-type': type })
    response.on('close', () => reply.body.destroy())
    reply.body.on('error', () => response.destroy())
    reply.body.pipe(response)
    return
  }
  const bytes = Buffer.from(await reply.body.arrayBuffer())
  JSON.parse(bytes.toString())
  response.writeHead(reply.statusCode, { 'content-type': type, 'content-length': bytes.length })
  response.end(bytes)
}

const server = createServer({ keepAliveTimeout: 600_000, noDelay: true }, (request, response) => {
  const pieces: Buffer[] = []
  request.on('data', (piece: Buffer) => pieces.push(piece))
  request.on('end', () => {
    relay(request, response, pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)).catch(() => {
      if (response.headersSent) response.destroy()
      else response.writeHead(502).end()
    })
  })
})
server.listen(Number(port), '127.0.0.1', 4096)
process.on('SIGTERM', () => process.exit(0))
