// Finds the shared read-only test data beside the repository, and says loudly when it is missing.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../shared', import.meta.url))

/** Whether the shared data is there. In CI it must be: its absence there is an error, not a skip. */
export const hasShared = existsSync(root)

if (!hasShared && process.env.CI === 'true') throw new Error('../shared is required in CI and is not there')

/** Absolute path of a file of the shared data. */
export const sharedPath = (...parts: string[]): string => [root, ...parts].join('/')

/** Put into the name of a suite that needs the shared data, so that a skip says why. */
export const needsShared = hasShared ? '' : ' (skipped: ../shared is not there)'

export type RecordedWire =
  | 'openai-chat'
  | 'openai-responses'
  | 'openai-completions'
  | 'anthropic-messages'
  | 'gemini'
  | 'embeddings'
  | 'other'

/** One recorded exchange. Bodies are text; `base64` marks response bodies that are not. */
export interface Recording {
  source: string
  request: { method: string; url: string; headers: Record<string, string>; body?: string }
  response: { status: number; headers: Record<string, string>; body: string; base64?: boolean }
}

/** All recordings of a wire, in the file's order. Throws where the data is absent: ask `hasShared` first. */
export function readRecordings(wire: RecordedWire): Recording[] {
  const text = readFileSync(sharedPath('recordings', `${wire}.ndjson`), 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Recording)
}
