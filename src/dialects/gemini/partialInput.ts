// Puts function arguments together that come as pieces with JSON paths (`streamFunctionCallArguments` on Vertex).
import { UpstreamFault } from '../errors.ts'
import type { Json } from '../field.ts'

type Step = string | number

/** Places that the pieces of a call may pass over in its lists. Each is written out, so that a few bytes could ask for gigabytes. */
const MOST_HOLES = 10_000

/** The arguments so far. */
export class PartialInput {
  value: Record<string, unknown> = {}
  /** The path of a string that goes on with the next piece. */
  #growing: string | undefined
  #holes = 0

  /** The arguments, given at once. */
  set(args: Json): void {
    this.value = { ...args }
  }

  /**
   * One piece: `{jsonPath, stringValue | numberValue | boolValue | nullValue, willContinue?}`.
   * @throws UpstreamFault for an index beyond any sense
   */
  grow(piece: Json): void {
    if (typeof piece.jsonPath !== 'string') return
    const steps = stepsOf(piece.jsonPath)
    const last = steps.at(-1)
    if (last === undefined) return
    let at: Record<Step, unknown> = this.value
    for (const [index, step] of steps.slice(0, -1).entries()) {
      const inner = Object.hasOwn(at, step) ? at[step] : undefined
      if (typeof inner !== 'object' || inner === null)
        this.#put(at, step, typeof steps[index + 1] === 'number' ? [] : {})
      at = at[step] as Record<Step, unknown>
    }
    const value = valueIn(piece)
    const before = Object.hasOwn(at, last) ? at[last] : undefined
    const continues = this.#growing === piece.jsonPath && typeof before === 'string' && typeof value === 'string'
    this.#put(at, last, continues ? before + value : value)
    this.#growing = piece.willContinue === true ? piece.jsonPath : undefined
  }

  /** Plain assignment, except that no path reaches an object's prototype. */
  #put(at: Record<Step, unknown>, step: Step, value: unknown): void {
    if (Array.isArray(at)) this.#holes += Math.max(0, Number(step) - at.length) || 0
    if (this.#holes > MOST_HOLES)
      throw new UpstreamFault('garbage', "The upstream's tool call leaves out most of a list that it speaks of.")
    Object.defineProperty(at, step, { value, writable: true, enumerable: true, configurable: true })
  }
}

function valueIn(piece: Json): unknown {
  for (const name of ['stringValue', 'numberValue', 'boolValue'] as const)
    if (piece[name] !== undefined) return piece[name]
  return null
}

/** `$.a.b[0]['c d']` as its steps. */
function stepsOf(path: string): Step[] {
  const steps: Step[] = []
  for (const [, name, index, single, double] of path.matchAll(/\.([^.[\]]+)|\[(\d+)\]|\[(?:'([^']*)'|"([^"]*)")\]/g)) {
    if (index !== undefined) steps.push(Number(index))
    else steps.push(name ?? single ?? double ?? '')
  }
  return steps
}
