// What a key may ask for and be served by. Checked when a request comes in, and again for each target that would serve it.
import { isPattern, patternOf } from '../config/pattern.ts'
import type { ApiKey, Route, Target } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'

type Test = (name: string) => boolean

const tests = new WeakMap<readonly string[], Test>()

/** One list's test, made once. A name without stars means itself and nothing longer: `openai` is not `openai-eu/…`. */
function testOf(list: readonly string[]): Test {
  let test = tests.get(list)
  if (!test) {
    const exact = new Set(list.filter((entry) => !isPattern(entry)))
    const patterns = list.filter(isPattern).map(patternOf)
    test = (name) => exact.has(name) || patterns.some((pattern) => pattern.test(name))
    tests.set(list, test)
  }
  return test
}

/** Whether the key may ask for a name that leads to the route. */
export function mayAsk(key: ApiKey | undefined, asked: string, route: Route): boolean {
  if (!key?.routes) return true
  const test = testOf(key.routes)
  return test(asked) || test(route.name)
}
/** Whether a name is one of the names and patterns of a list. */
export const isListed = (list: readonly string[], name: string): boolean => testOf(list)(name)

/** @throws Refusal `model_not_allowed` when the key may not ask for the model under that name */
export function requireRoute(key: ApiKey | undefined, asked: string, route: Route): void {
  if (mayAsk(key, asked, route)) return
  throw new Refusal('model_not_allowed', `This API key may not use the model '${asked.slice(0, 128)}'.`, 'model')
}

/** Whether the key's requests may be served by the target: fallbacks and special chains pass here too. */
export function mayUse(key: ApiKey | undefined, target: Target, model: string): boolean {
  return !key?.models || testOf(key.models)(`${target.provider.name}/${model}`)
}
