// The frozen form of alert rules and webhooks: resolved, with units read.

export type AlertScope = 'key' | 'team' | 'route' | 'target'

export type Severity = 'info' | 'warning' | 'critical'

/** What may be told, and where to. */
export interface WebhookSettings {
  readonly name: string
  /** Absolute. It may hold a secret: never logged, never shown. */
  readonly url: string
  /** URL of the proxy that it is reached through, its password included: never logged, never shown. */
  readonly proxy?: string | undefined
  /** What bodies are signed with: more than one while a receiver moves from an old to a new one. Never shown. */
  readonly secrets: readonly string[]
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds for one attempt. */
  readonly timeout: number
  /** Attempts in all, the first included. */
  readonly attempts: number
  /** Milliseconds before the second attempt; three times as long before each further one. */
  readonly retryDelay: number
}

interface RuleBase {
  /** Stable across swaps and restarts: live state hangs on it. */
  readonly name: string
  readonly severity: Severity
  /** Names of webhooks; none = log and metric only. */
  readonly channels: readonly string[]
  /** Milliseconds after a message during which none is sent again for the same thing. */
  readonly cooldown: number
}

interface Watched {
  /** Each of these by itself; undefined = all together. */
  readonly per: AlertScope | undefined
  /** Only what has these names. */
  readonly only: Readonly<Partial<Record<AlertScope, string>>>
}

export type AlertWindow = 'hour' | 'day'

/** Money is integer nano-USD. */
export type AlertSettings = RuleBase &
  (
    | ({ readonly kind: 'spend'; readonly window: AlertWindow; readonly nano: number } & Watched)
    /** More than `nano` a request, of at least `minRequests`. */
    | ({
        readonly kind: 'average'
        readonly window: AlertWindow
        readonly nano: number
        readonly minRequests: number
      } & Watched)
    /** More than `percent` of the spending or the requests of `only`, which are at least `minNano` and `minRequests`. */
    | {
        readonly kind: 'share'
        readonly of: 'spend' | 'requests'
        readonly window: AlertWindow
        readonly scope: 'target' | 'route'
        readonly part: string
        readonly only: Watched['only']
        readonly percent: number
        readonly minNano: number
        readonly minRequests: number
      }
    /** More than `times` what the same hour cost yesterday, and at least `minNano`. */
    | ({ readonly kind: 'spike'; readonly times: number; readonly minNano: number } & Watched)
    /** A budget passed one of `percents`, ascending. `budgets` undefined = all. */
    | { readonly kind: 'budget'; readonly budgets: readonly string[] | undefined; readonly percents: readonly number[] }
  )

export type AlertKind = AlertSettings['kind']
