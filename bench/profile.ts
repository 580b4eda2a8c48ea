// Records a CPU profile of Turnout under load and prints where the time goes.
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { start } from './child.ts'
import type { Contender } from './contenders/contender.ts'
import { features } from './contenders/features.ts'
import { relay } from './contenders/peers.ts'
import { makeTurnout, shippedFlags, unbundled } from './contenders/turnout.ts'
import { buildChildren, buildProduct, builtChild, makeFolder, rootFolder } from './folders.ts'
import { driveOwn, drivePeak } from './load/drive.ts'
import { pinSelf, readMachine } from './machine.ts'
import { readCpuProfile } from './measure/cpuProfile.ts'
import { measureWindow } from './measure/window.ts'
import { showTable } from './report/terminal.ts'
import { checkWork, closeStage, openStage, startContender } from './stage.ts'
import { works } from './work.ts'

const { values } = parseArgs({
  options: {
    work: { type: 'string', default: 'json' },
    seconds: { type: 'string', default: '5' },
    top: { type: 'string', default: '40' },
    /** Requests a second in an open model instead of as many as go through: what costs once a turn of the loop shows only so. */
    rate: { type: 'string' },
    bare: { type: 'boolean', default: false },
    /** Profiles the relay instead: the same table of the Node limit, to subtract in the mind. */
    relay: { type: 'boolean', default: false },
    build: { type: 'boolean', default: true },
  },
  allowNegative: true,
})

const main = async () => {
  const work = works.find(({ name }) => name === values.work)
  if (!work) throw new Error(`--work ${values.work}: known are ${works.map(({ name }) => name).join(', ')}`)
  if (values.build) buildProduct()
  await buildChildren()
  const machine = readMachine()
  pinSelf(machine)
  const folder = makeFolder('profile', true)
  const flags = ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=500']
  const profiledRelay: Contender = {
    ...relay,
    start: ({ port, upstreams }) =>
      start({
        name: 'relay',
        command: process.execPath,
        args: [...shippedFlags, ...flags, builtChild('contenders/relay'), String(port), JSON.stringify(upstreams)],
        core: machine.gatewayCore,
        machine,
      }),
  }
  const contender = values.relay
    ? profiledRelay
    : makeTurnout('profiled', '', values.bare ? [] : features, flags, unbundled)
  const stage = await openStage(machine, { seconds: 60 })
  try {
    const { running } = await startContender(stage, contender)
    await checkWork(stage, running, work)
    await drivePeak(stage, running, work, 12)
    const seconds = Number(values.seconds)
    const rate = Number(values.rate)
    const run = () =>
      values.rate === undefined
        ? drivePeak(stage, running, work, seconds)
        : driveOwn(stage, running, work, { mode: 'open', seconds, rate, connections: 128 })
    const { cpu, load } = await measureWindow(stage, running, { run })
    // The profile is written as the process ends.
    await running.child!.stop()
    const file = readdirSync(folder)
      .filter((name) => name.endsWith('.cpuprofile'))
      .map((name) => join(folder, name))
      // Worker threads write their own; the main thread's is the largest.
      .sort((a, b) => readFileSync(b).length - readFileSync(a).length)[0]
    if (!file) throw new Error('no profile was written: the process did not end by itself')
    const { functions, places, micros } = readCpuProfile(file, rootFolder)
    const each = (value: number) => ((value / micros) * (cpu! / load.completed)).toFixed(2)
    const share = (value: number) => `${((value / micros) * 100).toFixed(1)} %`
    console.log(
      `\n${work.title}: ${Math.round(load.completed / load.seconds)} requests/s under the profiler, ${(cpu! / load.completed).toFixed(1)} µs CPU each; ${relative(process.cwd(), file)}\n`,
    )
    const header = ['self time', 'share', 'µs/request', '']
    const rows = functions
      .slice(0, Number(values.top))
      .map(({ name, self }, i) => [String(i + 1), share(self), each(self), name])
    console.log(showTable({ title: 'functions', header, rows, notes: [] }))
    const placeRows = places.map(({ name, self }, i) => [String(i + 1), share(self), each(self), name])
    console.log(showTable({ title: 'by place', header, rows: placeRows.slice(0, 25), notes: [] }))
  } finally {
    await closeStage(stage)
  }
}

main().catch((error: Error) => {
  console.error(error.message)
  process.exit(1)
})
