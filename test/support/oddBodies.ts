// A full request with each of its fields replaced by each odd value: what no reader of requests may fall over.

type Path = (string | number)[]

const oddValues: readonly unknown[] = [
  null,
  true,
  -1,
  1e308,
  '',
  'x',
  [],
  {},
  [null],
  { type: 'function' },
  { toString: 1 },
  { type: 'text', text: 'x' },
]

/** Every way of putting an odd value into a body, with the place of it. */
export function* oddBodiesOf(full: unknown): Generator<{ path: string; body: unknown }> {
  for (const path of pathsOf(full)) {
    for (const value of oddValues) {
      yield { path: `${path.join('.')} = ${JSON.stringify(value)}`, body: replaced(full, path, value) }
    }
  }
}

function pathsOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return path.length > 0 ? [path] : []
  const inner = Object.entries(value).flatMap(([name, child]) => pathsOf(child, [...path, name]))
  return path.length > 0 ? [path, ...inner] : inner
}

function replaced(value: unknown, path: Path, other: unknown): unknown {
  const [name, ...rest] = path
  if (name === undefined) return other
  if (Array.isArray(value))
    return value.map((item, i) => (String(i) === String(name) ? replaced(item, rest, other) : item))
  const from = value as Record<string, unknown>
  return { ...from, [name]: replaced(from[name], rest, other) }
}
