// Names for end users in the log and in traces: nothing, the ledger's hash, or one whose salt is forgotten after a while.
import { createHmac, randomBytes } from 'node:crypto'

export interface Pseudonyms {
  /** What stands for the user; undefined where nothing may. */
  of(user: string): string | undefined
}

export interface PseudonymSettings {
  readonly user: 'none' | 'ledger' | 'rotating'
  /** Milliseconds after which rotating names begin anew. */
  readonly userSaltTime: number
}

/** @param hashUser the installation's hash, that of the ledger */
export function createPseudonyms(
  settings: () => PseudonymSettings,
  hashUser: ((user: string) => string) | undefined,
  now: () => number = Date.now,
): Pseudonyms {
  // In memory alone: whoever gets hold of log and ledger later cannot lay them side by side.
  let salt = randomBytes(32)
  let since = now()
  return {
    of(user) {
      const { user: kind, userSaltTime } = settings()
      if (kind === 'none') return undefined
      if (kind === 'ledger') return hashUser?.(user)
      const time = now()
      if (time - since >= userSaltTime) {
        salt = randomBytes(32)
        since = time
      }
      return `r_${createHmac('sha256', salt).update(user).digest().subarray(0, 12).toString('base64url')}`
    },
  }
}
