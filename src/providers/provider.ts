// What a provider kind is: the facts about one vendor that everything else reads as data.
import type { DialectName, Quirk } from '../dialects/dialect.ts'

/** Options of one configured provider that its paths and addresses may depend on. */
export interface ProviderOptions {
  apiVersion?: string | undefined
}

/** One vendor or kind of server. A file in this folder holds one; `index.ts` lists them. */
export interface ProviderKind {
  /** The name used in `provider/model` and as `kind:` in the configuration. */
  readonly name: string
  readonly title: string
  /** Wire formats it speaks, best first. */
  readonly dialects: readonly DialectName[]
  /** Base URL without a trailing slash; absent where there is no public one and it must be configured. */
  readonly baseUrl?: string
  /** Environment names that override the base URL, first match wins. */
  readonly baseUrlEnv?: readonly string[]
  /** Environment names of the key, first match wins. A provider with one of them set exists without a configuration file. */
  readonly keyEnv: readonly string[]
  /** Whether it needs a key at all (local servers do not). */
  readonly keyless?: boolean
  /** The header that carries the key; `authorization` gets the `Bearer` scheme. */
  readonly keyHeader: 'authorization' | 'x-api-key' | 'api-key' | 'x-goog-api-key'
  /** How usage comes in streams: `ask` by `stream_options.include_usage`, `always` unasked, `never`. */
  readonly streamUsage: 'ask' | 'always' | 'never'
  /** Client headers that may pass to it (lower case). Credentials and billing headers never. */
  readonly passHeaders?: readonly string[]
  /** Headers always sent. */
  readonly headers?: Readonly<Record<string, string>>
  readonly quirks?: readonly Quirk[]
  /** Prefixes of bare model names that belong to it without doubt, for clients that send `gpt-…` with no provider. */
  readonly modelPrefixes?: readonly string[]
  /** Path of an OpenAI-chat call where it is not `/chat/completions`. `model` is already URL-encoded. */
  readonly chatPath?: (model: string, options: ProviderOptions) => string
  /** Turns the address a user knows (a resource's endpoint) into a base URL. Must accept its own output. */
  readonly normalizeBaseUrl?: (url: string) => string
  /** A few current models, for listings and hints; never a limit. */
  readonly models?: readonly string[]
  /** Models with a published retirement date, ISO `YYYY-MM-DD`. */
  readonly sunsets?: Readonly<Record<string, string>>
}
