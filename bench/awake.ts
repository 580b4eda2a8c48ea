// Keeps the machine's cores from going to sleep where a load does not fill them.
import { closeSync, openSync, writeSync } from 'node:fs'

/** As long as it is open, the kernel lets no core sleep deeper than the microseconds written to it: `Documentation/power/pm_qos_interface.rst`. */
const latencyFile = '/dev/cpu_dma_latency'

/** Never made where it is not: in a container root could, and a plain file keeps nothing awake. */
const open = (path: string): number | undefined => {
  try {
    return openSync(path, 'r+')
  } catch {
    return undefined
  }
}

/** Whether cores can be kept awake: that takes Linux and root. */
export const canStayAwake = (path = latencyFile): boolean => {
  const file = open(path)
  if (file !== undefined) closeSync(file)
  return file !== undefined
}

/**
 * While `work` runs, cores that have nothing to do wait for it without sleeping. A core that sleeps wakes late, and a virtual one is given to others by
 * the host meanwhile, who leave their data in its caches: of a gateway with little to do one would measure the host's mood.
 */
export const keepAwake = async <T>(work: () => Promise<T>, path = latencyFile): Promise<T> => {
  const file = open(path)
  if (file === undefined) return work()
  try {
    writeSync(file, new Int32Array([0]))
    return await work()
  } finally {
    closeSync(file)
  }
}
