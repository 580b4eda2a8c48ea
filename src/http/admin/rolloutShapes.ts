// The shapes of what the control plane tells of rollouts.
import * as z from 'zod'
import { named, texts, time, usd, whole, word } from './shape.ts'

/** Where a rollout stands. */
export const rolloutFields = {
  name: z.string(),
  route: z.string(),
  stable: texts,
  canary: texts,
  phase: z.string(),
  percent: z.number(),
  revision: whole,
  attempt: whole,
  step: whole,
  steps: whole,
  unit: z.string(),
  cause: z.string(),
  reason: z.string(),
  updated_at: time,
  idle: z.string().nullable(),
}
export const standing = named('RolloutState', rolloutFields)

const sides = z.object({ stable: z.number(), canary: z.number() })
const size = z.object({ value: z.number(), lower: z.number(), upper: z.number().nullable(), count: whole }).optional()
const forecast = z
  .object({ badEvents: z.number(), requests: z.number().optional(), canary: z.number().optional() })
  .optional()

const guard = named('Guard', {
  id: z.string(),
  metric: z.string(),
  action: z.string(),
  share: z.number(),
  logHarm: z.number(),
  logLimit: z.number(),
  isHarm: z.boolean(),
  logSafe: z.number().optional(),
  logSafeLimit: z.number().optional(),
  isSafe: z.boolean().optional(),
  maxRatio: z.number(),
  harmRatio: z.number().optional(),
  seen: sides,
  bad: sides,
  ratio: z.object({ point: z.number().nullable(), lower: z.number(), upper: z.number().nullable() }),
  sizes: z.object({ stable: size, canary: size }).optional(),
  untilHarm: forecast,
  untilSafe: forecast,
})

export const evidence = named('Evidence', {
  guards: z.array(guard),
  decided: sides,
  assigned: z.object({ stable: z.number(), canary: z.number(), log: z.number(), limit: z.number() }),
  slo: z.object({ bound: z.number(), rate: z.number().nullable(), log: z.number(), limit: z.number() }).optional(),
  arrivals: whole,
  canary_in_step: whole,
  waiting: z.object({ start: whole, end: whole }),
  /** Whom an attempt was compared with: told by the events that began and ended it. */
  stable: texts.optional(),
})

const pause = z.object({
  duration_ms: z.number(),
  min_requests: whole,
  advance: z.string(),
  approval: z.boolean(),
  max_wait_ms: z.number().nullable(),
})

export const rolloutShape = named('Rollout', {
  object: word('rollout'),
  ...rolloutFields,
  plan: z.array(z.union([z.object({ set_weight: z.number() }), z.object({ pause })])),
  budget: z
    .object({
      spent_usd: usd,
      canary_usd: usd.nullable(),
      exposed: whole,
      exposed_units: whole.nullable(),
    })
    .optional(),
  evidence: evidence.nullable(),
})

export const eventShape = named('RolloutEvent', {
  rollout_id: whole,
  seq: whole,
  revision: whole,
  actor: z.string(),
  verb: z.string(),
  from: z.string().nullable(),
  to: z.string(),
  step: whole,
  attempt: whole,
  cause: z.string(),
  reason: z.string(),
  evidence: z.unknown(),
  at: time,
  percent: z.number(),
  prev_hash: z.string(),
  hash: z.string(),
})

const stage = z.object({
  revision: whole,
  at: time,
  by: z.string(),
  verb: z.string(),
  phase: z.string(),
  percent: z.number(),
  step: whole,
  lasted_ms: z.number(),
  reason: z.string(),
})

const { name: _, ...told } = rolloutFields
export const reportShape = named('RolloutReport', {
  object: word('rollout_report'),
  rollout: z.string(),
  ...told,
  created_at: time,
  created_by: z.string(),
  chain: z.string(),
  attempts: z.array(
    z.object({
      attempt: whole,
      started_at: time,
      ended_at: time.nullable(),
      lasted_ms: z.number(),
      stages: z.array(stage),
      evidence: evidence.nullable(),
      decision: z.string(),
    }),
  ),
  decision: z.string(),
  alpha: z.object({ each: z.number(), attempts: whole, at_most: z.number() }),
})
