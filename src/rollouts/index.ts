// What the rest of Turnout uses of the statistics of rollouts. The life of a request in them: `admit` when its arm is chosen, then `begin`
// or `fail` or `leave` for its first attempt, `end` when it is settled, `recordOf` for its row; `tick` by the clock. After each of them
// `harm` says whether the canary has to go; `judge` says what is to be done at a step.
export { bucketOf, drawBucket, million } from './assignment.ts'
export { Evidence } from './evidence.ts'
export { breakerOpen } from './hardRule.ts'
export { type Decision, judge } from './judge.ts'
export type { Opening } from './opening.ts'
export { badEvents, bitOf, isSize, metrics, namesOf, sizes } from './outcome.ts'
export { defaultPolicy, faultsOf, type GuardAction, type GuardSetting, type RolloutPolicy } from './policy.ts'
export { countsOf } from './records.ts'
export { type EvidenceReport, type GuardReport, reportOf } from './report.ts'
export { type RowFold, RowFolder } from './rowFold.ts'
export type { Count } from './tally.ts'
export type { EvidenceRecord, Ticket } from './ticket.ts'
export {
  defaultSources,
  parseSource,
  type UnitKind,
  type UnitSource,
  unitKinds,
  unitOf,
} from './unit.ts'
export { formatUnit, parseUnit, type UnitId, UnitNames, unitIdOf } from './unitTable.ts'
