// A process of its own that opens a store, says so on stdout, and holds it until it is killed or told to stop.
import { openStore } from '../../src/store/open.ts'

const file = process.argv[2] ?? ''
try {
  const store = openStore({ file })
  console.log(JSON.stringify({ opened: true, instance: store.instance }))
  process.stdin.on('data', () => {
    store.close()
    process.exit(0)
  })
} catch (error) {
  const { code, message } = error as { code: string; message: string }
  console.log(JSON.stringify({ opened: false, code, message }))
  process.exit(3)
}
