// The way of the control plane to the ledger: whatever goes wrong there is told as "not available", and logged.
import { Refusal } from '../../dialects/errors.ts'
import { ClientGone } from '../../gateway/call.ts'
import type { AdminDeps, AdminLedger } from './route.ts'

/**
 * Runs `work` on the ledger. What it asks there is not begun any more once `gone` has come: reports over millions of rows take seconds, one
 * after the other.
 * @throws Refusal `ledger_unavailable` without a ledger, and when it cannot be read
 */
export async function withLedger<T>(
  { deps, gone }: { deps: AdminDeps; gone?: AbortSignal },
  work: (ledger: AdminLedger) => Promise<T>,
): Promise<T> {
  if (!deps.ledger) throw new Refusal('ledger_unavailable', 'This gateway runs without a ledger.')
  const { reader, ...ledger } = deps.ledger
  try {
    return await work({ ...ledger, reader: gone ? reader.until(gone) : reader })
  } catch (error) {
    if (gone?.aborted) throw new ClientGone()
    throw tell(error, deps)
  }
}

/** As `withLedger`, for what is read piece by piece. */
export async function* readPieces(
  deps: AdminDeps,
  pieces: (ledger: AdminLedger) => AsyncIterable<string>,
): AsyncGenerator<string> {
  const { ledger } = deps
  if (!ledger) throw new Refusal('ledger_unavailable', 'This gateway runs without a ledger.')
  try {
    yield* pieces(ledger)
  } catch (error) {
    throw tell(error, deps)
  }
}

function tell(error: unknown, { log }: AdminDeps): Refusal {
  if (error instanceof Refusal) return error
  log.error('the ledger cannot be read', { event: 'ledger', error })
  return new Refusal('ledger_unavailable', 'The ledger cannot be read at the moment.')
}

/** Ids that look like a hash of ours. */
const hashShape = /^u_[A-Za-z0-9_-]{22}$/

/**
 * The hash under which a user's rows are found. A plain id is hashed; what has the form of a hash is taken as one where rows have it,
 * because an app's own ids might have that form too.
 */
export async function findUser({ reader, hashUser }: AdminLedger, user: string): Promise<string> {
  if (hashShape.test(user) && (await reader.requests({ user, limit: 1 })).rows.length > 0) return user
  return hashUser(user)
}

/** All hashes that `user` may mean: for erasing, one too few would be worse than one too many. */
export function hashesOf({ hashUser }: AdminLedger, user: string): string[] {
  return hashShape.test(user) ? [user, hashUser(user)] : [hashUser(user)]
}
