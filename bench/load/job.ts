// What a load generator is told and what it says back.

export interface Job {
  /**
   * `closed`: each connection sends again when its reply is complete. `open`: sends at fixed times whatever comes back.
   * `hold`: each connection has one stream open; says `held` when all have begun.
   */
  readonly mode: 'closed' | 'open' | 'hold'
  readonly port: number
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly bodyFile: string
  /** The bytes that each reply must have, or no such file: then only its status is looked at. */
  readonly replyFile: string | undefined
  /** Replies have ids and times of a gateway's making. */
  readonly varies: boolean
  readonly connections: number
  readonly seconds: number
  /** In mode `open`: seconds before them whose replies are judged, and no part of the latencies. */
  readonly lead: number
  /** Requests per second, in mode `open`. */
  readonly rate: number
  /** Stop sending after so many requests in mode `closed`; 0 = by time alone. */
  readonly requests: number
}

export interface LoadResult {
  completed: number
  /** Replies with another status, other bytes, or none at all. */
  wrong: number
  /** One text per kind of failure. */
  failures: Record<string, number>
  /** From the first send to the last reply. */
  seconds: number
  bytes: number
  /** Microseconds from the intended time of sending to the last byte, one per reply after the lead. */
  latency: number[]
  /** The same to the first byte of the body. */
  firstByte: number[]
  /** How late requests were sent, microseconds: the generator's own fault, 99th percentile. */
  lagP99: number
}

/** Parses the last `result {…}` line of a load's output. */
export const parseResult = (output: string, name: string): unknown => {
  const line = output.split('\n').findLast((text) => text.startsWith('result '))
  if (!line) throw new Error(`${name} gave no result: ${output.slice(-500)}`)
  return JSON.parse(line.slice(7))
}
