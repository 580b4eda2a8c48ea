// The part of the schema that says what can be called: targets, routes, and how they survive failures.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import * as z from 'zod'
import { routeCache } from './cacheSchema.ts'
import { defaults } from './defaults.ts'
import { routeRules } from './limitSchema.ts'
import { canary } from './rolloutSchema.ts'
import { count, duration, id, strict, text } from './schemaField.ts'

export const timeouts = strict({
  connect: duration(defaults.timeouts.connect).describe('Longest wait for the connection, TLS included.'),
  firstToken: duration(defaults.timeouts.firstToken).describe(
    'Longest wait for the first generated content. Role-only chunks, pings and comments do not count.',
  ),
  idle: duration(defaults.timeouts.idle).describe('Longest gap between two pieces of generated content.'),
  total: duration(defaults.timeouts.total).describe('Longest time for one upstream call from start to end.'),
})

export const retries = strict({
  attempts: count(defaults.retries.attempts, 1, 10)
    .optional()
    .describe('Calls to one target in all, the first included. Only the last healthy target is called again.'),
  baseDelay: duration(defaults.retries.baseDelay).describe(
    'Bound of the wait before the first retry; it doubles with each. The wait is drawn between 0 and the bound.',
  ),
  maxDelay: duration(defaults.retries.maxDelay).describe(
    'Longest wait. A vendor that asks for more patience is not waited for.',
  ),
  budget: z
    .number()
    .min(0)
    .max(10)
    .optional()
    .describe('Retries as a share of requests, so that a vendor in trouble is not buried.')
    .meta({ default: defaults.retries.budget }),
})

export const breaker = strict({
  failures: count(defaults.breaker.failures).optional().describe('Upstream faults in a row that open it.'),
  percent: count(defaults.breaker.percent, 1, 100)
    .optional()
    .describe('Or this share of the calls in the window, if there were at least `volume`.'),
  volume: count(defaults.breaker.volume).optional().describe('Least number of calls in the window for `percent`.'),
  window: duration(defaults.breaker.window).describe('How far back calls count for `percent`.'),
  openFor: duration(defaults.breaker.openFor).describe(
    'How long a target is left alone before one call probes it again.',
  ),
  unhealthyFor: duration(defaults.breaker.unhealthyFor).describe(
    'The same after hard faults: model gone, key revoked, credit exhausted. One such fault is enough.',
  ),
  autoDisableAfter: count(defaults.breaker.autoDisableAfter, 0)
    .optional()
    .describe('Faults in a row after which an operator has to switch the target on again. 0 = never.'),
})

export const target = strict({
  provider: id.describe('Name of a provider under `providers`.'),
  model: text(256).describe('The model as the provider calls it, or `*` for the name that the client sent.'),
  params: z
    .record(
      z.string().regex(/^(?!(?:model|messages|stream|stream_options)$)[\w.-]+$/, {
        error: 'not a parameter that a target may force',
      }),
      z.json(),
    )
    .optional()
    .describe('Parameters forced on every request, by their name on the wire.'),
  systemPrefix: text(100_000)
    .optional()
    .describe("System text put before each request's messages: at the head of its own system message, if it has one."),
  timeouts: timeouts.optional().describe("Time limits of this target; they win over its route's."),
  breaker: breaker.optional().describe('When this target is left alone; what is not said here is said by `breaker`.'),
  sunset: z.iso
    .date({ error: 'expected a date such as 2026-12-31' })
    .optional()
    .describe('Day on which the provider retires the model, YYYY-MM-DD. Warns from 30 days before it.'),
})

const targetRef = text(384).describe(
  'Id of a target, or `provider/model`, or `provider/*`, or `route:NAME` for the targets of another route.',
)
const targetList = z.array(targetRef).min(1, { error: 'a route needs a target' }).max(64)
const specialList = z.array(targetRef).max(64)

export const routeName = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\s\p{Cc}]+$/u, { error: 'a route name may hold no spaces' })
  .refine((name) => (name.match(/\*+/g)?.length ?? 0) <= 8, { error: 'at most 8 stars in a pattern' })

export const route = z.union(
  [
    targetRef,
    targetList.describe('Targets, best first.'),
    strict({
      targets: targetList.describe('Targets, best first: the next is tried when one fails.'),
      timeouts: timeouts.optional().describe('Time limits of calls on this route.'),
      commitAfter: duration(defaults.commitAfter).describe(
        'Streams: after this long a wait for content the reply is begun all the same; no fallback after that.',
      ),
      toolArguments: z
        .enum(['check', 'pass'])
        .optional()
        .describe('`check` refuses a history whose tool arguments are not JSON; `pass` leaves that to the upstream.')
        .meta({ default: defaults.toolArguments }),
      usageCost: z
        .boolean()
        .optional()
        .describe('Add `cost` to the usage of replies, for clients that cannot read headers.')
        .meta({ default: false }),
      retries: retries.optional().describe('When and how often the last healthy target is called again.'),
      fallback: z
        .boolean()
        .optional()
        .describe('Whether the next target is tried when one fails.')
        .meta({ default: true }),
      onContextWindow: specialList.optional().describe('Targets for prompts that are too long for the others.'),
      onContentPolicy: specialList.optional().describe("Targets for what another's content policy forbids."),
      onAllFailed: z
        .enum(['error', 'message'])
        .optional()
        .describe('When all targets failed: the error, or an answer with `failureMessage`, marked as one.')
        .meta({ default: 'error' }),
      failureMessage: text(4096).optional().describe('Text of that answer.').meta({ default: defaults.failureMessage }),
      clientModels: z
        .boolean()
        .optional()
        .describe("Whether a client's `models: [...]` is a chain of its own.")
        .meta({ default: false }),
      strict: z
        .boolean()
        .optional()
        .describe('Refuse with 400 what a target cannot be told, in place of leaving it out.')
        .meta({ default: false }),
      canary: canary
        .optional()
        .describe('Another model that gets a percentage of this route, moved while it runs: see docs/rollouts.md.'),
      cache: routeCache,
      ...routeRules,
    }),
  ],
  { error: 'expected a target, a list of targets, or a block with `targets`' },
)
