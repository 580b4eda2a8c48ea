// The build with nothing counted of requests: metrics cannot be switched off, so that what they cost shows only so.
import { cpSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolder, rootFolder } from '../folders.ts'
import { product } from './pair.ts'

const silentMetrics = `
import { createMetrics as create } from './metrics.counting.js'
export const createMetrics = (options) => {
  const metrics = create(options)
  const nothing = () => {}
  return Object.assign(metrics, { requestStarted: nothing, requestEnded: nothing, attemptEnded: nothing })
}
`
const silentTally = `
export const createTally = () => () => {}
`

/** Makes it from the build of this checkout and returns its folder. What is shown on /metrics is there, and stays at 0. */
export const makeUncounted = (): string => {
  const root = makeFolder('uncounted')
  const build = join(root, 'dist')
  cpSync(product, build, { recursive: true })
  for (const name of ['node_modules', 'migrations', 'package.json'])
    symlinkSync(join(rootFolder, name), join(root, name))
  const metrics = join(build, 'telemetry/metrics.js')
  renameSync(metrics, join(build, 'telemetry/metrics.counting.js'))
  writeFileSync(metrics, silentMetrics)
  writeFileSync(join(build, 'gateway/tally.js'), silentTally)
  return build
}
