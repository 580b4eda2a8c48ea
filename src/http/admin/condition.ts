// `If-Match`: a change is made only of what its client has seen.
import type { IncomingMessage } from 'node:http'
import { Refusal } from '../../dialects/errors.ts'
import type { Live } from '../../state/rollouts/live.ts'
import type { Seen } from '../../state/rollouts/problem.ts'

/**
 * The revision that a change is made from: `"7"`, or the whole tag of a canary, `"3.7"`, which also says of which rollout. Undefined = any.
 * @throws Refusal `invalid_value`
 */
export function seenBy(req: IncomingMessage): Seen | undefined {
  const text = req.headers['if-match']?.trim()
  if (text === undefined || text === '*') return undefined
  const match = /^(?:W\/)?"?(?:(\d{1,15})\.)?(\d{1,15})"?$/.exec(text)
  if (!match) throw new Refusal('invalid_value', 'The header `If-Match` takes a revision.', 'If-Match')
  const [, rollout, revision] = match
  return { revision: Number(revision), rollout: rollout === undefined ? undefined : Number(rollout) }
}

/** A route's canary is one rollout today and may be another tomorrow, which has been as often changed. */
export const canaryTag = (live: Live | undefined): readonly [string, string] => [
  'etag',
  live ? `"${live.id}.${live.state.revision}"` : '"0"',
]
