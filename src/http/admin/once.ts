// `Idempotency-Key`: a command that comes again, because its answer was lost, gets the same answer and does nothing more.
import { createHash } from 'node:crypto'
import type { CommandKey, RememberedCommand } from '../../config/rolloutTypes.ts'
import { Refusal } from '../../dialects/errors.ts'
import type { Live } from '../../state/rollouts/live.ts'
import type { Rollouts } from '../../state/rollouts/rollouts.ts'
import { rolloutsOf } from './rolloutDesk.ts'
import type { AdminAnswer, AdminCall, AdminDeps, JsonAnswer } from './route.ts'

/** What a command has done. */
export interface Done<Json> {
  /** Undefined = it was about all of them. */
  readonly live: Live | undefined
  readonly answer: JsonAnswer<Json>
}

/** Commands under way, of one gateway: their repetitions wait for them. */
const underWay = new WeakMap<Rollouts, Map<string, { fingerprint: string; over: Promise<unknown> }>>()

/**
 * Does `work`, unless the same client has asked for the same by the same key in the last day and got it. What failed has changed nothing,
 * and is tried again. The key is stored with the change itself, so that this holds over a kill, too; where that came before the answer was
 * stored, the answer is where the rollout stands now.
 * @param asked verb, subject and body
 * @param show how the answer tells of a rollout; not there where it is about all of them
 * @throws Refusal `invalid_value` for what is no key, `idempotency_key_reused` for one that stood for something else; what `work` throws
 */
export async function once<Json>(
  { req, key, deps }: AdminCall<unknown, unknown>,
  asked: readonly unknown[],
  work: (key: CommandKey | undefined) => Promise<Done<Json>>,
  show?: (live: Live, deps: AdminDeps) => JsonAnswer<Json>,
): Promise<AdminAnswer<Json>> {
  const name = req.headers['idempotency-key']
  if (name === undefined) return (await work(undefined)).answer
  if (typeof name !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(name))
    throw new Refusal('invalid_value', 'The header `Idempotency-Key` takes 1 to 255 characters without spaces.')
  const command = { id: hashOf([key.name, name]), fingerprint: hashOf(asked) }
  const rollouts = rolloutsOf(deps)
  const running = underWay.get(rollouts) ?? new Map()
  underWay.set(rollouts, running)
  for (let other = running.get(command.id); other; other = running.get(command.id)) {
    requireSame(command, other)
    await other.over.catch(() => {})
  }
  const before = rollouts.findCommand(command.id)
  if (before) {
    requireSame(command, before)
    return replay(before, deps, show)
  }
  const over = act(rollouts, command, work, deps)
  running.set(command.id, { fingerprint: command.fingerprint, over })
  try {
    return await over
  } finally {
    running.delete(command.id)
  }
}

async function act<Json>(
  rollouts: Rollouts,
  command: CommandKey,
  work: (key: CommandKey) => Promise<Done<Json>>,
  { log }: AdminDeps,
): Promise<AdminAnswer<Json>> {
  const { live, answer } = await work(command)
  const { json, headers = [] } = answer
  await rollouts
    .answerCommand(command, live, { json, headers })
    .catch((error) => log.warn('the answer to a command could not be stored', { event: 'rollout', error }))
  return answer
}

/** The same answer, and no row in the audit trail: nothing was done. */
function replay<Json>(
  { rollout, reply }: RememberedCommand,
  deps: AdminDeps,
  show: ((live: Live, deps: AdminDeps) => JsonAnswer<Json>) | undefined,
): AdminAnswer<Json> {
  const live = rollout === undefined ? undefined : rolloutsOf(deps).findById(rollout)
  const stored = reply as Pick<JsonAnswer<Json>, 'json' | 'headers'> | undefined
  const answer = stored ?? (live && show?.(live, deps))
  if (!answer) throw new Refusal('not_found', 'This command was done, and its rollout is not there any more.')
  return { ...answer, headers: [...(answer.headers ?? []), ['idempotent-replayed', 'true']], repeated: true }
}

function requireSame(asked: CommandKey, known: { readonly fingerprint: string }): void {
  if (asked.fingerprint === known.fingerprint) return
  const text = 'This `Idempotency-Key` stood for another command: take a new one.'
  throw new Refusal('idempotency_key_reused', text)
}

const hashOf = (parts: readonly unknown[]): string => createHash('sha256').update(JSON.stringify(parts)).digest('hex')
