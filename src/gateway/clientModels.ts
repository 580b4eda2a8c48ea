// Further models that a client names in its request: a chain that Turnout follows, or the vendor's to choose from.
import type { Target } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import { mayUse } from './allow.ts'
import type { Call } from './call.ts'
import { modelFor } from './headers.ts'

const LONGEST_CHAIN = 16

/**
 * The client's `models` on a route that follows them.
 * @throws Refusal for what cannot be followed: passed over, it would leave the client without its fallbacks, and reach the vendor unjudged
 */
export function chainAsked(call: Call): readonly string[] | undefined {
  const { ask } = call.inspected!
  const given = modelsGiven(call) ?? []
  if (Array.isArray(given) && given.length === 0) return undefined
  if (ask.models && ask.models.length <= LONGEST_CHAIN) return ask.models
  const expected = `expected a list of at most ${LONGEST_CHAIN} names of models`
  throw new Refusal('invalid_value', `Invalid 'models': ${expected}.`, 'models')
}

/**
 * Whether `models` is a chain that Turnout follows, or has followed before a budget sent the request to a cheaper route: then its names
 * are ours, and no vendor gets them.
 */
export const followsModels = ({ route, degradedFrom, snapshot, inspected }: Call): boolean =>
  inspected!.ask.models !== undefined &&
  (route!.clientModels || (degradedFrom !== undefined && snapshot.routes.get(degradedFrom)?.clientModels === true))

export const modelsGiven = (call: Call): unknown => (call.inspected!.wire as { models?: unknown }).models

/** A body may name a million, which nobody means: looking each up, for each target, would keep the process busy for seconds. */
const MOST_JUDGED = 1_000

/** What is the client's own words, however its parts are called, and what is judged by itself. */
const passedOver: ReadonlySet<string> = new Set([
  'messages',
  'metadata',
  'response_format',
  'functions',
  'documents',
  'guided_json',
  'structured_outputs',
  'model',
  'models',
])
/** A function's schema, and what it may be called with, are the client's own, too. */
const ownWithin: ReadonlySet<string> = new Set(['function', 'input_examples'])
const isModelField = /(?:^|_)models?$/i
const isFallbackField = /(?:^|_)fallbacks$/i
const within = new WeakMap<object, ReadonlySet<string>>()

/**
 * Models that a request names in other places than `model` and `models`. Tools of the vendor's own run some beside the one that answers
 * (Anthropic's advisor, OpenRouter's `parameters.model`), and so do its plugins; Groq's `compound_custom.models` and LiteLLM's `fallbacks` choose
 * who answers.
 */
export function modelsWithin(call: Call): ReadonlySet<string> {
  const wire = call.inspected!.wire as Record<string, unknown>
  let models = within.get(wire)
  if (!models) {
    const found = new Set<string>()
    for (const name in wire) if (!passedOver.has(name)) collect(wire[name], kindOf(name), found)
    within.set(wire, found)
    models = found
  }
  return models
}

/** What stands in a field: models, models or tables of them by the one that fails, or anything. */
type Kind = 'models' | 'fallbacks' | undefined

const kindOf = (name: string): Kind =>
  isModelField.test(name) ? 'models' : isFallbackField.test(name) ? 'fallbacks' : undefined

function collect(value: unknown, kind: Kind, found: Set<string>): void {
  if (typeof value === 'string') {
    if (kind && found.size <= MOST_JUDGED) found.add(value)
  } else if (Array.isArray(value)) for (const item of value) collect(item, kind, found)
  else if (typeof value === 'object' && value !== null)
    for (const [name, inner] of Object.entries(value)) {
      if (ownWithin.has(name)) continue
      const isTable = kind === 'fallbacks' && Array.isArray(inner) && !('model' in value)
      collect(inner, isTable ? kind : kindOf(name), found)
    }
}

/**
 * Whether the key allows the target, and all that a vendor may serve in its place: `models` that Turnout does not follow itself reaches
 * vendors of the client's own dialect as it is, and OpenRouter runs any model that it names.
 */
export function mayServe(call: Call, target: Target): boolean {
  const { key } = call
  if (!key?.models) return true
  if (!mayUse(key, target, modelFor(target, call))) return false
  const called = modelsWithin(call)
  if (called.size > MOST_JUDGED || ![...called].every((model) => mayUse(key, target, model))) return false
  const { ask } = call.inspected!
  if (followsModels(call) || target.provider.dialect !== call.dialect.name) return true
  const given = modelsGiven(call) ?? []
  if (!ask.models || ask.models.length > MOST_JUDGED) return Array.isArray(given) && given.length === 0
  return [...new Set(ask.models)].every((model) => mayUse(key, target, model))
}
