// Exact decimal arithmetic for prices: decimal text to scaled integers and back, never through a float sum.

const shape = /^(\d+)(?:\.(\d+))?(?:e([+-]?\d{1,3}))?$/i

/**
 * A non-negative decimal (`"2.50"`, `1.25e-6`) as an integer of 10^-`scale`, rounded half up where it has more digits.
 * Numbers are read by their shortest decimal form, which is what the author of the price wrote: 0.1 means one tenth.
 * Throws RangeError for anything else (negative, infinite, text).
 */
export function parseDecimal(value: string | number, scale: number): bigint {
  const text = typeof value === 'number' ? String(value) : value.trim()
  const match = shape.exec(text)
  if (!match) throw new RangeError(`not a non-negative decimal: ${text.slice(0, 40)}`)
  const fraction = match[2] ?? ''
  const digits = BigInt(match[1] + fraction)
  const shift = scale - fraction.length + Number(match[3] ?? 0)
  if (shift >= 0) return digits * 10n ** BigInt(shift)
  return divideRound(digits, 10n ** BigInt(-shift))
}

/** An integer of 10^-`scale` as decimal text without trailing zeros: (1250000n, 6) is "1.25". */
export function formatDecimal(value: bigint, scale: number): string {
  const sign = value < 0n ? '-' : ''
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, '')
  return sign + (fraction ? `${whole}.${fraction}` : whole)
}

/** Nano-USD as USD text, for headers and reports: 1500000n is "0.0015". Accepts safe integers and bigints. */
export function formatUsd(nanoUsd: number | bigint): string {
  if (typeof nanoUsd === 'bigint' || !Number.isSafeInteger(nanoUsd) || nanoUsd < 0)
    return formatDecimal(BigInt(nanoUsd), 9)
  // Each reply says what it cost: without big integers and patterns that takes a fifth of the time.
  const rest = nanoUsd % 1e9
  const whole = String((nanoUsd - rest) / 1e9)
  if (rest === 0) return whole
  const digits = String(1e9 + rest)
  let end = digits.length
  while (digits.charCodeAt(end - 1) === 0x30) end--
  return `${whole}.${digits.slice(1, end)}`
}

/** Division of non-negative integers, rounded half up. */
export function divideRound(dividend: bigint, divisor: bigint): bigint {
  return (dividend * 2n + divisor) / (divisor * 2n)
}
