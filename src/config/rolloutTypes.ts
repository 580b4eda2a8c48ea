// What a rollout is, as it is configured, stored and run: its arms, who is assigned how, and where it goes. Plain JSON.

import type { EvidenceRecord, RolloutPolicy, RowFold, UnitKind, UnitSource } from '../rollouts/index.ts'
import type { Course, Phase, State, Verb } from '../rollouts/machine.ts'

/** What one side of a rollout asks. */
export interface ArmSpec {
  /** Ids of targets, `provider/model`, `route:NAME`; empty = the route's own targets. Best first. */
  readonly targets: readonly string[]
}

/** By what requests are assigned. Everything of one unit goes to one arm. */
export interface Assign {
  readonly unit: UnitKind
  /** The first that a request has counts. */
  readonly sources: readonly UnitSource[]
}

/** What an attempt may expose and spend before it is taken back, whatever its guards say. */
export interface RolloutBudget {
  /** What requests of the canary have cost, their fallbacks included. */
  readonly canaryNanoUsd?: number | undefined
  /** Units that were assigned to the canary. */
  readonly exposedUnits?: number | undefined
}

export interface RolloutDefinition {
  readonly name: string
  readonly route: string
  readonly stable: ArmSpec
  readonly canary: ArmSpec
  readonly assign: Assign
  readonly course: Course
  /** What it is judged by. */
  readonly policy: RolloutPolicy
  /** Patterns of names of API keys whose requests stay on the stable arm. */
  readonly excludeKeys: readonly string[]
  /** What becomes of requests that wait for the canary's first byte when it is aborted. */
  readonly inFlight: 'redispatch' | 'finish'
  /** Webhooks that are told of it; empty = all. */
  readonly notify: readonly string[]
  readonly budget?: RolloutBudget | undefined
}

/** What one request has added to the evidence, as its row has it. */
export interface StoredRecord {
  /** Of the request. */
  readonly id: number
  readonly revision: number
  readonly arrival: number
  readonly unit: string | undefined
  readonly firstAttempt: string
  readonly record: EvidenceRecord
}

/** The rows of an attempt, as a start takes them up. */
export interface KeptRows {
  /** What the older ones add up to, in the order of the rows. */
  readonly folds: readonly RowFold[]
  /** Those since, in the order of their ids. */
  readonly records: Iterable<StoredRecord>
  /** Ids of requests below it are folded. */
  readonly foldedTo: number
}

/** `canary:` of a route, or the environment: where a toggle begins that nobody has touched yet. */
export interface CanarySetting {
  readonly route: string
  readonly canary: ArmSpec
  readonly percent: number
  readonly unit: UnitKind
  readonly origin: 'file' | 'environment'
}

/** Who made it. */
export type RolloutOrigin = 'file' | 'environment' | 'admin' | 'toggle'

export interface StoredRollout {
  readonly id: number
  readonly definition: RolloutDefinition
  /** Of the route and its arms: what was aborted is known by it. */
  readonly specHash: string
  /** Random, so that it is not always the same users who get the new model. Kept through retries. */
  readonly seed: string
  readonly origin: RolloutOrigin
  readonly createdBy: string
  readonly createdAt: number
  readonly state: State
}

/** One row of the audit chain. */
export interface RolloutEvent {
  readonly seq: number
  readonly revision: number
  /** Unix milliseconds. */
  readonly at: number
  readonly actor: string
  readonly verb: Verb | 'create'
  readonly from: Phase | ''
  readonly to: Phase
  readonly step: number
  readonly weightPpm: number
  readonly attempt: number
  readonly cause: string
  readonly reason: string
  /** What was known when it happened. JSON. */
  readonly evidence: unknown
}

/** An event before it has its place in the chain. */
export type NewEvent = Omit<RolloutEvent, 'seq'>

/** An event with its place in the chain: each hash covers the one before it. */
export interface ChainedEvent extends RolloutEvent {
  readonly prevHash: string
  readonly hash: string
}

/** A command that may come again: who asked and by which key, and what was asked; both as SHA-256. */
export interface CommandKey {
  readonly id: string
  readonly fingerprint: string
  /** Its answer, where that is known before the change is stored. JSON. */
  readonly reply?: unknown
}

/** What became of a command that was done. */
export interface RememberedCommand {
  readonly fingerprint: string
  /** Id of the rollout that it was about; undefined = all. */
  readonly rollout: number | undefined
  /** JSON; undefined where the process ended between the change and its answer. */
  readonly reply: unknown
}

/** One that was taken back, and whose canary's answers may be in the file of the response cache still. */
export interface TakenBack {
  /** Its id. */
  readonly rollout: number
  readonly route: string
  /** The last at which it was taken back. */
  readonly revision: number
}

/** Where rollouts are kept. The database's, or nothing in a gateway without one. */
export interface RolloutKeeper {
  /** The latest of each name, and all that were completed; the latest last. */
  list(): StoredRollout[]
  /**
   * Rejects with `LedgerError`; then nothing was written.
   * @param also writes what else belongs to it, in the same transaction
   */
  create(
    rollout: Omit<StoredRollout, 'id'>,
    event: NewEvent,
    key?: CommandKey,
    also?: (id: number) => void,
  ): Promise<number>
  /** Of all together: rises with each change of any. */
  revision(): number
  /**
   * False where another transition was first. Rejects with `LedgerError`.
   * @param also as of `create`
   */
  change(
    id: number,
    expected: number,
    state: State,
    event: NewEvent,
    key?: CommandKey,
    also?: () => void,
  ): Promise<boolean>
  /** A command that was done before, of the last day. */
  findCommand(id: string): RememberedCommand | undefined
  /** Keeps the answer to a command. Rejects with `LedgerError`. */
  answerCommand(key: CommandKey, rollout: number | undefined, reply: unknown): Promise<void>
  /** Oldest first. */
  events(id: number): ChainedEvent[]
  /** All that ever had a name, oldest first. */
  idsOf(name: string): number[]
  /** How the latest try of these arms ended, where a guard or a hard rule ended it. */
  abortOf(specHash: string): { name: string; at: number; reason: string } | undefined
  /** Of one attempt, in the order of their ids. @param since Unix milliseconds: earlier rows are not looked at */
  records(id: number, attempt: number, since: number): Iterable<StoredRecord>
  /** The same, as far as they are folded. */
  rows(id: number, attempt: number, since: number): KeptRows
  /** Nano-USD that the requests of an attempt's canary have cost. @param since Unix milliseconds: earlier rows are not looked at */
  spent(id: number, attempt: number, since: number): number
  /** Where the chain of a rollout does not hold; undefined when it does. */
  findBreak(id: number): string | undefined
  /** All whose canary's answers are not known to be gone. */
  takenBack(): TakenBack[]
  /** The answers up to this revision are gone for good. Rejects with `LedgerError`. */
  dropped(taken: Omit<TakenBack, 'route'>): Promise<void>
}
