// Notices that files have changed: by polling, because events get lost over network mounts, ConfigMap links and editors that rename.
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

export interface WatchOptions {
  /** Files that may be absent, now or later. */
  readonly files: readonly string[]
  /** Called after the content of a file has changed and stands still. It is waited for, and must not throw. */
  changed(file: string): unknown
  /** Milliseconds between two looks. */
  readonly interval?: number
  /** Milliseconds that a changed content must stand still: an editor may be in the middle of writing it. */
  readonly settle?: number
  /** Waits; tests hand in their own. */
  readonly pause?: (ms: number) => Promise<unknown>
}

const unheld = (ms: number): Promise<unknown> => sleep(ms, undefined, { ref: false })

export interface Watch {
  /** Looks now; resolves when everything that had changed was told of. */
  look(): Promise<void>
  /** Resolves when no call is under way any more. */
  stop(): Promise<void>
}

/** Looks into the file although its attributes are the same, every so many times: not every file system tells the truth. */
const anyway = 15

interface Seen {
  attributes: string
  /** Of the content; empty for a file that is not there. */
  hash: string
  /** Looks since the content was read. */
  looks: number
}

/** Takes the files as they are now for known. Does not keep the process alive. */
export async function startWatch({
  files,
  changed,
  interval = 1000,
  settle = 100,
  pause = unheld,
}: WatchOptions): Promise<Watch> {
  const seen = new Map<string, Seen>()
  for (const file of files) seen.set(file, { attributes: await attributesOf(file), hash: await hashOf(file), looks: 0 })
  let looking: Promise<void> = Promise.resolve()
  let stopped = false

  async function lookAt(file: string, known: Seen): Promise<void> {
    let attributes = await attributesOf(file)
    if (attributes === known.attributes && ++known.looks < anyway) return
    let hash = await hashOf(file)
    for (let still = known.hash; hash !== still && hash !== known.hash; ) {
      still = hash
      await pause(settle)
      if (stopped) return
      // Before the content: a write in between is then seen at the next look.
      attributes = await attributesOf(file)
      hash = await hashOf(file)
    }
    const before = known.hash
    Object.assign(known, { attributes, hash, looks: 0 })
    // Gone for now: an editor is about to rename another into its place, or somebody has taken it away. There is nothing to read.
    if (hash !== before && hash !== '') await changed(file)
  }

  let busy = false
  function look(): Promise<void> {
    looking = looking.then(async () => {
      busy = true
      try {
        for (const [file, known] of seen) if (!stopped) await lookAt(file, known)
      } finally {
        busy = false
      }
    })
    return looking
  }

  const timer = setInterval(() => {
    if (!busy) void look()
  }, interval)
  timer.unref()
  return {
    look,
    async stop() {
      stopped = true
      clearInterval(timer)
      await looking
    },
  }
}

/** Changes with every write and every rename, also where a link on the way points elsewhere. */
async function attributesOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = await stat(file)
    return `${dev}:${ino}:${size}:${mtimeMs}:${ctimeMs}`
  } catch {
    return ''
  }
}

async function hashOf(file: string): Promise<string> {
  try {
    // A pipe would hold one of the few threads that read files until somebody writes to it.
    if (!(await stat(file)).isFile()) return ''
    return createHash('sha256')
      .update(await readFile(file))
      .digest('hex')
  } catch {
    return ''
  }
}
