// Which targets are tried for a request, in which order. Pure, given the facts.
import type { Target } from '../config/snapshot.ts'
import { Refusal } from '../dialects/errors.ts'
import { policies } from '../policies/index.ts'
import { type Arms, behind } from '../state/rollouts/live.ts'
import type { Moved } from '../state/rollouts/traffic.ts'
import { requireRoute } from './allow.ts'
import { type Assigning, assign } from './arm.ts'
import type { Call } from './call.ts'
import { chainAsked, mayServe, modelsGiven, modelsWithin } from './clientModels.ts'
import { routeOf } from './route.ts'
import { says } from './switches.ts'

export interface Plan {
  readonly targets: readonly Target[]
  /** What is tried when a target says that the prompt is too long for it, or that its policy forbids it. */
  readonly onContextWindow: readonly Target[]
  readonly onContentPolicy: readonly Target[]
  /** What a canary's request is sent to when its rollout is aborted: those of the stable side, in their order. */
  readonly onWithdrawn?: readonly Target[]
}

/**
 * @param draw uniform in [0, 1)
 * @param assigning without it no rollout moves anything
 */
export function makePlan(call: Call, draw: number, assigning?: Assigning): Plan {
  const route = call.route!
  // The operator's one switch: the stable primary and nothing else.
  if (call.snapshot.bypass) return { targets: route.targets.slice(0, 1), onContextWindow: [], onContentPolicy: [] }
  const { targets, onContextWindow, onContentPolicy } = route
  const asked = route.clientModels ? chainAsked(call) : undefined
  if (asked) return { targets: clientChain(call, asked), onContextWindow, onContentPolicy }
  const moved = assigning?.traffic.of(route.name)
  if (moved) return movedPlan(call, moved, draw, assigning!)
  if (targets.length === 1) return route
  return { targets: inOrder(call, targets, draw), onContextWindow, onContentPolicy }
}

const inOrder = (call: Call, targets: readonly Target[], draw: number): readonly Target[] =>
  targets.length === 1 ? targets : policies.get(call.route!.policy)!.choose(targets, call.inspected!.ask, { draw })

/** The arm's targets; behind those of the canary the stable ones, so that a client sees no error where there is a way out. */
function movedPlan(call: Call, moved: Moved, draw: number, assigning: Assigning): Plan {
  const { onContextWindow, onContentPolicy } = call.route!
  const { base, assigned } = assign(call, moved, assigning)
  if (!assigned) return { targets: inOrder(call, base, draw), onContextWindow, onContentPolicy }
  call.assigned = assigned
  const stable = inOrder(call, assigned.arms.stable, draw)
  const targets = assigned.arm === 'canary' ? canaryFirst(assigned.arms, stable) : stable
  assigned.first = targets[0]!
  return { targets, onContextWindow, onContentPolicy, onWithdrawn: stable }
}

/** Made once, as long as the policy leaves the stable ones as they are. */
const canaryFirst = (arms: Arms, stable: readonly Target[]): readonly Target[] =>
  stable === arms.stable ? arms.canaryFirst : behind(arms.canary, stable)

/** The targets of the model and of the further models that the client names, each once. */
function clientChain(call: Call, models: readonly string[]): Target[] {
  const chain = new Map(call.route!.targets.map((target) => [target.id, target]))
  for (const model of models) {
    const route = routeOf(call.snapshot, model, call.key)
    requireRoute(call.key, model, route)
    for (const target of route.targets) chain.set(target.id, chain.get(target.id) ?? target)
  }
  return [...chain.values()]
}

/** The client wants this model or none. */
export const refusesFallback = (call: Call): boolean => says(call.req.headers, 'x-turnout-fallback', 'off')

/**
 * The targets of a chain that may be asked at all: those that the key allows, up to the first after which no other may, because the
 * client, the route or the provider forbids it. Whether that one fails or is shut already makes no difference.
 * @throws Refusal `model_not_allowed` when the key allows none of them
 */
export function reachable(call: Call, whole: readonly Target[]): readonly Target[] {
  const chain = call.key?.models ? whole.filter((target) => mayServe(call, target)) : whole
  if (chain.length === 0 && whole.length > 0) {
    const nor = modelsGiven(call)
      ? ', or not all that `models` names'
      : modelsWithin(call).size > 0
        ? ', or not all that it names'
        : ''
    throw new Refusal(
      'model_not_allowed',
      `This API key may use none of the models behind '${call.route!.name}'${nor}.`,
      'model',
    )
  }
  if (chain.length < 2) return chain
  if (refusesFallback(call) || !call.route!.fallback) return chain.slice(0, 1)
  for (let at = 0; at < chain.length - 1; at++) if (!chain[at]!.provider.fallback) return chain.slice(0, at + 1)
  return chain
}
