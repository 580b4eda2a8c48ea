// Gives numbers to the cases of rollouts, so that a request's row names its own by one.
import { caseNumbers, caseParts, caseText, type RolloutCase, readCase } from '../rollouts/rolloutCase.ts'
import type { Sqlite, Statement } from './driver.ts'
import type { RolloutFacts } from './ledgerRow.ts'
import { makeNumbers, type Names, type Numbers } from './names.ts'

/** The cases of a database. */
export function makeCases(db: Sqlite, names: Names): Numbers {
  const columns =
    'rollout_id, attempt, revision, arm, propensity_ppm, assignment, first_attempt_class, served_arm, seen, bad_mask, rollout'
  const find: Statement = db
    .prepare(`SELECT id FROM rollout_case WHERE ${columns.replaceAll(/\w+/g, '$& IS ?').replaceAll(',', ' AND')}`)
    .pluck()
  const insert: Statement = db.prepare(
    `INSERT INTO rollout_case (${columns}) VALUES (${caseParts.map(() => '?').join(', ')})`,
  )
  const isNumber = (name: string): boolean => (caseNumbers as readonly string[]).includes(name)
  const valuesOf = (text: string): (number | null)[] => {
    const read = readCase(text)
    return caseParts.map((name) => {
      const value = read[name]
      if (!isNumber(name)) return names.idOf(value)
      return value === '' ? null : Number(value)
    })
  }
  return makeNumbers({
    find: (text) => find.get(valuesOf(text)) as number | undefined,
    make: (text) => Number(insert.run(valuesOf(text)).lastInsertRowid),
  })
}

/** All that a row says of a request's place in a rollout, in one. */
export type WideFacts = RolloutCase & Omit<RolloutFacts, 'case'>

/** As rows are written, and as journals of earlier programs have them. */
export function factsOf({ unit, arrivalSeq, epoch, shares, shadowOf, ...one }: WideFacts): RolloutFacts {
  return { case: caseText(one), unit, arrivalSeq, epoch, shares, shadowOf }
}
