// A disk that really is full: a small file system of its own, or, where mounting is not permitted, a limit on the size of files.
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Disk {
  /** A limit makes writes fail with EFBIG, which SQLite calls an input/output error; a file system with ENOSPC, which it calls full. */
  readonly kind: 'file system' | 'limit'
  readonly folder: string
  /** Leaves no byte of room to the process, now or when it starts. */
  fill(pid: number | undefined): void
  free(pid: number | undefined): void
  /** What a process must be started under to see the disk as it is. */
  under(): readonly string[]
  /** Call when nobody has a file open on it any more. */
  remove(): void
}

/** @param files what the program writes to, by name: with a limit these may not grow */
export function makeDisk(files: readonly string[]): Disk {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-disk-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m,mode=0700', 'none', folder]).status === 0
  return mounted ? mountedDisk(folder) : limitedDisk(folder, files)
}

function mountedDisk(folder: string): Disk {
  const filler = join(folder, 'filler')
  return {
    kind: 'file system',
    folder,
    fill() {
      const handle = openSync(filler, 'a')
      try {
        for (const block of [Buffer.alloc(65_536), Buffer.alloc(4096), Buffer.alloc(1)]) fillWith(handle, block)
      } finally {
        closeSync(handle)
      }
    },
    free: () => rmSync(filler, { force: true }),
    under: () => [],
    remove() {
      const { status, stderr } = spawnSync('umount', [folder], { encoding: 'utf8' })
      if (status !== 0) throw new Error(`${folder} cannot be unmounted: ${stderr}`)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function fillWith(handle: number, block: Buffer): void {
  try {
    while (writeSync(handle, block) === block.length);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}

function limitedDisk(folder: string, files: readonly string[]): Disk {
  let limit: number | undefined
  const apply = (pid: number | undefined): void => {
    if (pid === undefined) return
    const { status, stderr } = spawnSync(
      'prlimit',
      ['--pid', String(pid), `--fsize=${limit ?? 'unlimited'}:unlimited`],
      {
        encoding: 'utf8',
      },
    )
    if (status !== 0) throw new Error(`Neither mounting nor prlimit works here: ${stderr}`)
  }
  const sizeOf = (name: string): number => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0
  return {
    kind: 'limit',
    folder,
    fill(pid) {
      limit = Math.max(...files.map(sizeOf))
      apply(pid)
    },
    free(pid) {
      limit = undefined
      apply(pid)
    },
    under: () => (limit === undefined ? [] : ['prlimit', `--fsize=${limit}:unlimited`]),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
