// The build with nothing counted of requests: metrics cannot be switched off, so that what they cost shows only so. And a build that is the same.
import { cpSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Metrics } from '../../src/telemetry/metrics.ts'
import { makeFolder, rootFolder } from '../folders.ts'
import { product } from './pair.ts'

/** What counts requests and what comes of them. The compiler says when one of them has another name. */
const counting = ['requestStarted', 'requestEnded', 'attemptEnded'] as const satisfies readonly (keyof Metrics)[]
const gaps = 'tokenGaps' satisfies keyof Metrics
const tally = 'createTally' satisfies keyof typeof import('../../src/gateway/tally.ts')

const silentMetrics = `
import { createMetrics as create } from './metrics.counting.js'
export const createMetrics = (options) => {
  const metrics = create(options)
  const nothing = () => {}
  // Of the gaps between the pieces of a stream.
  const row = { observe: nothing }
  for (const name of ${JSON.stringify(counting)}) metrics[name] = nothing
  return Object.assign(metrics, { ${gaps}: () => row })
}
`
const silentTally = `
export const ${tally} = () => () => {}
`

/** Throws where there is no such file any more: what is counted elsewhere would be measured on both sides. */
const replace = (file: string, text: string): void => {
  renameSync(file, file.replace(/\.js$/, '.counting.js'))
  writeFileSync(file, text)
}

/** A copy of the build of this checkout, with functions of its own that V8 compiles for themselves; returns its folder. */
export const makeCopy = (from = product): string => {
  const root = makeFolder('copy')
  const build = join(root, 'dist')
  cpSync(from, build, { recursive: true })
  for (const name of ['node_modules', 'migrations', 'package.json'])
    symlinkSync(join(rootFolder, name), join(root, name))
  return build
}

/** Makes it of a copy and returns its folder. What is shown on /metrics is there, and stays at 0. */
export const makeUncounted = (from = product): string => {
  const build = makeCopy(from)
  replace(join(build, 'telemetry/metrics.js'), silentMetrics)
  replace(join(build, 'gateway/tally.js'), silentTally)
  return build
}
