// A line of the log for human eyes: what a terminal shows in place of JSON.
import { terminalControls } from './terminalControls.ts'

/** https://no-color.org; a dumb terminal prints escape sequences instead of obeying them. */
const isPlain = Boolean(process.env.NO_COLOR) || process.env.TERM === 'dumb'
const paint = (code: number): string => (isPlain ? '' : `\x1b[${code}m`)

const colors: Readonly<Record<string, string>> = {
  debug: paint(90),
  info: paint(32),
  warn: paint(33),
  error: paint(31),
  fatal: paint(31),
}
const dim = paint(2)
const plain = paint(0)

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
  const head = `${dim}${String(time).slice(11, 23)}${plain} ${color}${String(level).padEnd(5)}${plain} ${String(msg).replace(terminalControls, '?')}`
  return `${[head, ...facts].join(' ')}\n`
}

/** Escaped, so that a value cannot move the cursor or make a line of its own. */
function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return /^[\x21-\x7e]+$/.test(text) ? text : JSON.stringify(text).replace(terminalControls, '?')
}
