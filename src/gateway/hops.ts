// Counts how many gateways a request has passed, so that one that points at itself does not call itself for ever.
import type { IncomingMessage } from 'node:http'
import { Refusal } from '../dialects/errors.ts'

export const HOPS_HEADER = 'x-turnout-hops'

/**
 * How many gateways the request passed before this one.
 * @throws Refusal `loop_detected` when that is `max` or more
 */
export function countHops(req: IncomingMessage, max: number): number {
  const hops = Number.parseInt(String(req.headers[HOPS_HEADER] ?? '0'), 10)
  const count = Number.isInteger(hops) && hops > 0 ? hops : 0
  if (count >= max)
    throw new Refusal('loop_detected', `The request passed ${count} gateways: this one seems to call itself.`)
  return count
}
