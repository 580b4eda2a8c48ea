// The secret of an installation: what user ids are hashed with, so that the ledger can find a user's rows but not name the user.
import { createHmac, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { makeFolder } from '../makeFolder.ts'
import { StoreError } from './driver.ts'

const secretBytes = 32

/**
 * The secret: `TURNOUT_SECRET` where it is set (64 hex digits, or any text of at least 32 characters, which is hashed), else the file
 * `secret` in the data folder, made with mode 0600 at the first start. It must stay the same as long as hashes are to be found again.
 * Throws `StoreError` `secret`; never replaces a file that is there.
 */
export function loadSecret(dataDir: string, env: Readonly<Record<string, string | undefined>> = process.env): Buffer {
  return findSecret(dataDir, env) ?? makeSecret(join(dataDir, 'secret'))
}

/** The secret where there is one; makes none. Throws as `loadSecret` does. */
export function findSecret(dataDir: string, env: Readonly<Record<string, string | undefined>>): Buffer | undefined {
  const given = env.TURNOUT_SECRET
  return given !== undefined && given !== '' ? parseGiven(given) : readSecret(join(dataDir, 'secret'))
}

/** A user's hash: `u_` and 128 bits of HMAC-SHA-256, URL-safe. The same user of the same installation always has the same one. */
export function hashUser(secret: Buffer, user: string): string {
  return `u_${createHmac('sha256', secret).update('user\0').update(user).digest().subarray(0, 16).toString('base64url')}`
}

function parseGiven(given: string): Buffer {
  if (/^[0-9a-f]{64}$/i.test(given)) return Buffer.from(given, 'hex')
  if (given.length < secretBytes) {
    throw new StoreError(
      'secret',
      'TURNOUT_SECRET',
      `TURNOUT_SECRET is too short: give at least ${secretBytes} characters.`,
    )
  }
  return createHmac('sha256', 'turnout secret').update(given).digest()
}

function readSecret(file: string): Buffer | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new StoreError('secret', file, `The secret file ${file} cannot be read: ${(error as Error).message}.`, error)
  }
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new StoreError(
      'secret',
      file,
      `The secret file ${file} does not hold 64 hex digits. Restore it from a backup: a new one loses every user's rows.`,
    )
  }
  // Windows has no such modes.
  if (process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0) {
    throw new StoreError('secret', file, `The secret file ${file} can be read by others: run \`chmod 600 ${file}\`.`)
  }
  return Buffer.from(text, 'hex')
}

/** Written aside and linked: two processes that start at once agree on one secret, and a crash leaves no half of one. */
function makeSecret(file: string): Buffer {
  const aside = `${file}.${randomBytes(4).toString('hex')}`
  try {
    // The database, which makes the folder as a rule, may be in another.
    makeFolder(dirname(file))
    const handle = openSync(aside, 'wx', 0o600)
    try {
      writeSync(handle, `${randomBytes(secretBytes).toString('hex')}\n`)
      fsyncSync(handle)
    } finally {
      closeSync(handle)
    }
    try {
      linkSync(aside, file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    } finally {
      rmSync(aside, { force: true })
    }
  } catch (error) {
    throw new StoreError('secret', file, `The secret file ${file} cannot be made: ${(error as Error).message}.`, error)
  }
  const made = readSecret(file)
  if (!made) throw new StoreError('secret', file, `The secret file ${file} has vanished.`)
  return made
}
