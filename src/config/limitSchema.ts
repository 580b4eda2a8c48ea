// The part of the schema that says how much may pass and what it may cost: limits, budgets, teams, and who may come at all.
import * as z from 'zod'
import { defaults } from './defaults.ts'
import { block, count, duration, emptyRecord, id, strict, text } from './schemaField.ts'

const one = <Scope extends string>(scopes: readonly [Scope, ...Scope[]]) =>
  z
    .union([z.enum(scopes), z.array(z.enum(scopes)).max(scopes.length)], {
      error: `expected one of ${scopes.join(', ')}, or a list of these`,
    })
    .transform((value) => [...new Set(typeof value === 'string' ? [value] : value)] as Scope[])
    .optional()

const amount = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER)

const limitFields = {
  requests: amount.optional().describe('Requests in any stretch of `window`.'),
  tokens: amount
    .optional()
    .describe('Tokens in any stretch of `window`: estimated when a request comes, what it used when it ends.'),
  concurrency: z.number().int().min(1).max(1_000_000).optional().describe('Requests at the same time.'),
  window: duration(defaults.limits.window).describe('Over how long requests and tokens are counted. At most a day.'),
  queueMs: count(defaults.limits.queueMs, 0, 600_000)
    .optional()
    .describe('Milliseconds that a request may wait for its turn before it is refused.'),
  queueSize: count(defaults.limits.queueSize, 1, 10_000).optional().describe('Requests that may wait at a time.'),
  answerTokens: count(defaults.limits.answerTokens, 0, 10_000_000)
    .optional()
    .describe('For `tokens`: what an answer without a cap of its own is taken for until it has ended.'),
}

/** Dollars as a number or as text, above 0. */
export const usd = z.union(
  [
    z.number().positive({ error: 'a budget is above 0' }).max(9_000_000, { error: 'a budget is at most 9000000' }),
    z
      .string()
      .regex(/^\d{1,7}(\.\d{1,9})?$/, { error: 'expected dollars, such as 12.50' })
      .refine((value) => Number(value) > 0 && Number(value) <= 9_000_000, {
        error: 'a budget is above 0, and at most 9000000',
      }),
  ],
  { error: 'expected dollars, such as 12.50' },
)

const budgetFields = {
  usd: usd.describe('US dollars that may be spent in a window.'),
  hard: z.boolean().optional().describe('Refuse what could take it over; `false`: only tell.').meta({ default: true }),
  window: z
    .enum(['minute', 'hour', 'day', 'week', 'month', 'lifetime'])
    .optional()
    .describe('How long the money has to last.')
    .meta({ default: defaults.budgets.window }),
  rolling: z
    .boolean()
    .optional()
    .describe("Count the last hour, 24 hours, 7 days, 30 days in place of the calendar's.")
    .meta({ default: false }),
  timezone: text(64)
    .optional()
    .describe('Whose calendar, such as `Europe/Berlin`.')
    .meta({ default: defaults.budgets.timezone }),
  onExhausted: z
    .string()
    .regex(/^(refuse|route:\S{1,256})$/, { error: 'expected refuse, or route:NAME' })
    .optional()
    .describe('`refuse` with 402, or `route:NAME` to answer by another, cheaper route.')
    .meta({ default: 'refuse' }),
  fit: z
    .boolean()
    .optional()
    .describe('Cap an answer without a cap of its own so that it fits what is left.')
    .meta({ default: false }),
  onUnknownPrice: z
    .enum(['refuse', 'warn'])
    .optional()
    .describe('Calls whose cost has no known bound: `refuse`, or let them pass uncounted until they end (`warn`).')
    .meta({ default: 'refuse' }),
}

const limitScopes = ['key', 'team', 'route', 'user', 'ip'] as const
const budgetScopes = ['key', 'team', 'user', 'route', 'target'] as const

const names = {
  key: text(256).optional().describe('Only requests of this key.'),
  team: text(256).optional().describe('Only requests of this team.'),
  route: text(256).optional().describe('Only requests on this route.'),
}

const limit = strict({
  per: one(limitScopes).describe('What it is counted by: each key has its own. Without it all requests share one.'),
  only: strict(names).optional().describe('Only requests with these names.'),
  ...limitFields,
})

const budget = strict({
  per: one(budgetScopes).describe('What it is counted by: each key has its own. Without it all requests share one.'),
  only: strict({ ...names, target: text(384).optional().describe('Only calls of this target.') })
    .optional()
    .describe('Only calls with these names.'),
  ...budgetFields,
})

const listOf = <Block extends z.ZodType>(part: Block) =>
  z
    .union([part, z.array(part).max(16)], { error: 'expected a block, or a list of blocks' })
    .transform((value) => (Array.isArray(value) ? value : [value]) as z.output<Block>[])
    .optional()

const ownLimits = listOf(strict(limitFields))
const ownBudgets = listOf(strict(budgetFields))

/** What a key or a team brings along: counted for it as a whole. */
export const ownRules = {
  limits: ownLimits.describe('How much it may ask for: a block, or a list of them.'),
  budgets: ownBudgets.describe('What it may cost: a block, or a list of them.'),
}

/** What a route brings along: may be told apart by those who use it. */
export const routeRules = {
  limits: listOf(
    strict({ per: one(limitScopes).describe('What it is counted by on this route.'), ...limitFields }),
  ).describe('How much may be asked of it: a block, or a list of them.'),
  budgets: listOf(
    strict({ per: one(budgetScopes).describe('What it is counted by on this route.'), ...budgetFields }),
  ).describe('What it may cost: a block, or a list of them.'),
}

const access = block({
  allow: z.array(text(64)).optional().describe('Addresses or CIDR ranges; nobody else may come.'),
  deny: z.array(text(64)).optional().describe('Addresses or CIDR ranges that may not come, whatever `allow` says.'),
  statusPerMinute: count(defaults.access.statusPerMinute, 0)
    .optional()
    .describe('Requests for `/status` in any minute from one address. 0 = not limited.'),
  metricsPerMinute: count(defaults.access.metricsPerMinute, 0)
    .optional()
    .describe('Requests for `/metrics` in any minute from one address. 0 = not limited.'),
  failuresPerMinute: count(defaults.access.failuresPerMinute, 0)
    .optional()
    .describe('Wrong keys in any minute from one address, after which it has to wait. 0 = not limited.'),
})

/** The sections of the document. */
export const limitSections = {
  limits: emptyRecord(id, limit)
    .optional()
    .describe('How much may be asked for, by names of your choice. None unless given.'),
  budgets: emptyRecord(id, budget)
    .optional()
    .describe('What may be spent, by names of your choice. None unless given.'),
  teams: emptyRecord(id, strict(ownRules)).optional().describe('What the keys of a team share.'),
  access: access.optional().describe('Which addresses may come, and how often to the pages without a key.'),
}

/** `limits` and `budgets` of a key that is made at run time, as JSON. */
export const ownRulesSchema = strict(ownRules)

export type LimitFields = z.output<typeof limit>
export type BudgetFields = z.output<typeof budget>
export type OwnRules = z.output<typeof ownRulesSchema>
export type AccessFields = z.output<typeof access>
