// Two gateways in one process, one with a feature and one without it: what differs between them is the feature, and nothing else.
import { join } from 'node:path'
import { type Child, start } from '../child.ts'
import { builtChild, rootFolder } from '../folders.ts'
import type { Grounds, Running } from './contender.ts'
import type { Feature } from './features.ts'
import { makeTurnout, shippedFlags, surroundings, writeConfig } from './turnout.ts'

/** The build of this checkout. */
export const product = join(rootFolder, 'dist')

/** What the process has used since its start, all threads included, and the requests that either gateway has answered. */
export interface Usage {
  readonly micros: number
  readonly counts: readonly [number, number]
}

export interface Pair {
  readonly child: Child
  readonly sides: readonly [Running, Running]
  /** Rejects when the process does not say it within 5 s. */
  read(): Promise<Usage>
}

/**
 * Starts both on the gateway's core. They answer some time later.
 *
 * @param grounds one for each; the first has the features `on[0]`
 * @param builds folders of what `npm run build` has made
 */
export const startPair = async (
  grounds: readonly [Grounds, Grounds],
  on: readonly [readonly Feature[], readonly Feature[]],
  builds: readonly [string, string] = [product, product],
): Promise<Pair> => {
  const { machine } = grounds[0]
  const configs = grounds.map((ground, i) => writeConfig(ground, on[i]!))
  const child = await start({
    name: 'two gateways',
    command: process.execPath,
    args: [
      ...shippedFlags,
      builtChild('contenders/gateways'),
      ...configs.flatMap((config, i) => [join(builds[i]!, 'cli/run.js'), config]),
    ],
    core: machine.gatewayCore,
    machine,
    ...surroundings(grounds[0]),
    outputFile: join(grounds[0].folder, 'stdout.txt'),
  })
  let said = ''
  let told: (usage: Usage) => void = () => {}
  child.process.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4096)
    const line = /^used (.*)\n/m.exec(said)
    if (!line) return
    said = ''
    told(JSON.parse(line[1]!))
  })
  const sideOf = (i: 0 | 1): Running => ({
    contender: makeTurnout(`side-${i}`, '', on[i]),
    grounds: grounds[i],
    child,
  })
  return {
    child,
    sides: [sideOf(0), sideOf(1)],
    read: () =>
      new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`no word of what was used: ${child.tail()}`)), 5000)
        told = (usage) => {
          clearTimeout(late)
          resolve(usage)
        }
        process.kill(child.pid, 'SIGUSR2')
      }),
  }
}
