// Why somebody was not let in: told to the client, and counted by a reason from a closed set.
import { Refusal, type RefusalCode } from '../dialects/errors.ts'
import type { AuthFailure } from '../telemetry/metricTable.ts'

/** A refusal at the door. `reason` is for the metric: it says more than a client may learn. */
export class Denied extends Refusal {
  readonly reason: AuthFailure

  constructor(
    reason: AuthFailure,
    code: RefusalCode,
    message: string,
    metadata?: Readonly<Record<string, unknown>> | undefined,
  ) {
    super(code, message, null, metadata)
    this.reason = reason
  }
}
