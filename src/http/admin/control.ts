// What the control plane needs to change traffic, and how the trouble of doing so is told.
import { type Live, StaleVersion } from '../../config/live.ts'
import type { Actor } from '../../config/memory.ts'
import { PrimaryError } from '../../config/primary.ts'
import { ConfigError, formatProblem } from '../../config/problem.ts'
import { UnknownMark } from '../../config/redaction.ts'
import type { ApiKey, Snapshot } from '../../config/snapshot.ts'
import { Refusal } from '../../dialects/errors.ts'
import type { PriceBook } from '../../pricing/book.ts'
import type { Health } from '../../state/health.ts'
import type { Audit } from '../../store/audit.ts'
import { LedgerError } from '../../store/ledgerRow.ts'
import type { Latencies } from '../../telemetry/latency.ts'
import type { AdminDeps } from './route.ts'

export interface AdminControl {
  readonly live: Live
  readonly audit: Audit
}

/** What is known of targets. */
export interface AdminFacts {
  readonly health: Health
  readonly latencies: Latencies
  prices(snapshot: Snapshot): PriceBook
}

/** @throws Refusal `not_available` in a gateway that was given its configuration from outside */
export function controlOf({ control }: AdminDeps): AdminControl {
  if (control) return control
  throw new Refusal('not_available', 'This gateway has no live configuration: whoever embeds it swaps it.')
}

/** @throws Refusal `not_available` */
export function factsOf({ facts }: AdminDeps): AdminFacts {
  if (facts) return facts
  throw new Refusal('not_available', 'This gateway does not tell the health of its targets.')
}

export const actorOf = ({ name, role }: ApiKey): Actor => ({ name, role })

/** Runs a change of the configuration. @throws Refusal for whatever is wrong with it */
export async function withRefusals<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    throw refusalOf(error)
  }
}

function refusalOf(error: unknown): unknown {
  if (error instanceof ConfigError) {
    return new Refusal(
      'invalid_configuration',
      // Of a document the place says enough; where there is none it is the file itself that cannot be read.
      error.problems
        .map((problem) => formatProblem(problem, problem.path === '' && problem.line === 0 ? error.file : undefined))
        .join('\n'),
      null,
      { problems: error.problems },
    )
  }
  if (error instanceof StaleVersion)
    return new Refusal('precondition_failed', error.message, null, { version: error.current })
  if (error instanceof PrimaryError)
    return error.kind === 'unknown_route'
      ? new Refusal('not_found', error.message, 'route')
      : new Refusal('invalid_value', error.message, 'model_id')
  if (error instanceof UnknownMark) return new Refusal('invalid_value', error.message, 'document')
  if (error instanceof LedgerError)
    return new Refusal('ledger_unavailable', 'The change could not be stored, and was not made.')
  return error
}
