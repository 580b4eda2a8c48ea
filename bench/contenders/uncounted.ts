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

/** Throws where there is no such file any more: what is counted elsewhere would be measured on both sides. */
const replace = (file: string, text: string): void => {
  renameSync(file, file.replace(/\.js$/, '.counting.js'))
  writeFileSync(file, text)
}

/** Makes it from the build of this checkout and returns its folder. What is shown on /metrics is there, and stays at 0. */
export const makeUncounted = (): string => {
  const root = makeFolder('uncounted')
  const build = join(root, 'dist')
  cpSync(product, build, { recursive: true })
  for (const name of ['node_modules', 'migrations', 'package.json'])
    symlinkSync(join(rootFolder, name), join(root, name))
  replace(join(build, 'telemetry/metrics.js'), silentMetrics)
  replace(join(build, 'gateway/tally.js'), silentTally)
  return build
}
