// What Claude model families can take, as data. Facts from Anthropic's model, thinking, effort and structured-output pages and from
// what its API answered; a name that nobody here knows is treated like the newest family.

export interface Family {
  /** Names that belong to it; the first family that matches is taken. Prefixes and suffixes of cloud providers are let through. */
  readonly match: RegExp
  /** Largest `max_tokens`; the API demands the parameter, so it is also what an unset one becomes. */
  readonly maxOutput: number
  /** Whether `maxOutput` is known to be the limit: a larger wish is then cut, because the API refuses it. */
  readonly limitKnown: boolean
  /** `budgets`: takes `thinking: {type: enabled, budget_tokens}`. `adaptive`: takes `{type: adaptive}` with an effort. */
  readonly thinking: { readonly budgets: boolean; readonly adaptive: boolean }
  /** Values of `output_config.effort` that it takes, lowest first. */
  readonly efforts: readonly string[]
  /** Takes `temperature`, `top_p` and `top_k`. Models after Opus 4.6 refuse all but their defaults. */
  readonly sampling: boolean
  /** Refuses `temperature` and `top_p` in one request. */
  readonly oneSampler: boolean
  /** Takes `output_config.format` and strict tools. */
  readonly structured: boolean
  /** Leaves out thought text unless `display: summarized` asks for it. */
  readonly hidesThoughts: boolean
}

const base: Omit<Family, 'match' | 'maxOutput'> = {
  limitKnown: true,
  thinking: { budgets: false, adaptive: false },
  efforts: [],
  sampling: true,
  oneSampler: false,
  structured: false,
  hidesThoughts: false,
}
const budgets = { budgets: true, adaptive: false }
const newest: Omit<Family, 'match' | 'maxOutput'> = {
  limitKnown: true,
  thinking: { budgets: false, adaptive: true },
  efforts: ['low', 'medium', 'high', 'xhigh', 'max'],
  sampling: false,
  oneSampler: false,
  structured: true,
  hidesThoughts: true,
}
const both = { budgets: true, adaptive: true }
const upToMax = ['low', 'medium', 'high', 'max']

const families: readonly Family[] = [
  { ...base, match: /claude-(instant|2)/, maxOutput: 4096 },
  { ...base, match: /claude-3-(opus|sonnet|haiku)/, maxOutput: 4096 },
  { ...base, match: /claude-3-5-/, maxOutput: 8192 },
  { ...base, match: /claude-3-7-/, maxOutput: 64_000, thinking: budgets },
  {
    ...base,
    match: /claude-opus-4-6/,
    maxOutput: 128_000,
    thinking: both,
    efforts: upToMax,
    oneSampler: true,
    structured: true,
  },
  {
    ...base,
    match: /claude-sonnet-4-6/,
    maxOutput: 64_000,
    thinking: both,
    efforts: upToMax,
    oneSampler: true,
    structured: true,
  },
  {
    ...base,
    match: /claude-(opus|sonnet|haiku)-4-5/,
    maxOutput: 64_000,
    thinking: budgets,
    oneSampler: true,
    structured: true,
  },
  { ...base, match: /claude-opus-4-1/, maxOutput: 32_000, thinking: budgets, oneSampler: true },
  { ...base, match: /claude-opus-4(?!-\d\b)/, maxOutput: 32_000, thinking: budgets },
  { ...base, match: /claude-opus-4-0/, maxOutput: 32_000, thinking: budgets },
  { ...base, match: /claude-sonnet-4(?!-[1-9]\b)/, maxOutput: 64_000, thinking: budgets },
  { ...newest, match: /claude-opus-(4-[7-9]|[5-9])/, maxOutput: 128_000 },
  { ...newest, match: /claude-/, maxOutput: 64_000, limitKnown: false },
]

const unknown: Family = { ...newest, match: /^/, maxOutput: 64_000, limitKnown: false }

/** The family of a model name. Some gateways write `claude-sonnet-4.5`. */
export function familyOf(model: string): Family {
  const name = model.toLowerCase().replaceAll('.', '-')
  return families.find(({ match }) => match.test(name)) ?? unknown
}

/** Thinking budgets that OpenAI's efforts stand for, in tokens, where a family knows budgets only. */
export const effortBudgets: Readonly<Record<string, number>> = {
  minimal: 1024,
  low: 2048,
  medium: 8192,
  high: 16_384,
  xhigh: 32_000,
  max: 48_000,
}

/** The smallest budget that the API takes. */
export const minBudget = 1024

/** Lowest first; for finding the nearest level that a family has. */
export const effortOrder: readonly string[] = ['minimal', 'low', 'medium', 'high', 'xhigh', 'max']
