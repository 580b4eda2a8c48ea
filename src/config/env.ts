// Reads env files and lays the process environment over them, without ever writing to it.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { withoutStrays } from './envLines.ts'
import type { Env } from './interpolation.ts'
import { ConfigError, type ConfigProblem } from './problem.ts'

export interface EnvSources {
  /** The environment that wins over every file. */
  processEnv: Env
  /** A file named by the operator (`--env-file`): wins over `.env`, and has to exist. */
  envFile?: string | undefined
  /** Where `.env` is looked for. */
  cwd?: string | undefined
}

export interface MergedEnv {
  env: Env
  /** The files that were read, absolute. */
  files: string[]
  /** Lines of them that set nothing. */
  warnings: ConfigProblem[]
}

const strayLine = 'is no NAME=value and no comment: the line sets nothing'

/**
 * Reads `.env` (if there is one) and the named file. May be called again at any time: a running process's environment cannot
 * be changed from outside, its files can. Throws `ConfigError` when the named file cannot be read.
 */
export function readEnv({ processEnv, envFile, cwd = process.cwd() }: EnvSources): MergedEnv {
  const files: string[] = []
  const warnings: ConfigProblem[] = []
  const merged: Record<string, string | undefined> = Object.create(null)
  for (const [file, required] of [
    ['.env', false],
    [envFile, true],
  ] as const) {
    if (file === undefined) continue
    const path = resolve(cwd, file)
    if (files.includes(path)) continue
    let text: string
    try {
      text = readFileSync(path, 'utf8')
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code
      if (!required && (code === 'ENOENT' || code === 'EISDIR')) continue
      throw new ConfigError([{ path: '', line: 0, column: 0, message: `cannot be read: ${code}` }], path)
    }
    const sound = withoutStrays(text.replace(/^\uFEFF/, ''))
    Object.assign(merged, parseEnv(sound.text))
    // Without its text: it may be half of a secret.
    for (const line of sound.strays) warnings.push({ path: '', file, line, column: 1, message: strayLine })
    files.push(path)
  }
  for (const [name, value] of Object.entries(processEnv)) if (value !== undefined) merged[name] = value
  return { env: merged, files, warnings }
}

/** The first of `names` that is set and not blank. Blank counts as unset: that is what a forwarded, unset variable looks like. */
export function firstSet(env: Env, names: readonly string[]): { name: string; value: string } | undefined {
  for (const name of names) {
    const value = env[name]?.trim()
    if (value) return { name, value }
  }
  return undefined
}
