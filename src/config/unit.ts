// Reads durations (`30s`, `10m`) and sizes (`20MB`) as numbers of milliseconds and bytes.

const milliseconds = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const
/** Powers of 1024 throughout: what every other limit on a body means by MB. */
const bytes = { b: 1, kb: 1024, kib: 1024, mb: 1024 ** 2, mib: 1024 ** 2, gb: 1024 ** 3, gib: 1024 ** 3 } as const

export const durationPattern = /^(\d+(?:\.\d+)?) ?(ms|s|m|h)?$/
export const sizePattern = /^(\d+(?:\.\d+)?) ?(B|[KMG]i?B)?$/i

/** Longest duration that Node's timers take: 2^31-1 ms, about 24.8 days. A longer one would fire at once. */
export const maxDuration = 2 ** 31 - 1

/** Milliseconds. A number is milliseconds already. Undefined if it is no duration. */
export function readDuration(value: number | string): number | undefined {
  if (typeof value === 'number') return value
  const match = durationPattern.exec(value)
  if (!match) return undefined
  return Math.round(Number(match[1]) * milliseconds[(match[2] ?? 'ms') as keyof typeof milliseconds])
}

/** Bytes. A number is bytes already. Undefined if it is no size. */
export function readSize(value: number | string): number | undefined {
  if (typeof value === 'number') return value
  const match = sizePattern.exec(value)
  if (!match) return undefined
  return Math.round(Number(match[1]) * bytes[(match[2] ?? 'b').toLowerCase() as keyof typeof bytes])
}

/** A duration in the largest unit that says it exactly. */
export function showDuration(value: number): string {
  if (value % milliseconds.m === 0) return `${value / milliseconds.m}m`
  return value % milliseconds.s === 0 ? `${value / milliseconds.s}s` : `${value}ms`
}

/** A size in the largest unit that says it exactly. */
export function showSize(value: number): string {
  if (value % bytes.mb === 0) return `${value / bytes.mb}MB`
  return value % bytes.kb === 0 ? `${value / bytes.kb}KB` : `${value}B`
}
