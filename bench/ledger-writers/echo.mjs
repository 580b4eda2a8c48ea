// A stand-in for an upstream: answers each line after a delay, from a process of its own.
import { createServer } from 'node:net'

const delay = Number(process.argv[2] ?? 20)
const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', (data) => setTimeout(() => socket.write(data), delay))
  socket.on('error', () => {})
})
server.listen(0, '127.0.0.1', () => process.send?.(server.address().port))
process.on('disconnect', () => process.exit(0))
