// Which OpenAI encoding a model uses: our own map, because tiktoken's throws for every model newer than itself.
import type { EncodingName } from './worker.ts'

/**
 * Longest prefix wins. Only families whose encoding OpenAI has published (openai/tiktoken, `model.py`; for gpt-oss the harmony format,
 * whose text tokens are o200k_base): a guess must not be called exact.
 */
const prefixes: readonly [string, EncodingName][] = [
  ['gpt-5', 'o200k_base'],
  ['gpt-4.5', 'o200k_base'],
  ['gpt-4.1', 'o200k_base'],
  ['gpt-4o', 'o200k_base'],
  ['chatgpt-4o', 'o200k_base'],
  ['gpt-audio', 'o200k_base'],
  ['gpt-realtime', 'o200k_base'],
  ['gpt-oss', 'o200k_base'],
  ['codex-mini', 'o200k_base'],
  ['o1', 'o200k_base'],
  ['o3', 'o200k_base'],
  ['o4-mini', 'o200k_base'],
  ['gpt-4', 'cl100k_base'],
  ['gpt-3.5', 'cl100k_base'],
  ['gpt-35', 'cl100k_base'],
  ['text-embedding-3', 'cl100k_base'],
  ['text-embedding-ada-002', 'cl100k_base'],
  ['davinci-002', 'cl100k_base'],
  ['babbage-002', 'cl100k_base'],
  ['text-davinci-003', 'p50k_base'],
  ['text-davinci-002', 'p50k_base'],
].toSorted((a, b) => (b[0] as string).length - (a[0] as string).length) as [string, EncodingName][]

/** The encoding of a model, `provider/` and `ft:` prefixes allowed; undefined when it is not one of OpenAI's that we know. */
export function encodingOf(model: string): EncodingName | undefined {
  const name = model
    .toLowerCase()
    .replace(/^.*\//, '')
    .replace(/^openai\./, '')
    .replace(/^ft:/, '')
  for (const [prefix, encoding] of prefixes) {
    if (!name.startsWith(prefix)) continue
    const next = name[prefix.length]
    // `o1` must not take `o10`, nor `gpt-4` a future `gpt-45`.
    if (next === undefined || !/[a-z0-9]/.test(next) || (prefix === 'gpt-4' && next === 'o')) return encoding
  }
  return undefined
}
