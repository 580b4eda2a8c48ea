// The rollout that micro-timings run: open at one weight, judged by the default guards of its unit.
import { assignBy, policyFor } from '../src/config/rolloutSettings.ts'
import type { RolloutDefinition } from '../src/config/rolloutTypes.ts'
import type { UnitKind } from '../src/rollouts/index.ts'

export const benchRollout = (unit: UnitKind, canary: string): RolloutDefinition => ({
  name: 'bench',
  route: 'chat',
  stable: { targets: [] },
  canary: { targets: [canary] },
  assign: assignBy(unit),
  course: { steps: [], open: true },
  policy: policyFor(unit),
  excludeKeys: [],
  inFlight: 'redispatch',
  notify: [],
})
