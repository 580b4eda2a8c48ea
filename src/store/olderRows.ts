// Lets who only reads see a database of an older program, whose rows of rollouts say all themselves, as if they named cases.
import type { Sqlite } from './driver.ts'

const ofCase = [
  'rollout',
  'rollout_id',
  'attempt',
  'revision',
  'arm',
  'propensity_ppm',
  'assignment',
  'first_attempt_class',
  'served_arm',
  'seen',
  'bad_mask',
]
const ofRow = ['arrival_seq', 'epoch', 'unit', 'shares', 'shadow_of']

/**
 * Only a start of the gateway changes the schema: until then each row is a case of its own, by views that this connection alone sees. What
 * the program of then did not write is NULL.
 */
export function readOlderRows(db: Sqlite): void {
  const columnsOf = db.prepare("SELECT name FROM pragma_table_info('request_rollout', 'main')").pluck()
  const known = columnsOf.all() as string[]
  if (known.length === 0 || known.includes('case_id')) return
  const list = (names: readonly string[]): string =>
    names.map((name) => (known.includes(name) ? name : `NULL AS ${name}`)).join(', ')
  db.exec(`CREATE TEMP VIEW rollout_case AS SELECT id, ${list(ofCase)} FROM main.request_rollout`)
  db.exec(`CREATE TEMP VIEW request_rollout AS SELECT id, id AS case_id, ${list(ofRow)} FROM main.request_rollout`)
}
