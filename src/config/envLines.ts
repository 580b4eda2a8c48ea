// Finds what an env file says in vain.

/** Name and equals sign; what follows is the value. */
const assignment = /^\s*(?:export\s+)?([^\s=#'"`]+)\s*=\s*/

/**
 * The text with nothing but what sets variables, and the numbers of the lines that are neither that nor a comment nor blank. The others
 * have to go before it is parsed: Node 20 takes such a line, and a line of spaces, for the beginning of the next one's name. It takes
 * tabs, and a second space behind `export`, for a part of the name, too, so that these go as well.
 */
export function withoutStrays(text: string): { text: string; strays: number[] } {
  const lines = text.split('\n')
  const strays: number[] = []
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!
    const found = assignment.exec(line)
    if (found) {
      const value = line.slice(found[0].length)
      lines[at] = `${found[1]}=${value}`
      at = lastLine(lines, at, value)
    } else {
      if (!/^\s*(?:#|$)/.test(line)) strays.push(at + 1)
      lines[at] = ''
    }
  }
  return { text: lines.join('\n'), strays }
}

/** Index of the line that a value ends on: one in quotes may have several. A quote that nothing closes is a character of the value. */
function lastLine(lines: readonly string[], at: number, value: string): number {
  const quote = /^["'`]/.exec(value)?.[0]
  if (quote === undefined || value.includes(quote, 1)) return at
  const end = lines.findIndex((line, index) => index > at && line.includes(quote))
  return end === -1 ? at : end
}
