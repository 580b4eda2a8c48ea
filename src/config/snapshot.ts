// The frozen form of a configuration that requests run on: everything resolved, nothing left to look up.
import type { DialectName, Quirk } from '../dialects/dialect.ts'
import type { Prices } from '../pricing/priceSchema.ts'
import type { ForeignField } from '../providers/history.ts'
import type { CapName, ProviderKind, StreamUsage } from '../providers/provider.ts'
import type { AlertSettings, WebhookSettings } from './alertTypes.ts'
import type { CacheSettings, RouteCache } from './cacheSettings.ts'
import type { AccessSettings, BudgetSettings, LimitSettings, TeamLimits } from './limitTypes.ts'
import type { LogSettings, MetricsSettings, TraceSettings } from './observabilityTypes.ts'
import type { CanarySetting, RolloutDefinition } from './rolloutTypes.ts'

/** A configured provider: a kind plus address and credentials. */
export interface Provider {
  readonly name: string
  readonly kind: ProviderKind
  readonly dialect: DialectName
  /** Scheme, host and port: the pool's key. */
  readonly origin: string
  /** Path part of the base URL, without a trailing slash. */
  readonly basePath: string
  /** URL of the proxy that calls go through, its password included: never logged, never shown. */
  readonly proxy?: string | undefined
  readonly apiKey: string | undefined
  /** Where the key came from: the name of an environment variable, or `file`. */
  readonly keyFrom?: string | undefined
  readonly apiVersion: string | undefined
  /** All static headers of a call, credentials included, lower-case names. Never logged. */
  readonly headers: Readonly<Record<string, string>>
  readonly passHeaders: readonly string[]
  readonly streamUsage: StreamUsage
  /** The only name that its models take for the cap of an answer; undefined = what is known of the kind. */
  readonly capName: CapName | undefined
  /** What is left out of a client's messages for it; undefined = what is known of the kind. */
  readonly refusedFields: readonly ForeignField[] | undefined
  readonly quirks: readonly Quirk[]
  /** Whether another target may be tried when one of this provider fails. */
  readonly fallback: boolean
}

/** Milliseconds. `firstToken` and `idle` look at generated content only: keep-alive comments are not progress. */
export interface Timeouts {
  readonly connect: number
  readonly firstToken: number
  readonly idle: number
  readonly total: number
}

/** One callable thing. `id` is stable across swaps: live state hangs on it. */
export interface Target {
  readonly id: string
  readonly provider: Provider
  /** `*` = the name the client sent. */
  readonly model: string
  /** Parameters forced on every request, by wire name. */
  readonly params: Readonly<Record<string, unknown>> | undefined
  /** Text that stands before the client's messages, as the operator's own system message. Never logged. */
  readonly systemPrefix?: string | undefined
  /** What is left out comes from the route. One id may thus stand in two routes with different limits. */
  readonly timeouts: Timeouts
  readonly breaker: BreakerSettings
  /** Day on which the provider retires the model, `YYYY-MM-DD`, if known. */
  readonly sunset?: string | undefined
}

/** When and how often the same target is asked again. Milliseconds. */
export interface RetrySettings {
  /** Calls to one target in all, the first included. */
  readonly attempts: number
  readonly baseDelay: number
  readonly maxDelay: number
  /** Retries as a share of requests. */
  readonly budget: number
}

/** When a target is left alone. Milliseconds; the fields are those of `state/breaker.ts`. */
export interface BreakerSettings {
  readonly failures: number
  readonly percent: number
  readonly volume: number
  readonly window: number
  readonly openFor: number
  readonly unhealthyFor: number
  readonly autoDisableAfter: number
}

export interface Route {
  readonly name: string
  /** Best first: the order in which the `ordered` policy tries them. */
  readonly targets: readonly Target[]
  readonly policy: 'ordered'
  readonly timeouts: Timeouts
  /** Milliseconds of healthy waiting after which a stream is committed although nothing was generated yet. */
  readonly commitAfter: number
  /** What happens to a request whose history holds tool arguments that are not JSON. */
  readonly toolArguments: 'check' | 'pass'
  readonly retries: RetrySettings
  /** Whether another target is tried when one fails. */
  readonly fallback: boolean
  /** Tried when a target says that the prompt is too long for it, or that its policy forbids it. */
  readonly onContextWindow: readonly Target[]
  readonly onContentPolicy: readonly Target[]
  /** What a client gets when all targets failed: the error, or an answer with `failureMessage`, marked as one. */
  readonly onAllFailed: 'error' | 'message'
  readonly failureMessage: string
  /** Whether a client's `models` is a chain of its own. */
  readonly clientModels: boolean
  /** A parameter that a target cannot take is a 400. */
  readonly strict: boolean
  /** Put the cost into the usage of replies, also where the client does not ask for it. */
  readonly usageCost: boolean
  /** Where a percentage of it goes unless an operator has said otherwise. */
  readonly canary: CanarySetting | undefined
  /** Undefined = answers are not kept. */
  readonly cache: RouteCache | undefined
  /** Its own, beside the snapshot's. */
  readonly limits: readonly LimitSettings[]
  readonly budgets: readonly BudgetSettings[]
  /** True for `provider/model` and bare names that no configured route has. */
  readonly implicit: boolean
}

export interface ApiKey {
  readonly name: string
  /** Of a virtual key, and given once: its name may be another key's when it is gone. */
  readonly id?: number | undefined
  /** Of a virtual key, Unix milliseconds: a database that was put back gives numbers again that were another key's. */
  readonly createdAt?: number | undefined
  /** Of a key of the file: SHA-256 of its secret. Another may have its name later. Never shown. */
  readonly digest?: string | undefined
  readonly team?: string | undefined
  /** `app` calls models; the others may also operate Turnout, each more than the one before. */
  readonly role: 'app' | 'viewer' | 'responder' | 'operator' | 'admin'
  readonly tags?: Readonly<Record<string, string>> | undefined
  /** Names and patterns that may be asked for as `model`; undefined = all. */
  readonly routes?: readonly string[] | undefined
  /** `provider/model` names and patterns that may serve it, checked on every hop; undefined = all. */
  readonly models?: readonly string[] | undefined
  /** Its own, beside the snapshot's and its team's. */
  readonly limits?: readonly LimitSettings[] | undefined
  readonly budgets?: readonly BudgetSettings[] | undefined
  /** Unix milliseconds. */
  readonly expiresAt?: number | undefined
  readonly disabled?: boolean | undefined
  /** The end user that a signed token speaks for. Where it is set, what the request says of its user counts for nothing. */
  readonly user?: string | undefined
}

/** What signed tokens are judged by. The algorithm follows from the key and is the only one that is taken. */
export interface JwtJudge {
  readonly algorithm: 'HS256' | 'RS256' | 'ES256' | 'EdDSA'
  /** The secret of HS256, else a public key in PEM. Never shown. */
  readonly key: string
}

/** How signed tokens of the admin API are judged. */
export interface JwtSettings extends JwtJudge {
  readonly audience: string
  readonly issuer: string | undefined
}

/** How signed tokens of end users are judged, and which key each of them stands for. They call models and never operate Turnout. */
export interface ClientJwtSettings {
  /** One key, or where the issuer's key set is: an URL or the path of a file. */
  readonly judge: JwtJudge | { readonly jwks: string; readonly proxy?: string | undefined }
  readonly audience: string
  readonly issuer: string | undefined
  /** Milliseconds by which the issuer's clock may differ. */
  readonly clockTolerance: number
  /** Names of claims. `key` holds the name of a key, of the file or virtual; `user` has to be there. */
  readonly claims: { readonly key: string | undefined; readonly team: string | undefined; readonly user: string }
  /** What tokens stand for that name no key: another key by its name, or one of their own. Undefined = they are refused. */
  readonly standIn: string | ApiKey | undefined
}

export interface ServerSettings {
  readonly port: number
  readonly host: string
  /** Bytes. */
  readonly maxBodyBytes: number
  readonly maxReplyBytes: number
  readonly maxJsonDepth: number
  readonly maxJsonValues: number
  readonly maxMessages: number
  readonly maxHops: number
  /** Milliseconds. */
  readonly keepAliveTimeout: number
  readonly headersTimeout: number
  readonly bodyTimeout: number
  readonly sendTimeout: number
  readonly drainDelay: number
  readonly drainTimeout: number
  /** CIDR ranges whose `x-forwarded-for` is believed. */
  readonly trustedProxies: readonly string[]
  readonly corsOrigins: readonly string[]
  /** Sockets per upstream origin. */
  readonly connectionsPerOrigin: number
}

export interface LedgerSettings {
  /** Path of the database. */
  readonly file: string
  readonly mode: 'process' | 'power' | 'relaxed'
  /** What becomes of requests that cannot be recorded. */
  readonly onFailure: 'refuse' | 'serve'
  /** Days that rows of single requests are kept; daily sums stay. 0 = for ever. */
  readonly retentionDays: number
  /** Rows a second that refused requests of one key may write; 0 = as many as come. */
  readonly refusalsPerSecond: number
}

/** One whole configuration: validated, frozen, versioned. A request holds one reference and never looks at another. */
export interface Snapshot {
  readonly version: number
  /** SHA-256 of the document before interpolation, first 12 hex digits. */
  readonly hash: string
  readonly source: 'file' | 'environment'
  /** The operator's one switch: every route goes to its first target, without fallback, policy, cache or rollout. */
  readonly bypass: boolean
  /** For targets that are in no configuration: those of implicit routes. */
  readonly breaker: BreakerSettings
  /** The same for the retries of implicit routes. */
  readonly retries: RetrySettings
  readonly server: ServerSettings
  /** Undefined = tokens are not taken. */
  readonly jwt: JwtSettings | undefined
  /** The same for clients. */
  readonly clientJwt: ClientJwtSettings | undefined
  readonly log: LogSettings
  readonly metrics: MetricsSettings
  readonly trace: TraceSettings
  readonly dataDir: string
  readonly ledger: LedgerSettings
  readonly cache: CacheSettings
  /** The operator's own prices, which win over all others. */
  readonly prices: Prices
  readonly providers: ReadonlyMap<string, Provider>
  /** Every target of the configuration by id, with the limits that it has outside of any route. */
  readonly targets: ReadonlyMap<string, Target>
  /** Every configured route by name, patterns included. */
  readonly routes: ReadonlyMap<string, Route>
  /** Routes whose name is a pattern, most specific first. */
  readonly patterns: readonly { readonly pattern: RegExp; readonly route: Route }[]
  /** For all requests that they concern; keys, teams and routes bring their own along. */
  readonly limits: readonly LimitSettings[]
  readonly budgets: readonly BudgetSettings[]
  readonly teams: ReadonlyMap<string, TeamLimits>
  readonly access: AccessSettings
  /** Who is told of events, by name. */
  readonly webhooks: ReadonlyMap<string, WebhookSettings>
  readonly alerts: readonly AlertSettings[]
  /** Moves of traffic in steps, by name: what the file says of them, not where they stand. */
  readonly rollouts: ReadonlyMap<string, RolloutDefinition>
  /** `provider/model` and well-known bare names are accepted as implicit routes. */
  readonly directModels: boolean
  /** By SHA-256 (hex) of the key. Empty = no keys: loopback only. */
  readonly keys: ReadonlyMap<string, ApiKey>
}
