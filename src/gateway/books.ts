// Keeps the books of the journey: the intent before bytes leave, the settled rows before the end of a reply is released.
import { Refusal } from '../dialects/errors.ts'
import type { Ledger } from '../store/ledger.ts'
import { attemptId, makeIdSource } from '../store/ledgerId.ts'
import type { AttemptRow, RequestRow } from '../store/ledgerRow.ts'
import { rolloutFacts } from './armOutcome.ts'
import { promptTokens } from './bill.ts'
import { cacheFacts } from './cacheTurn.ts'
import { type Attempt, type Call, hasLeft, ownTimeOf, userOf } from './call.ts'
import { keptLosses, vendorName } from './foreignNames.ts'
import type { RefusedRows } from './refusedRows.ts'
import { keptTrace } from './tracing.ts'

export interface Books {
  nextId(): number
  /** Asked before something is answered without a call. Throws where it is known that no record of it can be kept, as `intend` would reject. */
  check(): void
  /** Waited for before the upstream is called. Rejects with a `Refusal` where the operator refuses to serve without a record. */
  intend(call: Call, attempt: Attempt): Promise<void> | undefined
  /** An attempt that was announced has cost nothing: so it is if this process dies now. */
  free(call: Call, attempt: Attempt): void
  /** Waited for before the end of the reply is released. Rejects in the same way. */
  settle(call: Call, now: number): Promise<void> | undefined
}

/** Books that keep nothing: for embedding and for measuring what the ledger costs. */
export function noBooks(): Books {
  const ids = makeIdSource(0)
  return { nextId: () => ids.next(), check: () => {}, intend: () => undefined, free: () => {}, settle: () => undefined }
}

/**
 * @param hashUser the installation's hash of an end user's id: the id itself is never written
 * @param refusals which of the requests that were refused before any call have a row; all unless given
 */
export function keepBooks(
  ledger: Ledger,
  hashUser: (user: string) => string,
  refusals?: Pick<RefusedRows, 'keeps'>,
): Books {
  // The ledger counts and reports each failure itself; here it only decides whether the request goes on.
  const unlessServing = (error: unknown): void => {
    if (ledger.onLedgerFailure === 'serve') return
    throw new Refusal(
      'ledger_unavailable',
      'The gateway cannot record this request at the moment, and does not serve unrecorded ones.',
      null,
      {
        reason: (error as { code?: string }).code ?? 'failed',
      },
    )
  }
  const hashOf = (call: Call): string | undefined => {
    const user = userOf(call)
    return user === undefined ? undefined : hashUser(user)
  }
  return {
    nextId: () => ledger.nextRequestId(),
    check() {
      if (ledger.trouble) unlessServing(ledger.trouble)
    },
    intend(call, attempt) {
      const { ask } = call.inspected!
      return ledger
        .intend({
          id: attemptId(call.number, attempt.n),
          route: call.route?.name,
          key: call.key?.name,
          team: call.key?.team,
          user: hashOf(call),
          dialect: call.dialect.name,
          stream: ask.stream,
          config: call.snapshot.version,
          target: attempt.target.id,
          provider: attempt.target.provider.name,
          model: attempt.model,
          lane: attempt.lane,
          reason: attempt.reason,
          estimate: attempt.worth,
        })
        .catch(unlessServing)
    },
    free: (call, { n }) => ledger.free(attemptId(call.number, n)),
    settle(call, now) {
      // Strangers at the door are counted, not recorded: they must not fill the disk.
      if (!call.admitted) return undefined
      if (call.outcome === 'refused' && refusals && !refusals.keeps(call, now)) return undefined
      return ledger
        .settle(
          requestRow(call, now, hashOf(call)),
          call.attempts.map((attempt) => attemptRow(call, attempt, now)),
        )
        .catch(unlessServing)
    },
  }
}

function requestRow(call: Call, now: number, user: string | undefined): RequestRow {
  return {
    trace: keptTrace(call, now),
    id: call.number,
    route: call.route?.name,
    key: call.key?.name,
    team: call.key?.team,
    user,
    dialect: call.dialect.name,
    stream: call.inspected?.ask.stream ?? false,
    config: call.snapshot.version,
    status: hasLeft(call) ? 0 : call.status,
    outcome: call.outcome ?? 'failed',
    error: call.error === undefined ? undefined : 'kind' in call.error ? call.error.kind : call.error.code,
    latencyMs: now - call.startedAt,
    firstTokenMs: call.firstTokenAt === undefined ? undefined : call.firstTokenAt - call.startedAt,
    overheadMs: ownTimeOf(call, now),
    rollout: rolloutFacts(call),
    cache: cacheFacts(call),
  }
}

function attemptRow(call: Call, attempt: Attempt, now: number): AttemptRow {
  const { target, facts, fault, bill } = attempt
  const { estimated, ...tokens } = bill!.usage
  return {
    id: attemptId(call.number, attempt.n),
    target: target.id,
    provider: target.provider.name,
    model: attempt.model,
    served: vendorName(facts?.model),
    lane: attempt.lane,
    reason: attempt.reason,
    status: attempt.status,
    fault: fault?.kind,
    finish: facts?.finish,
    startedMs: attempt.startedAt - call.startedAt,
    latencyMs: (attempt.endedAt ?? now) - attempt.startedAt,
    firstTokenMs: attempt.firstTokenAt === undefined ? undefined : attempt.firstTokenAt - attempt.startedAt,
    tokens,
    estimated: estimated === true && promptTokens(bill!.usage) > 0,
    priceSource: bill!.priceSource,
    priceVersion: bill!.priceVersion,
    cost: bill!.nanoUsd,
    losses: attempt.losses.length > 0 ? keptLosses(attempt.losses) : undefined,
  }
}
