// The part of the schema that moves traffic from one model to another by percent.
import { z } from 'zod'
import { unitKinds } from '../rollouts/unit.ts'
import { defaults } from './defaults.ts'
import { strict, text } from './schemaField.ts'

const ref = text(384).describe('Id of a target, or `provider/model`, or `route:NAME` for the targets of another route.')
const refs = z.union([ref, z.array(ref).min(1).max(16)], { error: 'expected a target, or a list of targets' })

const percent = z
  .number({ error: 'expected a number from 0 to 100' })
  .min(0, { error: 'a percentage is from 0 to 100' })
  .max(100, { error: 'a percentage is from 0 to 100' })

const unit = z.enum(unitKinds, { error: 'expected request, conversation, user or key' })

/** `canary:` of a route. */
export const canary = strict({
  target: refs.describe('What gets the percentage: a target, or a list of them, best first.'),
  percent: percent
    .optional()
    .describe('Where it begins. TURNOUT_CANARY_PERCENT, else 0, unless given. What operators set later wins.'),
  unit: unit
    .optional()
    .describe('What stays on one side: each `request` alone, a whole `conversation`, a `user`, or an API `key`.')
    .meta({ default: defaults.rollouts.unit }),
})

export type CanaryFields = z.output<typeof canary>
