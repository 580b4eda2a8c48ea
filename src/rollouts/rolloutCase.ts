// What very many requests of a rollout have in common, as one text: it stands once in the ledger, and their rows name it.

/** Where a request was put, and how it was judged. */
export interface RolloutCase {
  readonly rollout: string
  /** Which rollout of that name, and which attempt of it. */
  readonly rolloutId?: number | undefined
  readonly attempt?: number | undefined
  readonly revision: number
  readonly arm: string
  readonly propensityPpm: number
  readonly assignment: 'hash' | 'override' | 'pinned' | 'probe'
  readonly firstAttemptClass?: string | undefined
  readonly servedArm?: string | undefined
  /** Guards that have looked at it; undefined where it is no evidence. */
  readonly seen?: number | undefined
  /** Guards for which it is bad: a bit each, below 2^53. */
  readonly badMask: number
}

/** The order of the columns, and of the parts of the text; the name is the last, for it may hold what parts them. */
export const caseParts = [
  'rolloutId',
  'attempt',
  'revision',
  'arm',
  'propensityPpm',
  'assignment',
  'firstAttemptClass',
  'servedArm',
  'seen',
  'badMask',
  'rollout',
] as const satisfies readonly (keyof RolloutCase)[]
export const caseNumbers = ['rolloutId', 'attempt', 'revision', 'propensityPpm', 'seen', 'badMask'] as const

/** @throws RangeError for numbers that are not whole */
export function caseText(one: RolloutCase): string {
  for (const name of caseNumbers)
    if (!Number.isSafeInteger(one[name] ?? 0)) throw new RangeError(`${name} is ${one[name]}, not a whole number`)
  return caseParts.map((name) => one[name] ?? '').join(' ')
}

/** The texts of the cases that came last: most requests are one of a few. For one rollout. */
export class CaseTexts {
  readonly #kept: { one: RolloutCase; text: string }[] = []

  /** As `caseText`. */
  textOf(one: RolloutCase): string {
    const kept = this.#kept
    for (let at = 0; at < kept.length; at++) {
      const found = kept[at]!
      if (!isSame(found.one, one)) continue
      // The frequent ones come to stand in front.
      if (at > 0) {
        kept[at] = kept[at - 1]!
        kept[at - 1] = found
      }
      return found.text
    }
    const text = caseText(one)
    if (kept.length >= mostKept) kept.pop()
    kept.push({ one, text })
    return text
  }
}

const mostKept = 24

/** What differs most comes first. */
const isSame = (a: RolloutCase, b: RolloutCase): boolean =>
  a.badMask === b.badMask &&
  a.arm === b.arm &&
  a.seen === b.seen &&
  a.firstAttemptClass === b.firstAttemptClass &&
  a.servedArm === b.servedArm &&
  a.assignment === b.assignment &&
  a.propensityPpm === b.propensityPpm &&
  a.revision === b.revision &&
  a.attempt === b.attempt &&
  a.rolloutId === b.rolloutId &&
  a.rollout === b.rollout

/** The parts of a text, '' where it has none. */
export function readCase(text: string): Record<(typeof caseParts)[number], string> {
  const words = text.split(' ')
  const last = caseParts.length - 1
  const all = [...words.slice(0, last), words.slice(last).join(' ')]
  return Object.fromEntries(caseParts.map((name, n) => [name, all[n]])) as ReturnType<typeof readCase>
}
