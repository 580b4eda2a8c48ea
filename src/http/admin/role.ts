// Who may do what on the control plane: four roles in one order, each of which may do all that those below it may.
import type { ApiKey } from '../../config/snapshot.ts'

/** Least first. `viewer` reads, `responder` may also act in an incident, `operator` may also change traffic, `admin` everything. */
export const roles = ['viewer', 'responder', 'operator', 'admin'] as const
export type Role = (typeof roles)[number]

/** The role of a key on the control plane; undefined for keys that may only call models. */
export function roleOf(key: ApiKey): Role | undefined {
  return roles.find((role) => role === key.role)
}

/** Whether `held` is `needed` or above it. */
export function mayAct(held: Role, needed: Role): boolean {
  return roles.indexOf(held) >= roles.indexOf(needed)
}
