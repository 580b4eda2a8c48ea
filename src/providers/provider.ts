// What a provider kind is: the facts about one vendor that everything else reads as data.
import type { DialectName, Quirk } from '../dialects/dialect.ts'
import { ownEntry } from '../dialects/field.ts'
import type { Refused } from './history.ts'

/** Options of one configured provider that its paths and addresses may depend on. */
export interface ProviderOptions {
  apiVersion?: string | undefined
}

export type StreamUsage = 'ask' | 'always' | 'never'

/** What a request calls the cap of its answer, in tokens. */
export const capNames = ['max_tokens', 'max_completion_tokens'] as const
export type CapName = (typeof capNames)[number]

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
  /** What the vendor's own SDKs put behind the address in those variables, whatever its path. */
  readonly sdkPath?: string
  /** Environment names of the key, first match wins. A provider with one of them set exists without a configuration file. */
  readonly keyEnv: readonly string[]
  /** Environment names of the API version, first match wins, for vendors that put one into the address. */
  readonly apiVersionEnv?: readonly string[]
  /** Whether it needs a key at all (local servers do not). */
  readonly keyless?: boolean
  /** The header that carries the key; `authorization` gets the `Bearer` scheme. */
  readonly keyHeader: 'authorization' | 'x-api-key' | 'api-key' | 'x-goog-api-key'
  /** How usage comes in streams: `ask` by `stream_options.include_usage`, `always` unasked, `never`. */
  readonly streamUsage: StreamUsage
  /** Overrides `streamUsage` where it depends on the configured options. */
  readonly streamUsageFor?: (options: ProviderOptions) => StreamUsage
  /** Client headers that may pass to it (lower case). Credentials and billing headers never. */
  readonly passHeaders?: readonly string[]
  /** Headers always sent. */
  readonly headers?: Readonly<Record<string, string>>
  readonly quirks?: readonly Quirk[]
  /** The only name under which a model takes the cap of its answer; undefined = it takes both. The other is an error to it, or passed over. */
  readonly capName?: (model: string) => CapName | undefined
  /** What a model answers an error to in a history that others have made; nothing unless given. */
  readonly refuses?: (model: string) => Refused
  /** Prefixes of bare model names that belong to it without doubt, for clients that send `gpt-…` with no provider. */
  readonly modelPrefixes?: readonly string[]
  /** Path of an OpenAI-chat call where it is not `/chat/completions`. `model` is already URL-encoded. */
  readonly chatPath?: (model: string, options: ProviderOptions) => string
  /** Path that lists models, where it is not `/models`: what `turnout doctor` asks for. Where anybody gets the list, one that needs the key. */
  readonly modelsPath?: (options: ProviderOptions) => string
  /** Headers without which the list is refused. */
  readonly modelsHeaders?: Readonly<Record<string, string>>
  /** Turns the address a user knows (a resource's endpoint) into a base URL. Must accept its own output. */
  readonly normalizeBaseUrl?: (url: string) => string
  /** A few current models, for listings and hints; never a limit. */
  readonly models?: readonly string[]
  /** Models with a published retirement date, ISO `YYYY-MM-DD`. A name without a release stands for all of its releases, too. */
  readonly sunsets?: Readonly<Record<string, string>>
}

/** What tells one release of a model from another, and the name that moves from one to the next. */
const release = /-(?:latest|\d{3,4}|\d{8}|\d{4}-\d\d-\d\d)$/

/** When the vendor retires a model, if that is known. */
export const sunsetOf = ({ sunsets = {} }: ProviderKind, model: string): string | undefined =>
  ownEntry(sunsets, model) ?? ownEntry(sunsets, model.replace(release, ''))

/**
 * The o-series and GPT-5 answer 400 to `max_tokens` (https://platform.openai.com/docs/guides/reasoning), fine-tuned or not. Not Azure's
 * usual `gpt-35-turbo`, nor a name that only begins so.
 */
export const capNameOfOpenAI = (model: string): CapName | undefined =>
  /^(ft:)?(o[1-9]|gpt-[5-9])(?!\d)/.test(model) ? 'max_completion_tokens' : undefined

/** OpenAI's older name, where the newer one is not among the parameters that the vendor's documentation lists. */
export const olderCapName = (): CapName => 'max_tokens'

/** Client headers that no provider may ever be sent: they carry credentials, or decide who pays. Lower case. */
export const neverPassed: readonly string[] = [
  'authorization',
  'proxy-authorization',
  'cookie',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
  'openai-organization',
  'openai-project',
]

/**
 * Completes an address that has no path, because vendors' own SDKs take their base URL without it and people set
 * `*_BASE_URL` for those. An address with a path is left alone; trailing slashes go. Accepts its own output.
 */
export const withPath =
  (path: string) =>
  (url: string): string => {
    const trimmed = url.replace(/\/+$/, '')
    return /^[a-z]+:\/\/[^/]+$/i.test(trimmed) ? trimmed + path : trimmed
  }
