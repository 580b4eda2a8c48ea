// One measured window: a load on one contender, its CPU, and how far the window may be trusted.
import { keepAwake } from '../awake.ts'
import type { Running } from '../contenders/contender.ts'
import type { LoadResult } from '../load/job.ts'
import type { Patience, Stage } from '../stage.ts'
import { type CoreReading, compareCore, readCore, readCpu, readOwnCpu } from './processes.ts'

/** Above this the load's core, not the contender, sets the speed. */
const loadLimit = 0.8
/** Above these shares of a core other programs ran there, or the host took it away. */
const foreignLimit = 0.1
const foreignLoadLimit = 0.2

export interface Window {
  /** CPU time of the contender's process group, microseconds; undefined for `direct`. */
  cpu: number | undefined
  /** Shares: the load's core busy, each core used by programs that are not the bench's, the worse core taken by the host. */
  loadBusy: number
  foreign: number
  foreignLoad: number
  stolen: number
  load: LoadResult
  /** Why its figures do not count. */
  void: string | undefined
}

export interface Load {
  /** Process group of what makes it, where that lives for longer than the window. */
  readonly pid?: number
  /** It does not fill the contender's core. */
  readonly isPartial?: boolean
  /** Brings it to where it can be measured: not part of the window. */
  begin?(): Promise<void>
  /** The window. */
  run(): Promise<LoadResult>
  end?(): Promise<void>
}

interface Reading {
  gateway: CoreReading
  load: CoreReading
  cpu: number | undefined
  /** CPU time of all that belongs on the load's core. */
  ownLoad: number
}

const read = (stage: Stage, running: Running, load: Load): Reading => ({
  gateway: readCore(stage.machine.gatewayCore),
  load: readCore(stage.machine.loadCore),
  cpu: running.child && readCpu(running.child.pid),
  ownLoad:
    readOwnCpu() +
    [...stage.upstreamGroups, ...(load.pid === undefined ? [] : [load.pid])].reduce(
      (sum, group) => sum + readCpu(group),
      0,
    ),
})

/** Runs `load` between two readings; again, while other programs or the host spoil it and there is patience left. */
export const measureWindow = async (stage: Stage, running: Running, load: Load): Promise<Window> => {
  const measure = () =>
    load.isPartial ? keepAwake(() => measureOnce(stage, running, load)) : measureOnce(stage, running, load)
  let best = await measure()
  for (let i = 0; i < 2 && isDisturbed(best) && stage.patience.seconds > 0; i++) {
    const again = await spend(stage.patience, measure)
    if (disturbance(again) < disturbance(best)) best = again
  }
  return best
}

const measureOnce = async (stage: Stage, running: Running, load: Load): Promise<Window> => {
  await load.begin?.()
  const before = read(stage, running, load)
  const result = await load.run()
  const after = read(stage, running, load)
  await load.end?.()
  const cpu = after.cpu === undefined ? undefined : after.cpu - before.cpu!
  const gateway = compareCore(before.gateway, after.gateway)
  const loadCore = compareCore(before.load, after.load)
  const pinned = stage.machine.gatewayCore !== undefined
  const window = {
    cpu,
    loadBusy: pinned ? loadCore.busy : 0,
    // Nothing runs on the gateway core for `direct`: what others do there does not matter.
    foreign: pinned && running.child ? Math.max(0, gateway.busy - (cpu ?? 0) / gateway.micros) : 0,
    foreignLoad: pinned ? Math.max(0, loadCore.busy - (after.ownLoad - before.ownLoad) / loadCore.micros) : 0,
    stolen: Math.max(gateway.stolen, loadCore.stolen),
    load: result,
  }
  return { ...window, void: findFault(window) }
}

/** Takes the time of `work` from a patience, once also where `work` has spent some of it by itself. */
export const spend = async <T>(patience: Patience, work: () => Promise<T>): Promise<T> => {
  const { seconds } = patience
  const begun = performance.now()
  const result = await work()
  patience.seconds = seconds - (performance.now() - begun) / 1000
  return result
}

const disturbance = ({ foreign, foreignLoad, stolen }: Omit<Window, 'void'>) => foreign + foreignLoad / 2 + stolen

const isDisturbed = ({ foreign, foreignLoad, stolen }: Omit<Window, 'void'>) =>
  foreign > foreignLimit || foreignLoad > foreignLoadLimit || stolen > foreignLimit

const percent = (share: number) => `${Math.round(share * 100)} %`

const findFault = (window: Omit<Window, 'void'>): string | undefined => {
  const { load, loadBusy, foreign, foreignLoad, stolen } = window
  if (load.wrong > 0) {
    const kinds = Object.entries(load.failures).map(([kind, count]) => `${count} x ${kind}`)
    return `wrong: ${kinds.join(', ')}`
  }
  if (load.completed === 0) return 'no reply in the window'
  if (loadBusy > loadLimit) {
    const others = foreignLoad > foreignLoadLimit ? `, ${percent(foreignLoad)} by other programs` : ''
    return `load core ${percent(loadBusy)} busy${others}`
  }
  if (foreign > foreignLimit) return `other programs took ${percent(foreign)} of the core`
  if (stolen > foreignLimit) return `the host took ${percent(stolen)}`
  return undefined
}
