// A configuration as it was written, before variables are replaced: as plain data, as scalars with their places, edited, compared.
import { type Document, isAlias, isMap, isScalar, isSeq, type Scalar } from 'yaml'
import { resolver } from './aliases.ts'
import { formatPath, type Path } from './problem.ts'
import { shield } from './shield.ts'
import { parseYaml } from './yamlText.ts'

interface Written {
  readonly yaml: Document.Parsed
  unshield(part: string): string
}

/** @throws Error when the text is not YAML; its message does not quote the text */
export function parseWritten(text: string): Written {
  const { text: shielded, unshield } = shield(text)
  const yaml = parseYaml(shielded, { prettyErrors: false, merge: true, keepSourceTokens: false })
  if (yaml.errors.length > 0) throw new Error('The document is not readable as YAML.')
  return { yaml, unshield }
}

/** The document as data, with `${NAME}` where that is written. */
export function dataOf(text: string): unknown {
  const { yaml, unshield } = parseWritten(text)
  return mapText(yaml.toJS() ?? {}, unshield)
}

export interface WrittenScalar {
  readonly path: Path
  readonly value: unknown
  /** Offsets of what stands in the text for it, quotes included. */
  readonly start: number
  readonly end: number
}

/** Every scalar value in the order of the text. One that stands behind an alias comes once for each path that leads to it. */
export function scalarsOf(text: string): WrittenScalar[] {
  const { yaml, unshield } = parseWritten(text)
  const resolve = resolver(yaml)
  const found: WrittenScalar[] = []
  const look = (node: unknown, path: Path, above: readonly unknown[]): void => {
    if (above.includes(node)) return
    if (isMap(node)) {
      for (const { key, value } of node.items) {
        const name = unshield(String(isScalar(key) ? key.value : key))
        // What is merged in stands where the map itself does.
        look(value, name === '<<' ? path : [...path, name], [...above, node])
      }
    } else if (isSeq(node)) {
      node.items.forEach((item, index) => {
        look(item, [...path, index], [...above, node])
      })
    } else if (isAlias(node)) {
      look(resolve(node), path, above)
    } else if (isScalar(node)) {
      found.push(scalarAt(node, path, unshield))
    }
  }
  look(yaml.contents, [], [])
  return found
}

function scalarAt(node: Scalar, path: Path, unshield: (part: string) => string): WrittenScalar {
  const value = typeof node.value === 'string' ? unshield(node.value) : node.value
  return { path, value, start: node.range?.[0] ?? 0, end: node.range?.[1] ?? 0 }
}

export interface Change {
  readonly path: string
  /** Undefined where there is nothing. */
  readonly before: unknown
  readonly after: unknown
}

/** In what two documents differ, deepest paths; lists are compared whole, because their places mean nothing by themselves. */
export function changesBetween(before: string, after: string): Change[] {
  const changes: Change[] = []
  const compare = (a: unknown, b: unknown, path: Path): void => {
    if (isBlock(a) && isBlock(b)) {
      for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) compare(a[key], b[key], [...path, key])
    } else if (JSON.stringify(a) !== JSON.stringify(b)) {
      changes.push({ path: formatPath(path), before: a, after: b })
    }
  }
  compare(dataOf(before), dataOf(after), [])
  return changes
}

/** Plain data with every text mapped. */
function mapText(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === 'string') return map(value)
  if (Array.isArray(value)) return value.map((item) => mapText(item, map))
  if (!isBlock(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [map(key), mapText(item, map)]))
}

const isBlock = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
