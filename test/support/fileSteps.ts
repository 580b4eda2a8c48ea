// Stands before each change that a process makes to the files of a folder: looks at the folder there, or kills the process.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { resolve } from 'node:path'

const changing = ['copyFileSync', 'mkdirSync', 'renameSync', 'rmSync', 'writeFileSync'] as const

/** From now on calls `before` ahead of each change; what `before` does itself is none. */
export function watchSteps(folder: string, before: (step: number, what: string) => void): void {
  const inside = `${resolve(folder)}/`
  let step = 0
  let looking = false
  for (const name of changing) {
    const real = fs[name] as (...args: unknown[]) => unknown
    const watched = (...args: unknown[]): unknown => {
      const touches = args.some((arg) => typeof arg === 'string' && resolve(arg).startsWith(inside))
      if (touches && !looking) {
        looking = true
        try {
          before(step++, `${name} ${args.slice(0, 2).map(String).join(' ')}`)
        } finally {
          looking = false
        }
      }
      return real(...args)
    }
    Object.assign(fs, { [name]: watched })
  }
  syncBuiltinESMExports()
}

// As a module that Node loads first: the process dies before the step that the environment names, as by `kill -9`.
const { KILL_FOLDER, KILL_BEFORE } = process.env
if (KILL_FOLDER !== undefined && KILL_BEFORE !== undefined) {
  watchSteps(KILL_FOLDER, (_, what) => {
    if (new RegExp(KILL_BEFORE).test(what)) process.kill(process.pid, 'SIGKILL')
  })
}
