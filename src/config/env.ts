// Reads env files and lays the process environment over them, without ever writing to it.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import type { Env } from './interpolation.ts'
import { ConfigError } from './problem.ts'

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
}

/**
 * Reads `.env` (if there is one) and the named file. May be called again at any time: a running process's environment cannot
 * be changed from outside, its files can. Throws `ConfigError` when the named file cannot be read.
 */
export function readEnv({ processEnv, envFile, cwd = process.cwd() }: EnvSources): MergedEnv {
  const files: string[] = []
  const merged: Record<string, string | undefined> = Object.create(null)
  for (const [path, required] of [
    [resolve(cwd, '.env'), false],
    [envFile === undefined ? undefined : resolve(cwd, envFile), true],
  ] as const) {
    if (path === undefined) continue
    let text: string
    try {
      text = readFileSync(path, 'utf8')
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code
      if (!required && (code === 'ENOENT' || code === 'EISDIR')) continue
      throw new ConfigError([{ path: '', line: 0, column: 0, message: `cannot be read: ${code}` }], path)
    }
    Object.assign(merged, parseEnv(text.replace(/^\uFEFF/, '')))
    files.push(path)
  }
  for (const [name, value] of Object.entries(processEnv)) if (value !== undefined) merged[name] = value
  return { env: merged, files }
}

/** The first of `names` that is set and not blank. Blank counts as unset: that is what a forwarded, unset variable looks like. */
export function firstSet(env: Env, names: readonly string[]): { name: string; value: string } | undefined {
  for (const name of names) {
    const value = env[name]?.trim()
    if (value) return { name, value }
  }
  return undefined
}
