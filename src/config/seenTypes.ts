// How a configuration says that Turnout is watched, resolved.

export interface MetricsSettings {
  /** Undefined = whoever reaches the port may scrape. */
  readonly token: string | undefined
  /** Undefined = `/metrics` is on the main port. */
  readonly port: number | undefined
  readonly host: string
}
