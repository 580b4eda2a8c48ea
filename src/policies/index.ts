// The policies there are, by the name that the configuration uses.
import { ordered } from './ordered.ts'
import type { Policy } from './policy.ts'

export const policies: ReadonlyMap<string, Policy> = new Map([[ordered.name, ordered]])
