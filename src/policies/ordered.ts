// The policy `ordered`: the targets as the route lists them.
import type { Policy } from './policy.ts'

export const ordered: Policy = {
  name: 'ordered',
  choose: (candidates) => [...candidates],
}
