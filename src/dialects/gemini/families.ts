// What Gemini model families can take, as data. Facts from Google's model, thinking, OpenAI-compatibility and thought-signature pages
// and from what its API answered; a name that nobody here knows is treated like the newest family.

/** How a family is told how much to think. */
export type Thinking =
  | { readonly by: 'none' }
  /** `thinkingBudget` in tokens; `off` tells whether 0 is taken. */
  | { readonly by: 'budget'; readonly min: number; readonly max: number; readonly off: boolean }
  /** `thinkingLevel`, lowest first. */
  | { readonly by: 'level'; readonly levels: readonly Level[] }

export type Level = 'MINIMAL' | 'LOW' | 'MEDIUM' | 'HIGH'

export interface Family {
  /** Names that belong to it; the first family that matches is taken. */
  readonly match: RegExp
  /** Largest `maxOutputTokens`, where it is known: a larger wish is refused. */
  readonly maxOutput: number | undefined
  readonly thinking: Thinking
  /** Wants back the signature of the first function call of each step, and refuses without. */
  readonly signs: boolean
  /** Takes `responseJsonSchema`; older models know only the OpenAPI subset in `responseSchema`. */
  readonly jsonSchema: boolean
  /** Takes a JSON answer format, and Google's search, beside function declarations. */
  readonly mixes: boolean
  /** Gives call ids and takes them back. */
  readonly callIds: boolean
  /** Takes `systemInstruction`. */
  readonly system: boolean
}

const old: Omit<Family, 'match'> = {
  maxOutput: 8192,
  thinking: { by: 'none' },
  signs: false,
  jsonSchema: true,
  mixes: false,
  callIds: false,
  system: true,
}
const second: Omit<Family, 'match'> = { ...old, maxOutput: 65_536 }
const third: Omit<Family, 'match'> = {
  maxOutput: 65_536,
  thinking: { by: 'level', levels: ['MINIMAL', 'LOW', 'MEDIUM', 'HIGH'] },
  signs: true,
  jsonSchema: true,
  mixes: true,
  callIds: true,
  system: true,
}

const families: readonly Family[] = [
  { ...old, match: /gemma-[123]/, maxOutput: undefined, system: false },
  { ...old, match: /gemma/, maxOutput: undefined },
  { ...old, match: /gemini-(1|pro$|pro-vision)/, jsonSchema: false },
  { ...old, match: /gemini-2\.0-flash-thinking/, maxOutput: 65_536 },
  { ...old, match: /gemini-2\.0|gemini-exp/ },
  { ...second, match: /gemini-2\.5.*(image|tts|audio|computer)/, maxOutput: undefined },
  { ...second, match: /gemini-2\.5-pro/, thinking: { by: 'budget', min: 128, max: 32_768, off: false } },
  { ...second, match: /gemini-2\.5-flash-lite/, thinking: { by: 'budget', min: 512, max: 24_576, off: true } },
  { ...second, match: /gemini-2\.5/, thinking: { by: 'budget', min: 1, max: 24_576, off: true } },
  { ...third, match: /gemini-3-pro/, thinking: { by: 'level', levels: ['LOW', 'HIGH'] } },
  { ...third, match: /gemini-.*pro/, thinking: { by: 'level', levels: ['LOW', 'MEDIUM', 'HIGH'] } },
  { ...third, match: /gemini-[3-9]/ },
]

const newest: Family = { ...third, match: /^/, maxOutput: undefined }

/** The family of a model name. */
export function familyOf(model: string): Family {
  const name = model.toLowerCase()
  return families.find(({ match }) => match.test(name)) ?? newest
}

/** Budgets that OpenAI's efforts stand for, as Google's own OpenAI endpoint maps them; the two above `high` mean "all there is". */
export const effortBudgets: Readonly<Record<string, number>> = {
  minimal: 1024,
  low: 1024,
  medium: 8192,
  high: 24_576,
  xhigh: 32_768,
  max: 32_768,
}

/** Levels that OpenAI's efforts stand for. */
export const effortLevels: Readonly<Record<string, Level>> = {
  minimal: 'MINIMAL',
  low: 'LOW',
  medium: 'MEDIUM',
  high: 'HIGH',
  xhigh: 'HIGH',
  max: 'HIGH',
}

/** Lowest first. */
export const levelOrder: readonly Level[] = ['MINIMAL', 'LOW', 'MEDIUM', 'HIGH']

/**
 * Stands in for a thought signature that was lost or never made (another vendor's turn). Google documents this value for exactly that,
 * on its page "Thought signatures".
 */
export const lostSignature = 'skip_thought_signature_validator'
