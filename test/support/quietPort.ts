// A port that stays free between the moment it is chosen and the moment it is listened on.
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below what systems hand out to those who ask for any port (Linux: from 32768, others from 49152), above what services have. */
const first = 15_000
const last = 31_000

// Test files run at the same time, each in a process of its own: each begins elsewhere.
let next = first + ((process.pid * 61) % (last - first))

/** A loopback port on which nobody listens, and that the system gives to nobody: for what has to be told its port, or to come back on it. */
export async function findQuietPort(): Promise<number> {
  for (let tries = 0; tries < last - first; tries++) {
    const port = next
    next = next + 1 < last ? next + 1 : first
    const server = createServer()
    server.listen(port, '127.0.0.1')
    const isFree = await Promise.race([
      once(server, 'listening').then(() => true),
      once(server, 'error').then(() => false),
    ])
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
  throw new Error(`No port from ${first} to ${last} is free.`)
}
