// The part of the schema that moves traffic from one model to another: a route's percentage, and rollouts with steps and guards.
import * as z from 'zod'
import { faultRules } from '../dialects/errors.ts'
import { defaultPolicy, metrics, unitKinds } from '../rollouts/index.ts'
import { defaults } from './defaults.ts'
import { count, duration, emptyRecord, id, strict, text } from './schemaField.ts'

const ref = text(384).describe('Id of a target, or `provider/model`, or `route:NAME` for the targets of another route.')
const refs = z.union([ref, z.array(ref).min(1).max(16)], { error: 'expected a target, or a list of targets' })

/**
 * Shares are kept in millionths: what is less than one of them would be none, and stop what it was to begin; what is so near to all would be
 * all, where guards have nothing to compare with.
 */
export const percentShare = z
  .number({ error: 'expected a number from 0 to 100' })
  .min(0, { error: 'a percentage is from 0 to 100' })
  .max(100, { error: 'a percentage is from 0 to 100' })
  .refine((value) => value <= 0 || value >= 0.0001, { error: 'the smallest percentage above 0 is 0.0001' })
  .refine((value) => value >= 100 || value <= 99.9999, { error: 'the greatest percentage below 100 is 99.9999' })

const unit = z.enum(unitKinds, { error: 'expected request, conversation, user or key' })

/** `canary:` of a route. */
export const canary = strict({
  target: refs.describe('What gets the percentage: a target, or a list of them, best first.'),
  percent: percentShare
    .optional()
    .describe('Where it begins. TURNOUT_CANARY_PERCENT, else 0, unless given. What operators set later wins.'),
  unit: unit
    .optional()
    .describe('What stays on one side: each `request` alone, a whole `conversation`, a `user`, or an API `key`.')
    .meta({ default: defaults.rollouts.unit }),
})

const source = z
  .string()
  .regex(/^(?:header:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}|body:[\w.-]{1,128}|transcript|api_key)$/, {
    error: 'expected header:NAME, body:FIELD, transcript or api_key',
  })

const assign = strict({
  unit: unit.optional().describe('What stays on one side.').meta({ default: defaults.rollouts.unit }),
  key: z
    .array(source)
    .min(1)
    .max(16)
    .optional()
    .describe("Where a request's unit is looked for; the first that is there counts. Each `unit` has its own list."),
})

const wait = strict({
  duration: duration(60_000).describe('Least time at this step.').meta({ default: undefined }),
  minRequests: count(1, 0, 1_000_000_000)
    .optional()
    .describe('Requests of the canary that have to come at this step and be decided. Without any it never goes on.'),
  advance: z
    .enum(['no_harm', 'non_inferior'], { error: 'expected no_harm or non_inferior' })
    .optional()
    .describe('`no_harm`: no guard has fired. `non_inferior`: harm of the size `harmRatio` is ruled out.')
    .meta({ default: 'no_harm' }),
  approval: z.boolean().optional().describe('Then wait for `approve`.').meta({ default: false }),
  maxWait: duration(86_400_000)
    .describe('After so long without a decision it pauses and says what is missing. For ever unless given.')
    .meta({ default: undefined }),
})

const step = z.union(
  [
    strict({ setWeight: percentShare.describe("The canary's share in percent.") }),
    strict({ pause: wait.describe('Conditions for the next step; all of them have to hold.') }),
  ],
  { error: 'expected a block with `setWeight` or with `pause`' },
)

const guard = strict({
  metric: z
    .enum(metrics as [(typeof metrics)[number]], { error: `expected one of ${metrics.join(', ')}` })
    .describe('What is compared between the arms.'),
  maxRatio: z
    .number()
    .gt(0)
    .max(100)
    .optional()
    .describe('So many times worse than stable is no harm yet: of rates for bad events, of sizes for the others.')
    .meta({ default: defaults.rollouts.maxRatio }),
  quantiles: z
    .array(z.number().gt(0).lt(1))
    .min(1)
    .max(4)
    .optional()
    .describe('Of sizes: where they are compared. 0.5 and 0.95 unless given.'),
  harmRatio: z
    .number()
    .gt(1)
    .max(100)
    .optional()
    .describe('Of bad events: from this ratio on `non_inferior` must not pass.'),
  share: z.number().gt(0).max(1).optional().describe('Part of `alpha` that it may spend. An equal part unless given.'),
})

const guards = strict({
  alpha: z
    .number()
    .gt(0)
    .max(0.5)
    .optional()
    .describe('Chance that a healthy canary is ever aborted.')
    .meta({ default: defaultPolicy.alpha }),
  beta: z
    .number()
    .gt(0)
    .max(0.5)
    .optional()
    .describe('Chance that a harmful one ever passes `non_inferior`.')
    .meta({ default: defaultPolicy.beta }),
  minBadEvents: count(defaultPolicy.minBadEvents, 1, 1000)
    .optional()
    .describe('Bad events of the canary below which no guard acts.'),
  slowStart: duration(defaultPolicy.slowStart).describe(
    'A request without a first byte for so long is a bad event, in both arms; longer where the stable arm itself takes long.',
  ),
  abort: z.array(guard).min(1).max(16).optional().describe('Guards that abort.'),
  signal: z
    .array(guard)
    .min(1)
    .max(16)
    .optional()
    .describe('Guards that pause the steps, until somebody resumes them.'),
  dryRun: z
    .array(z.enum(metrics as [(typeof metrics)[number]]))
    .max(16)
    .optional()
    .describe('Metrics whose guards are watched and abort nothing.'),
  hard: z
    .array(z.enum([...(Object.keys(faultRules) as (keyof typeof faultRules)[]), 'unsupported_parameter']))
    .max(32)
    .optional()
    .describe('Kinds of fault of which three in a row on the canary abort, where stable is well.'),
  slo: strict({
    errorRate: z
      .number()
      .gt(0)
      .lt(1)
      .describe("Bound of the canary's rate of first-attempt errors, whatever stable's is."),
  })
    .optional()
    .describe('For what a comparison cannot see: harm that both arms suffer, and a canary that is alone.'),
})

export const rollout = strict({
  route: text(256).describe('The route whose traffic is moved.'),
  stable: refs.optional().describe("What it is compared with. The route's own targets unless given."),
  canary: refs.describe(
    'What is tried: a target, or a list of them, best first; `route:NAME` for those of another route.',
  ),
  assign: assign.optional().describe('What stays on one side, and how it is known.'),
  exclude: z
    .array(z.string().regex(/^api_key:\S{1,128}$/, { error: 'expected api_key:NAME, stars allowed' }))
    .max(64)
    .optional()
    .describe('API keys whose requests stay on the stable arm and are no evidence.'),
  steps: z.array(step).min(1).max(100).describe('The way up, one after the other. After the last it is completed.'),
  guards: guards.optional().describe('What ends it, and how sure that has to be.'),
  budget: strict({
    canaryUsd: z
      .number()
      .gt(0)
      .max(1_000_000)
      .optional()
      .describe(
        'What requests of the canary may cost in one attempt, their fallbacks included. Unknown prices count 0.',
      ),
    exposedUnits: z
      .number()
      .int()
      .min(1)
      .max(1_000_000_000)
      .optional()
      .describe('Units (requests where that is the unit) that may be assigned to the canary in one attempt.'),
  })
    .optional()
    .describe('What it may cost to try it: when that is used up it is aborted, whatever the guards say.'),
  inFlight: z
    .enum(['redispatch', 'finish'], { error: 'expected redispatch or finish' })
    .optional()
    .describe('When it is aborted: requests without a first byte go to the stable arm, or may finish.')
    .meta({ default: 'redispatch' }),
  notify: z.array(id).max(16).optional().describe('Webhooks that are told of it; all of them unless given.'),
})

export const rolloutSections = {
  rollouts: emptyRecord(id, rollout)
    .optional()
    .describe(
      'Moves of traffic from one model to another in steps, by name; each begins with `turnout rollout start`.',
    ),
}

export type CanaryFields = z.output<typeof canary>
export type RolloutFields = z.output<typeof rollout>
export type GuardFields = z.output<typeof guard>
