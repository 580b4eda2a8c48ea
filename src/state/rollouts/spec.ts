// Names what a rollout tries: the same arms on the same route have the same hash, whoever writes them.
import { createHash } from 'node:crypto'
import type { RolloutDefinition } from '../../config/rolloutTypes.ts'

export function specHashOf({ route, stable, canary }: Pick<RolloutDefinition, 'route' | 'stable' | 'canary'>): string {
  const fields = [route, stable.targets, canary.targets]
  return createHash('sha256').update(JSON.stringify(fields)).digest('hex')
}
