// Memory and start-up of a fresh process: idle, under a thousand open streams, and after each wave of them.
import type { Contender } from '../contenders/contender.ts'
import type { MemoryRow, StartRow } from '../figures.ts'
import { driveOwn } from '../load/drive.ts'
import { checkWork, type Stage, startContender } from '../stage.ts'
import { slowWork } from '../work.ts'
import { readMemory } from './processes.ts'

const megabytes = (bytes: number) => bytes / 1024 / 1024
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

/** Holds a thousand streams in each wave. The process is its own, so that no earlier load is in the figures. */
export const measureMemory = async (stage: Stage, contender: Contender, waves: number): Promise<MemoryRow> => {
  const { running } = await startContender(stage, contender)
  const group = running.child!.pid
  await wait(1000)
  const row: MemoryRow = {
    contender: contender.name,
    idle: megabytes(readMemory(group)),
    open: [],
    after: [],
    wrong: 0,
    failures: [],
  }
  await checkWork(stage, running, slowWork)
  for (let wave = 0; wave < waves; wave++) {
    let open = Number.NaN
    const drive = {
      mode: 'hold',
      seconds: 6,
      onHeld: () => setTimeout(() => (open = megabytes(readMemory(group))), 500),
    } as const
    const load = await driveOwn(stage, running, slowWork, drive)
    row.open.push(open)
    row.wrong += load.wrong
    row.failures.push(...Object.entries(load.failures).map(([kind, count]) => `${count} x ${kind}`))
    await wait(1500)
    row.after.push(megabytes(readMemory(group)))
  }
  await running.child!.stop()
  return row
}
