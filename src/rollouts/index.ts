// What the rest of Turnout uses of the statistics of rollouts.
export { bucketOf, drawBucket, isCanary, million, thresholdOf } from './assignment.ts'
export { type BadEvent, badEvents, bitOf, type Metric, metrics, namesOf, type Size, sizes } from './outcome.ts'
export { defaultPolicy, faultsOf, type GuardAction, type GuardSetting, type RolloutPolicy } from './policy.ts'
export {
  defaultSources,
  parseSource,
  type UnitFacts,
  type UnitKind,
  type UnitSource,
  unitKinds,
  unitOf,
} from './unit.ts'
export { formatUnit, parseUnit, type UnitId, UnitTable, unitIdOf } from './unitTable.ts'
