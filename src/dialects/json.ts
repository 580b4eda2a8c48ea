// Says where JSON text stops being JSON, without quoting it: engines' own messages carry pieces of the prompt.
import { parseJsonText } from './depth.ts'

/** A message with the position of the first syntax error of `text`. Linear, never recurses. */
export function syntaxErrorOf(text: string): string {
  const at = firstErrorOf(text)
  if (at >= text.length) return 'The body is not valid JSON: it ends too early.'
  let line = 1
  let lineStart = 0
  for (let i = text.indexOf('\n'); i !== -1 && i < at; i = text.indexOf('\n', i + 1)) {
    line++
    lineStart = i + 1
  }
  return `The body is not valid JSON: syntax error at line ${line}, column ${at - lineStart + 1}.`
}

const space = /[ \t\r\n]*/y
const scalar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y

/** The offset of the first character that cannot be there; the length when the text is only too short. Grammar: RFC 8259. */
function firstErrorOf(text: string): number {
  const open: ('{' | '[')[] = []
  let at = 0
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at
    if (!pattern.test(text)) return false
    at = pattern.lastIndex
    return true
  }
  let expect: 'value' | 'key' | 'value-or-end' | 'key-or-end' | 'comma' = 'value'
  for (;;) {
    take(space)
    const char = text[at]
    if (expect === 'comma') {
      const top = open.at(-1)
      if (top === undefined) return at
      if (char === ',') {
        at++
        expect = top === '{' ? 'key' : 'value'
      } else if (char === (top === '{' ? '}' : ']')) {
        at++
        open.pop()
      } else return at
    } else if (expect === 'key' || expect === 'key-or-end') {
      if (char === '}' && expect === 'key-or-end') {
        at++
        open.pop()
        expect = 'comma'
        continue
      }
      if (char !== '"') return at
      const end = stringEnd(text, at)
      if (end < 0) return ~end
      at = end
      take(space)
      if (text[at] !== ':') return at
      at++
      expect = 'value'
    } else if (char === '{' || char === '[') {
      open.push(char)
      at++
      expect = char === '{' ? 'key-or-end' : 'value-or-end'
    } else if (char === ']' && expect === 'value-or-end') {
      at++
      open.pop()
      expect = 'comma'
    } else if (char === '"') {
      const end = stringEnd(text, at)
      if (end < 0) return ~end
      at = end
      expect = 'comma'
    } else if (take(scalar)) expect = 'comma'
    else return isCutShort(text, at) ? text.length : at
  }
}

/** The offset after the string that opens at `at`, or the bitwise complement of the offset of what is wrong in it. */
function stringEnd(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22) return i + 1
    if (code < 0x20) return ~i
    if (code !== 0x5c) continue
    const escaped = text[i + 1]
    if (escaped === undefined) break
    if (escaped === 'u') {
      const digits = text.slice(i + 2, i + 6)
      if (!/^[0-9a-fA-F]*$/.test(digits)) return ~i
      if (digits.length < 4) break
      i += 5
    } else if ('"\\/bfnrt'.includes(escaped)) i++
    else return ~i
  }
  return ~text.length
}

/** Whether the text ends in the middle of a word, such as `tru`. */
function isCutShort(text: string, at: number): boolean {
  const rest = text.slice(at, at + 8)
  return text.length - at < 5 && ['true', 'false', 'null', '-'].some((word) => word.startsWith(rest))
}

/** Whether it is JSON that can be worked with: what nests too deeply is none. */
export function isJson(text: string): boolean {
  try {
    parseJsonText(text)
    return true
  } catch {
    return false
  }
}
