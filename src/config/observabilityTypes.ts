// The resolved settings of log, traces and metrics.

export interface LogSettings {
  readonly level: string
  /** Whether request lines carry the client's address. */
  readonly clientAddress: boolean
  /** Undefined = standard output. */
  readonly file: string | undefined
  readonly format: 'auto' | 'json' | 'pretty'
  /** How the end user is named in the log and in traces. */
  readonly user: 'none' | 'ledger' | 'rotating'
  /** Milliseconds that a rotating salt lasts. */
  readonly userSaltTime: number
}

export interface TraceSettings {
  /** Undefined ids, no header, no row: as if there were no traces. */
  readonly enabled: boolean
  /** Share of traces that is kept, from 0 to 1. */
  readonly sample: number
  /** Milliseconds from which on a request is kept in any case. */
  readonly slow: number
  /** 0 = as long as the ledger. */
  readonly retentionHours: number
  readonly otlp: OtlpSettings | undefined
}

/** Where spans are sent. */
export interface OtlpSettings {
  readonly url: string
  /** URL of the proxy that it is reached through, its password included: never logged, never shown. */
  readonly proxy?: string | undefined
  readonly headers: Readonly<Record<string, string>>
}

export interface MetricsSettings {
  /** Undefined = whoever reaches the port may scrape. */
  readonly token: string | undefined
  /** Undefined = `/metrics` is on the main port. */
  readonly port: number | undefined
  readonly host: string
}
