// Memory and start-up of a fresh process: idle, under a thousand open streams, and after each wave of them.
import type { Contender, Running } from '../contenders/contender.ts'
import type { MemoryRow, StartRow } from '../figures.ts'
import { driveOwn } from '../load/drive.ts'
import { checkWork, type Stage, startContender } from '../stage.ts'
import { slowWork } from '../work.ts'
import { readMemory } from './processes.ts'

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Starts and stops a contender several times. */
export const measureStart = async (stage: Stage, contender: Contender, times: number): Promise<StartRow> => {
  const startMs: number[] = []
  for (let i = 0; i < times; i++) {
    const { running, startMs: ms } = await startContender(stage, contender)
    startMs.push(ms)
    await running.child?.stop()
  }
  return { contender: contender.name, startMs }
}

/**
 * Each in a process of its own, so that no earlier load is in the figures. They begin one after the other and hold their streams at the same
 * time: what one does takes nothing of another's memory.
 * @param wavesOf how many times a contender holds a thousand streams
 */
export const measureMemory = async (
  stage: Stage,
  contenders: readonly Contender[],
  wavesOf: (contender: Contender) => number,
): Promise<MemoryRow[]> => {
  const idle: { running: Running; row: MemoryRow }[] = []
  for (const contender of contenders) {
    const { running } = await startContender(stage, contender)
    await wait(1000)
    const row = { contender: contender.name, idle: readMegabytes(running), open: [], after: [], wrong: 0, failures: [] }
    idle.push({ running, row })
  }
  return Promise.all(
    idle.map(async ({ running, row }) => {
      await checkWork(stage, running, slowWork)
      for (let wave = 0; wave < wavesOf(running.contender); wave++) await hold(stage, running, row)
      await running.child!.stop()
      return row
    }),
  )
}

/** A thousand streams at once, to their end. */
const hold = async (stage: Stage, running: Running, row: MemoryRow): Promise<void> => {
  let open = Number.NaN
  const drive = {
    mode: 'hold',
    seconds: 6,
    onHeld: () => setTimeout(() => (open = readMegabytes(running)), 500),
  } as const
  const load = await driveOwn(stage, running, slowWork, drive)
  row.open.push(open)
  row.wrong += load.wrong
  row.failures.push(...Object.entries(load.failures).map(([kind, count]) => `${count} x ${kind}`))
  await wait(1500)
  row.after.push(readMegabytes(running))
}

const readMegabytes = ({ child }: Running): number => readMemory(child!.pid) / 1024 / 1024
