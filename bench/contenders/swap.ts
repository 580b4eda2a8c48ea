// Swaps the configuration of a running Turnout, so that one process is measured with a feature and without it.
import { request } from 'node:http'
import { benchKey, type Running } from './contender.ts'
import type { Feature } from './features.ts'
import { writeConfig } from './turnout.ts'

/** Serves these features, if it does not already; resolves to whether it had to swap. Rejects when the process does not follow within 15 s. */
export type Swap = (on: readonly Feature[]) => Promise<boolean>

/** @param served what the process was started with */
export const makeSwap = (running: Running, served: readonly Feature[]): Swap => {
  let swaps = 0
  return async (on) => {
    if (on.length === served.length && on.every((feature) => served.includes(feature))) return false
    const marker = `swap-${++swaps}`
    writeConfig(running.grounds, on, marker)
    process.kill(running.child!.pid, 'SIGHUP')
    const end = performance.now() + 15_000
    while (!(await readModels(running.grounds.port)).includes(`"${marker}"`)) {
      if (performance.now() > end) throw new Error(`the configuration was not swapped: ${running.child!.tail()}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    served = on
    return true
  }
}

/** The models of the configuration that is served. */
const readModels = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${benchKey}` }
    const asked = request({ port, host: '127.0.0.1', path: '/v1/models', headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => (text += piece))
      response.on('end', () => resolve(text))
      response.on('error', reject)
    })
    asked.on('error', reject)
    asked.end()
  })
