// A line of the log for human eyes: what a terminal shows in place of JSON.

const colors: Readonly<Record<string, string>> = {
  debug: '\x1b[90m',
  info: '\x1b[32m',
  warn: '\x1b[33m',
  error: '\x1b[31m',
  fatal: '\x1b[31m',
}
const dim = '\x1b[2m'
const plain = '\x1b[0m'

/** A reason that somebody gave stands in some messages. */
const orders = /\p{Cc}/gu

/** @param json one line as it would stand in a file; what is no JSON stays as it is */
export function prettyLine(json: string): string {
  let said: Record<string, unknown>
  try {
    said = JSON.parse(json)
  } catch {
    return json
  }
  const { level, time, msg, ...rest } = said
  const facts = Object.entries(rest).map(([name, value]) => `${dim}${name}=${plain}${shown(value)}`)
  const color = colors[String(level)] ?? ''
  const head = `${dim}${String(time).slice(11, 23)}${plain} ${color}${String(level).padEnd(5)}${plain} ${String(msg).replace(orders, '?')}`
  return `${[head, ...facts].join(' ')}\n`
}

/** Escaped, so that a value cannot move the cursor or make a line of its own. */
function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return /^[\x21-\x7e]+$/.test(text) ? text : JSON.stringify(text).replace(/[\x7f-\x9f]/g, '?')
}
