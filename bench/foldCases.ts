// The micro-timings of what a thread beside the event loop does for each request of a running rollout: its row is folded into sums.
import { join } from 'node:path'
import type { NewEvent, RolloutDefinition } from '../src/config/rolloutTypes.ts'
import { bitOf, drawBucket, Evidence, formatUnit, type UnitKind, unitIdOf } from '../src/rollouts/index.ts'
import { draftState, type State } from '../src/rollouts/machine.ts'
import { type Entry, makeBatchWriter } from '../src/store/batch.ts'
import { firstIdOf } from '../src/store/ledgerId.ts'
import { openStore } from '../src/store/open.ts'
import { factsOf } from '../src/store/rolloutCases.ts'
import { foldRows } from '../src/store/rolloutFolds.ts'
import { openRollouts } from '../src/store/rollouts.ts'
import { benchRollout } from './benchRollout.ts'
import { makeFolder } from './folders.ts'
import type { Case } from './microCases.ts'

const begun = Date.UTC(2026, 4, 4, 10)
const rows = 10_000
const failed = bitOf('first_attempt_error')

/** Requests that go well but for 2 %, a hundred a second, as the ledger writes them. */
function* entriesOf(rollout: number, { policy }: RolloutDefinition): Generator<Entry> {
  const evidence = new Evidence(policy, begun)
  for (let n = 0; n < rows; n++) {
    const at = begun + n * 10
    const unit = policy.unit === 'request' ? undefined : unitIdOf('seed', `user-${(n * 7919) % 2000}`)
    const bucket = unit?.high ?? drawBucket(((n * 7919) % 100_003) / 100_003)
    const ticket = evidence.admit({ now: at, bucket, weightPpm: 50_000, unit })
    if (n % 50 === 0) evidence.fail(ticket, at, failed, 'server_error')
    else evidence.begin(ticket, at, 100 + (n % 50))
    evidence.end(ticket, at, { bits: 0, latency: 500 + (n % 70), cost: 1000 + (n % 13), output_tokens: 30 + (n % 7) })
    const record = evidence.recordOf(ticket)
    const request = { id: firstIdOf(at), route: 'chat', key: 'bench', team: 'bench', dialect: 'openai-chat', config: 1 }
    const times = { latencyMs: 500, firstTokenMs: 100, overheadMs: 0.2 }
    const facts = factsOf({
      rollout: 'bench',
      revision: 2,
      arm: record.canary ? 'canary' : 'stable',
      propensityPpm: record.ppm,
      assignment: 'hash',
      unit: unit && formatUnit(unit),
      arrivalSeq: n + 1,
      firstAttemptClass: n % 50 === 0 ? 'server_error' : 'ok',
      badMask: record.bad,
      servedArm: 'stable',
      rolloutId: rollout,
      attempt: 1,
      epoch: record.epoch,
      seen: record.seen,
      shares: record.shares,
    })
    yield {
      kind: 'settle',
      request: { ...request, ...times, stream: false, status: 200, outcome: 'ok', rollout: facts },
      attempts: [],
    }
  }
}

async function foldCase(unit: UnitKind): Promise<Case> {
  const store = openStore({ file: join(makeFolder(`fold-${unit}`), 'turnout.db') })
  const keeper = openRollouts(store)
  const definition = benchRollout(unit, 'up/new')
  const event = (verb: NewEvent['verb'], to: State): NewEvent => {
    const { revision, phase, weightPpm, attempt } = to
    const moved = { verb, from: '' as const, to: phase, step: 0, revision, weightPpm, attempt }
    return { ...moved, at: begun, actor: 'bench', cause: 'operator', reason: '', evidence: null }
  }
  const draft = draftState(begun)
  const state: State = { ...draft, revision: 2, phase: 'stepping', attempt: 1, weightPpm: 50_000 }
  const made = {
    definition,
    specHash: 'x',
    seed: 'seed',
    origin: 'admin',
    createdBy: 'bench',
    createdAt: begun,
  } as const
  const id = await keeper.create({ ...made, state: draft }, event('create', draft))
  await keeper.change(id, 1, state, event('start', state))
  makeBatchWriter(store.db, store.instance).write([...entriesOf(id, definition)])
  const forget = store.db.prepare('DELETE FROM rollout_fold')
  const before = firstIdOf(begun + rows * 10)
  const work = (): void => {
    if (foldRows(store.db, id, 1, before).rows !== rows)
      throw new Error('the bench folds other rows than it has written')
    forget.run()
  }
  return { name: `fold of ${rows.toLocaleString('en')} rows, unit = ${unit}, per row`, work, per: rows }
}

export const foldCases = (): Promise<Case[]> => Promise.all([foldCase('request'), foldCase('user')])
