// Which script a request runs under: the header's, over the model's own, over the built-in of that name; and whether its fault strikes.
import { builtins, findBuiltin } from './builtins.ts'
import { Dice, digest } from './random.ts'
import { type Fault, parseScript, parseScriptText, type Script } from './script.ts'

/** Counters of fault draws kept apart, one for each model and header. */
const MAX_COUNTERS = 10_000

const plain: Script = Object.freeze({})

export class ScriptRegistry {
  readonly #seed: number
  readonly #scripts = new Map<string, Script>()
  /** Calls so far by model and header, for `times` and `rate`. */
  readonly #counters = new Map<string, number>()

  constructor(seed: number, scripts: Readonly<Record<string, unknown>> = {}) {
    this.#seed = seed
    for (const [model, script] of Object.entries(scripts)) this.set(model, script)
  }

  /** Scripts a model from its next call on and starts its fault count anew; `undefined` takes the script away. Throws `ScriptError`. */
  set(model: string, script: unknown): void {
    if (script === undefined) this.#scripts.delete(model)
    else this.#scripts.set(model, parseScript(script, model))
    for (const key of this.#counters.keys()) if (key.startsWith(`${model}\n`)) this.#counters.delete(key)
  }

  /** Names that have a script: given ones first, then the built-in ones. */
  get names(): string[] {
    return [...new Set([...this.#scripts.keys(), ...Object.keys(builtins)])]
  }

  /** The scripts given at start or at run time. */
  get scripts(): Record<string, Script> {
    return Object.fromEntries(this.#scripts)
  }

  /** `header`: JSON text of a script whose fields win one by one. Throws `ScriptError`. */
  find(model: string, header: string | undefined): Script {
    const base = this.#scripts.get(model) ?? findBuiltin(model) ?? plain
    return header === undefined ? base : { ...base, ...parseScriptText(header, 'x-sim-script') }
  }

  /** Counts one call and says whether the fault strikes it. The draw depends on the seed, the model and the count alone. */
  strikes(fault: Fault, model: string, header: string | undefined): boolean {
    if (fault.times === undefined && fault.rate === undefined) return true
    const key = `${model}\n${header ?? ''}`
    const count = this.#counters.get(key) ?? 0
    if (count === 0 && this.#counters.size >= MAX_COUNTERS) this.#counters.clear()
    this.#counters.set(key, count + 1)
    if (fault.times !== undefined && count >= fault.times) return false
    return fault.rate === undefined || new Dice(digest(this.#seed, key, count)).next() < fault.rate
  }
}
