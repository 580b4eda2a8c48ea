// Names that others have chosen, vendors and clients: kept where they have the form of a name.
import type { Loss } from '../dialects/chat.ts'
import { otherLoss } from '../dialects/loss.ts'

/** Letters, digits and what names are put together with; no spaces and no quotes, which sentences and documents have. */
const nameForm = /^[\w.:/@+~=,-]{1,128}$/

/**
 * A vendor's name for its model or its reply, or undefined for what is none: a server that says back what it was sent must not get
 * a prompt or a header into the ledger, the log or a trace.
 */
export const vendorName = (name: string | undefined): string | undefined =>
  name !== undefined && nameForm.test(name) ? name : undefined

/** A client may send thousands of parameters that nobody knows; one row is no place for them. */
const MAX_LOSSES = 50
const MAX_DETAIL = 200

/** What the ledger keeps of parameters that a target was not told of: their names, not what may be written in place of one. */
export function keptLosses(losses: readonly Loss[]): Loss[] {
  const kept = losses.slice(0, MAX_LOSSES).map(({ param, reason, detail }) => ({
    param: nameForm.test(param) ? param : otherLoss,
    reason,
    ...(detail === undefined ? {} : { detail: detail.slice(0, MAX_DETAIL) }),
  }))
  if (losses.length > MAX_LOSSES)
    kept.push({ param: otherLoss, reason: 'unsupported', detail: `${losses.length - MAX_LOSSES} more` })
  return kept
}
