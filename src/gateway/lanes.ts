// Chooses the lane between a client's dialect and a target's: bytes where both are one, the hub otherwise.
import type { Target } from '../config/snapshot.ts'
import type { Chat } from '../dialects/chat.ts'
import { hasHubLane, hasIdentityLane, type Outbound } from '../dialects/dialect.ts'
import { Refusal } from '../dialects/errors.ts'
import { dialects } from '../dialects/index.ts'
import { asksForCost, type Call } from './call.ts'
import { capNameFor } from './capName.ts'
import { followsModels } from './clientModels.ts'
import { modelFor } from './headers.ts'
import { hubLane, type Replying } from './hubLane.ts'
import { identityLane } from './identityLane.ts'
import type { Lane } from './lane.ts'
import { says } from './switches.ts'

/**
 * @param cap the most output tokens of an answer, for a request that has no cap of its own
 * @throws Refusal `no_target` when no lane leads to the target; those of `decode` and `encode` for content that it cannot take
 */
export function laneFor(call: Call, target: Target, cap?: number): { lane: Lane; outbound: Outbound } {
  const outbound = dialects.get(target.provider.dialect)?.outbound
  const inbound = call.dialect.inbound!
  const inspected = call.inspected!
  const ask = asksForCost(call) ? { ...inspected.ask, includeUsage: true } : inspected.ask
  const model = modelFor(target, call)
  const replying: Replying = {
    inbound,
    ask,
    context: { id: `chatcmpl-${call.id}`, created: Math.floor(Date.now() / 1000), chat: call.chat },
    aids: { replyId: call.id, signatures: call.signatures, forced: target.params },
    drop: followsModels(call) ? ['models'] : [],
  }
  if (outbound && hasHubLane(outbound)) {
    if (target.provider.dialect === call.dialect.name && hasIdentityLane(outbound)) {
      const params = cap === undefined ? target.params : { [capNameFor(target.provider, model)]: cap, ...target.params }
      const lane = identityLane(outbound, inspected, replying, target, model, params)
      if (isStrict(call)) refuseLosses(lane, target)
      return { lane, outbound }
    }
    if (inbound.decode) {
      call.chat ??= inbound.decode(inspected.wire)
      replying.context.chat = call.chat
      const chat = cap === undefined ? call.chat : { ...call.chat, maxTokens: cap }
      const lane = hubLane(outbound, withPrefix(chat, target), replying, target, model)
      if (isStrict(call)) refuseLosses(lane, target)
      return { lane, outbound }
    }
  }
  throw new Refusal('no_target', `No translation leads from ${call.dialect.name} to the target '${target.id}'.`)
}

/** The decoded request serves all targets: it is not changed. */
const withPrefix = (chat: Chat, { systemPrefix }: Target): Chat =>
  systemPrefix === undefined ? chat : { ...chat, systemPrefix }

/** The client or the route wants a 400 rather than a parameter that is silently less than it says. */
export const isStrict = (call: Call): boolean =>
  call.route!.strict || says(call.req.headers, 'x-turnout-strict', 'true')

function refuseLosses(lane: Lane, target: Target): void {
  const [first] = lane.losses
  if (!first) return
  const names = [...new Set(lane.losses.map(({ param }) => param))]
  throw new Refusal(
    'unsupported_parameter',
    `The target '${target.id}' cannot take: ${names.join(', ')}.`,
    first.param,
    {
      losses: lane.losses,
    },
  )
}
