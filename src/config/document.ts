// A YAML document as interpolated plain data, which still knows where each part of it was written.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  type Scalar,
  visit as walk,
  type YAMLError,
} from 'yaml'
import { type Resolve, resolver } from './aliases.ts'
import { type Env, interpolate } from './interpolation.ts'
import { type ConfigProblem, formatPath, type Path } from './problem.ts'
import { shield } from './shield.ts'
import { parseYaml } from './yamlText.ts'

export interface Place {
  line: number
  column: number
}

/** How a scalar came by its value: as written, from one variable alone, or with a variable in it. */
export type Origin = 'literal' | 'variable' | 'mixed'

export interface SourceDocument {
  /** Undefined when the text is not YAML. */
  readonly data: unknown
  /** Where a value is written, or its key; for what is absent, the nearest part that contains it. */
  locate(path: Path, part?: 'key' | 'value'): Place
  /** Undefined when there is no scalar at the path. */
  origin(path: Path): Origin | undefined
}

/** Parses and interpolates. Syntax errors, duplicate keys and missing variables are all collected in `problems`. */
export function readDocument(text: string, env: Env): { document: SourceDocument; problems: ConfigProblem[] } {
  const lines = new LineCounter()
  const problems: ConfigProblem[] = []
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { line, column: col }
  }
  const { text: shielded, unshield } = shield(text)
  let yaml: Document.Parsed
  try {
    // `prettyErrors` would quote the lines around an error, and with them perhaps a secret.
    yaml = parseYaml(shielded, { lineCounter: lines, prettyErrors: false, merge: true })
  } catch (cause) {
    problems.push({
      path: '',
      line: 1,
      column: 1,
      message: `not readable as YAML: ${wordsOf((cause as Error).message)}`,
    })
    return { document: emptyDocument, problems }
  }
  for (const { pos, code, message } of withoutEchoes([...yaml.errors, ...yaml.warnings])) {
    const readable =
      code === 'DUPLICATE_KEY' ? `duplicate key ${keyAt(text, pos[0])}` : `YAML syntax: ${wordsOf(message)}`
    problems.push({ path: '', ...placeOf(pos[0]), message: readable })
  }
  if (yaml.errors.some(({ code }) => code !== 'DUPLICATE_KEY')) return { document: emptyDocument, problems }

  const origins = new Map<unknown, Origin>()
  const resolve = resolver(yaml)
  const placeOfNode = (node: unknown) => placeOf((node as Node | undefined)?.range?.[0] ?? 0)
  for (const key of unshieldKeys(yaml, unshield)) {
    // zod leaves such an entry out without a word.
    if (key.value === '__proto__')
      problems.push({ path: '', ...placeOfNode(key), message: '"__proto__" is no usable key' })
  }
  visit(resolve, yaml.contents, [], [], (node, path) => {
    const tell = (message: string) => problems.push({ path: formatPath(path), ...placeOfNode(node), message })
    if (!isScalar(node)) {
      tell('an alias may not point at something that contains it')
      return
    }
    if (typeof node.value === 'string') node.value = unshield(node.value)
    origins.set(node, 'literal')
    if (typeof node.value !== 'string' || !node.value.includes('${')) return
    const found = interpolate(node.value, env)
    if (found.fault) tell(found.fault)
    for (const variable of found.missing) {
      tell(`environment variable ${variable} is not set: set it, or give a default with \${${variable}:-…}`)
    }
    origins.set(node, found.whole ? 'variable' : 'mixed')
    node.value = found.value
  })

  const contents = yaml.contents
  const find = (path: Path) => findNode(resolve, contents, path)
  let data: unknown
  try {
    data = yaml.toJS()
  } catch (cause) {
    problems.push({ path: '', line: 1, column: 1, message: `not usable YAML: ${wordsOf((cause as Error).message)}` })
  }
  return {
    problems,
    document: {
      data,
      locate(path, part = 'value') {
        const { key, value, complete } = find(path)
        const useValue = value !== undefined && complete && part === 'value' && isScalar(value) && value.value !== null
        return placeOfNode(useValue ? value : (key ?? value ?? contents))
      },
      origin(path) {
        const { value, complete } = find(path)
        return complete ? origins.get(value) : undefined
      },
    },
  }
}

/**
 * What was found, without the parser's stumbling over all that follows the first token it did not expect, and without what it
 * quotes of the text after a colon: that may be a secret.
 */
function withoutEchoes(errors: readonly YAMLError[]) {
  const first = errors.findIndex(({ code }) => code === 'UNEXPECTED_TOKEN')
  return errors
    .filter(({ code }, index) => code !== 'UNEXPECTED_TOKEN' || index === first)
    .map(({ pos, code, message }) => ({ pos, code, message: message.replace(/: .*$/s, '') }))
}

/** The parser's words, but for those of the engine that runs it. */
const wordsOf = (message: string): string =>
  message.startsWith('Maximum call stack') ? 'it nests too deeply' : message

/** Puts back what keys looked like, which are never interpolated, and returns them. */
function unshieldKeys(yaml: Document, unshield: (part: string) => string): Scalar[] {
  const keys: Scalar[] = []
  walk(yaml, {
    Pair: (_, { key }) => {
      if (!isScalar(key)) return
      if (typeof key.value === 'string') key.value = unshield(key.value)
      keys.push(key)
    },
  })
  return keys
}

const emptyDocument: SourceDocument = {
  data: undefined,
  locate: () => ({ line: 1, column: 1 }),
  origin: () => undefined,
}

/** Calls `each` for every scalar value, and for every alias that would make the data endless. Keys are left alone. */
function visit(
  resolve: Resolve,
  node: unknown,
  path: Path,
  above: unknown[],
  each: (node: unknown, path: Path) => void,
) {
  if (isMap(node)) {
    for (const pair of node.items) visit(resolve, pair.value, [...path, keyText(pair)], [...above, node], each)
  } else if (isSeq(node)) {
    node.items.forEach((item, index) => {
      visit(resolve, item, [...path, index], [...above, node], each)
    })
  } else if (isScalar(node) || (isAlias(node) && above.includes(resolve(node)))) {
    each(node, path)
  }
}

/** Follows a path through maps, lists, aliases and merge keys, as far as it goes. */
function findNode(resolve: Resolve, root: unknown, path: Path) {
  let key: unknown
  let value: unknown = root
  for (const step of path) {
    const holder = resolve(value)
    if (isMap(holder)) {
      const pair = findPair(resolve, holder.items, String(step))
      if (!pair) return { key, value, complete: false }
      key = pair.key
      value = pair.value
    } else if (isSeq(holder) && typeof step === 'number' && step < holder.items.length) {
      value = holder.items[step]
      key = value
    } else {
      return { key, value, complete: false }
    }
  }
  return { key, value: resolve(value), complete: true }
}

/** The last pair of that key, because the last is the one whose value counts; merged maps only where there is none. */
function findPair(resolve: Resolve, items: readonly Pair[], key: string): Pair | undefined {
  const own = items.findLast((pair) => keyText(pair) === key)
  if (own) return own
  for (const pair of items) {
    if (keyText(pair) !== '<<') continue
    const source = resolve(pair.value)
    for (const merged of isSeq(source) ? source.items : [source]) {
      const map = resolve(merged)
      const found = isMap(map) ? findPair(resolve, map.items, key) : undefined
      if (found) return found
    }
  }
  return undefined
}

function keyText(pair: Pair): string {
  const key: unknown = isScalar(pair.key) ? pair.key.value : pair.key
  return typeof key === 'symbol' ? '<<' : String(key)
}

const keyAt = (text: string, offset: number): string =>
  JSON.stringify(/^(?:"[^"\n]*"|'[^'\n]*'|[^:\n]*)/.exec(text.slice(offset, offset + 80))?.[0].trim() ?? '')
