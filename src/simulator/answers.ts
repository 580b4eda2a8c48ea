// Finds the plan for a request: checked, scripted and laid out once, then remembered, because a bench asks the same thing again and again.
import { draftError, draftJson, draftReply } from './draft.ts'
import { applyFault } from './faults.ts'
import { makePlan, type Plan } from './plan.ts'
import { digest } from './random.ts'
import type { ScriptRegistry } from './registry.ts'
import { type Fault, type Script, ScriptError } from './script.ts'
import { defaultWire, headerNames, wires } from './wires/index.ts'
import { type Asking, type Match, type VendorError, type Wire, WireRefusal } from './wires/wire.ts'

/** One request as far as the answer depends on it. */
export interface Question {
  method: string
  /** Without the query. */
  path: string
  asking: Asking
  /** The `x-sim-script` header. */
  header: string | undefined
  body: Buffer
}

export interface Answer {
  wire: string
  model: string
  stream: boolean
  plan: Plan
}

/** An answer with both ways it may go. */
interface Prepared {
  model: string
  answer: Answer
  /** Set where the script has a fault: made when it strikes first. */
  fault: { fault: Fault; make(): Answer; made: Answer | undefined } | undefined
}

const CACHE_ENTRIES = 2000
const CACHED_BODY_BYTES = 256 * 1024
const CACHE_BYTES = 32 * 1024 * 1024

export class Answers {
  readonly #registry: ScriptRegistry
  readonly #seed: number
  readonly #cache = new Map<string, Prepared>()
  #cacheBytes = 0

  constructor(registry: ScriptRegistry, seed: number) {
    this.#registry = registry
    this.#seed = seed
  }

  /** To be called when a script changes. */
  forget(): void {
    this.#cache.clear()
    this.#cacheBytes = 0
  }

  /** The answer to a request, with its fault if it strikes this time. */
  find(question: Question): Answer {
    const prepared = this.#prepared(question)
    const { fault } = prepared
    if (fault === undefined || !this.#registry.strikes(fault.fault, prepared.model, question.header))
      return prepared.answer
    fault.made ??= fault.make()
    return fault.made
  }

  /** A refusal for a lack of the right key. It never quotes what was sent. */
  unauthorized(question: Question): Answer {
    const { wire } = claim(question)
    const error = wire.wrongKey ?? { status: 401, message: 'The API key is missing or not valid.' }
    return answerOf(wire, '', false, makePlan(draftError(wire, error, this.#keyOf(question)), {}))
  }

  /** A refusal for a body above the limit, of which nothing was kept. */
  tooLarge(question: Question): Answer {
    const { wire } = claim(question)
    return answerOf(wire, '', false, makePlan(draftError(wire, { status: 413 }, this.#keyOf(question)), {}))
  }

  #prepared(question: Question): Prepared {
    const { body } = question
    if (body.length > CACHED_BODY_BYTES) return this.#prepare(question)
    // latin1 keeps each byte apart from every other, and is the fastest way from bytes to a key.
    const key = `${headOf(question)}\n${body.toString('latin1')}`
    const known = this.#cache.get(key)
    if (known) return known
    const prepared = this.#prepare(question)
    const bytes = key.length + prepared.answer.plan.parts.reduce((sum, part) => sum + part.bytes.length + 100, 1000)
    if (this.#cache.size >= CACHE_ENTRIES || this.#cacheBytes + bytes > CACHE_BYTES) this.forget()
    if (bytes > CACHE_BYTES / 4) return prepared
    this.#cacheBytes += bytes
    this.#cache.set(key, prepared)
    return prepared
  }

  #prepare(question: Question): Prepared {
    const { wire, match } = claim(question)
    const key = this.#keyOf(question)
    if (match?.kind === 'generate') return this.#prepareReply(question, wire, match, key)
    const known = match === undefined ? undefined : this.#listing(wire, match)
    const draft =
      known === undefined
        ? draftError(wire, { status: 404, message: 'There is nothing at this address.', code: 'not_found' }, key)
        : draftJson(200, known, key)
    return { model: '', answer: answerOf(wire, '', false, makePlan(draft, {})), fault: undefined }
  }

  #prepareReply(question: Question, wire: Wire, match: Match, key: Buffer): Prepared {
    let script: Script
    try {
      const asked = wire.read(question.body, match, question.asking)
      script = this.#registry.find(asked.model, question.header)
      const origin = { wire, asked, script, seed: this.#seed, key }
      const make = (fault: Fault | undefined): Answer => {
        const { draft, reply } = draftReply(origin, fault)
        const final = fault === undefined ? draft : applyFault(draft, reply, origin, fault)
        return answerOf(wire, asked.model, asked.stream, makePlan(final, script))
      }
      const { fault } = script
      return {
        model: asked.model,
        answer: make(undefined),
        fault: fault ? { fault, make: () => make(fault), made: undefined } : undefined,
      }
    } catch (error) {
      const refusal = refusalOf(error)
      return {
        model: '',
        answer: answerOf(wire, '', false, makePlan(draftError(wire, refusal, key), {})),
        fault: undefined,
      }
    }
  }

  #listing(wire: Wire, match: Match): string | undefined {
    const { names } = this.#registry
    if (match.kind === 'list') return wire.models(names)
    const { model } = match
    return model !== undefined && names.includes(model) ? wire.model(model) : undefined
  }

  #keyOf(question: Question): Buffer {
    return digest(this.#seed, headOf(question), question.body)
  }
}

/** All of a question but its body. */
function headOf({ method, path, asking, header }: Question): string {
  const said = headerNames.map((name) => asking.headers[name] ?? '')
  return [`${method} ${path}?${asking.query}`, ...said, header ?? ''].join('\n')
}

function claim(question: Question): { wire: Wire; match: Match | undefined } {
  for (const wire of wires) {
    const match = wire.match(question.method, question.path, question.asking)
    if (match) return { wire, match }
  }
  return { wire: defaultWire, match: undefined }
}

/** How the wire that claims a request finds its credential. */
export function wireOf({ method, path, asking }: Question): Wire {
  return wires.find((wire) => wire.match(method, path, asking)) ?? defaultWire
}

function refusalOf(error: unknown): VendorError {
  if (error instanceof WireRefusal) {
    return { status: error.status, message: error.message, code: error.code, param: error.param }
  }
  if (error instanceof ScriptError) return { status: 400, message: error.message, code: 'invalid_script' }
  // A fault of the simulator itself: said plainly, because a crash would take every other request with it.
  const name = error instanceof Error ? error.name : 'unknown'
  return { status: 500, message: `The simulator failed (${name}).`, code: 'simulator_failure' }
}

function answerOf(wire: Wire, model: string, stream: boolean, plan: Plan): Answer {
  return { wire: wire.name, model, stream, plan }
}
