// A live configuration over a real file and a real database in a folder of its own, which can be restarted.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readEnv } from '../../src/config/env.ts'
import { type Live, type LiveEvent, type LiveOptions, startLive } from '../../src/config/live.ts'
import { parseConfig, readText } from '../../src/config/load.ts'
import type { Actor } from '../../src/config/memory.ts'
import { createRedactor } from '../../src/config/redaction.ts'
import type { Snapshot } from '../../src/config/snapshot.ts'
import { openConfigVersions } from '../../src/store/configVersions.ts'
import { openStore, type Store } from '../../src/store/open.ts'

export interface LiveHolder {
  readonly folder: string
  readonly file: string
  readonly envFile: string
  readonly store: Store
  readonly live: Live
  readonly events: LiveEvent[]
  /** Every snapshot that was swapped in. */
  readonly swaps: Snapshot[]
  write(text: string): void
  /** As a new process would start, with what the database has. */
  restart(): Promise<Live>
  close(): void
}

export const operator: Actor = { name: 'on-call', role: 'operator' }

export async function holdLive(
  text: string,
  more: Partial<LiveOptions> & { env?: string; database?: boolean; processEnv?: Record<string, string> } = {},
): Promise<LiveHolder> {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-live-'))
  const file = join(folder, 'turnout.yaml')
  const envFile = join(folder, 'more.env')
  writeFileSync(file, text)
  writeFileSync(envFile, more.env ?? '')
  const events: LiveEvent[] = []
  const swaps: Snapshot[] = []
  const { env: _, database: __, processEnv = {}, ...options } = more
  let store = openStore({ file: join(folder, 'turnout.db') })
  const read = () => {
    const { env, warnings } = readEnv({ processEnv, envFile, cwd: folder })
    return { file, env, text: readText(file, env), envWarnings: warnings }
  }
  /** As a process does: it has to parse its configuration to know where its database is. */
  const start = async (): Promise<Live> => {
    const first = (options.read ?? read)()
    const loaded = parseConfig(first.text, { ...first, version: 1, overrides: options.overrides })
    return startLive({
      read,
      first: { base: first, loaded },
      memory: openConfigVersions(store),
      redactor: createRedactor('pepper'),
      swap: (next) => void swaps.push(next),
      told: (event) => void events.push(event),
      ...options,
    })
  }
  let live = await start()
  return {
    folder,
    file,
    envFile,
    get store() {
      return store
    },
    get live() {
      return live
    },
    events,
    swaps,
    write: (next) => writeFileSync(file, next),
    async restart() {
      store.close()
      store = openStore({ file: join(folder, 'turnout.db') })
      live = await start()
      return live
    },
    close() {
      store.close()
      rmSync(folder, { recursive: true })
    },
  }
}
