// Replaces `${VAR}` and `${VAR:-default}` in one scalar that has already been parsed.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.

export type Env = Readonly<Record<string, string | undefined>>

export interface Interpolated {
  value: string
  /** Variables that are neither set nor given a default. */
  missing: string[]
  /** Set where a reference cannot be read; the text after it was left as it is. */
  fault: string | undefined
  /** The scalar is one reference and nothing else. */
  whole: boolean
}

const name = /[A-Za-z_][A-Za-z0-9_]*/y

/**
 * `$${` stands for a literal `${`. A default is used when the variable is unset or empty, as in a shell, and may itself hold
 * references. Values are never looked into: what a variable holds is data, whatever it looks like.
 */
export function interpolate(text: string, env: Env): Interpolated {
  const result: Interpolated = { value: '', missing: [], fault: undefined, whole: false }
  const { value, references, literal } = expand(text, 0, env, result, false)
  result.value = value
  result.whole = references === 1 && !literal
  return result
}

/** Reads from `at` to the end, or to the `}` that ends the default being read. */
function expand(text: string, at: number, env: Env, result: Interpolated, inner: boolean) {
  let value = ''
  let references = 0
  let literal = false
  let i = at
  while (i < text.length) {
    if (text.startsWith('$${', i)) {
      value += '${'
      literal = true
      i += 3
    } else if (text.startsWith('${', i)) {
      references++
      name.lastIndex = i + 2
      const variable = name.exec(text)?.[0]
      const after = i + 2 + (variable?.length ?? 0)
      if (variable !== undefined && text[after] === '}') {
        const found = env[variable]
        if (found === undefined) result.missing.push(variable)
        value += found ?? ''
        i = after + 1
      } else if (variable !== undefined && text.startsWith(':-', after)) {
        const found = env[variable]
        const used = found === undefined || found === ''
        // The default of a variable that is set is skipped: what is missing in it is not missed.
        const ignored: Interpolated = { value: '', missing: [], fault: undefined, whole: false }
        const fallback = expand(text, after + 2, env, used ? result : ignored, true)
        if (text[fallback.end] !== '}') result.fault ??= 'a ${…} is not closed'
        value += used ? fallback.value : found
        i = fallback.end + 1
      } else {
        result.fault ??= 'a ${…} must be ${NAME} or ${NAME:-default}; write $${ for a literal ${'
        return { value: value + text.slice(i), end: text.length, references, literal: true }
      }
    } else if (inner && text[i] === '}') {
      break
    } else {
      value += text[i]
      literal = true
      i++
    }
  }
  return { value, end: i, references, literal }
}
