// Puts together what decides whether a request may come now: the door, the blocks and the limits, with what is told of them.
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Snapshot } from '../config/snapshot.ts'
import { type Blocks, blockKinds, createBlocks } from '../state/limits/blocks.ts'
import type { LimitRefusal, Limits } from '../state/limits/limit.ts'
import { createLimits, type LimitOptions } from '../state/limits/limits.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { doorReasons, limitKinds, limitScopeNames } from '../telemetry/metricTable.ts'
import type { Rates } from './bill.ts'
import { createDoor, type Door, type DoorReason } from './door.ts'
import { createLimitGate, type LimitGate } from './limitGate.ts'

export interface AdmissionParts {
  snapshot(): Snapshot
  readonly log: Log
  readonly metrics: Metrics
  rates(snapshot: Snapshot): Rates
  /** The client's address, behind the trusted proxies. */
  clientAddress(req: IncomingMessage): string
  /** The installation's hash of an end user's id. */
  readonly hashUser: ((user: string) => string) | undefined
  /** A clock that never goes back and its timers; default: the real ones. */
  readonly clock?: Pick<LimitOptions, 'now' | 'later'> | undefined
}

export interface Admission {
  readonly door: Door
  readonly blocks: Blocks
  readonly limits: Limits
  readonly gate: LimitGate
  hashUser(user: string): string
  /** Another configuration is in force: its limits hold at once, for those who wait too, and count on where the old ones were. */
  swapped(next: Snapshot): void
  close(): void
}

/** Milliseconds between two looks for entities that nobody asked for. */
const SWEEP = 60_000

/** Call once; the door, the blocks and the limits of one gateway, with their metrics. */
export function createAdmission(parts: AdmissionParts): Admission {
  const { snapshot, log, metrics, rates, clientAddress, clock } = parts
  const hashUser = parts.hashUser ?? plainHash
  const blocks = createBlocks()
  const limits = createLimits(clock)
  const turned = metrics.counter('doorRefusals').seed()
  const refused = metrics.counter('limitRefusals').seed()
  const turnedAway = (reason: DoorReason): void => {
    turned[doorReasons.indexOf(reason)]!++
  }
  const door = createDoor({
    access: () => snapshot().access,
    blocks,
    clientAddress,
    turnedAway,
    shutOut: (address) =>
      log.warn(
        `too many wrong keys from ${snapshot().log.clientAddress ? address : 'one address'}: it has to wait a minute`,
        { event: 'shut_out' },
      ),
    now: clock?.now,
  })
  const gate = createLimitGate({
    limits,
    blocks,
    rates,
    hashUser,
    addressOf: door.addressOf,
    refused: (refusal) => {
      refused[cellOf(refusal)]!++
    },
    turnedAway(refusal) {
      turnedAway('blocked')
      return refusal
    },
  })
  metrics.gauge('limitWaiting', () => [{ labels: {}, value: limits.size.waiting }])
  metrics.gauge('limitEntities', () => [{ labels: {}, value: limits.size.entities }])
  metrics.gauge('blocks', () => {
    const inForce = blocks.list()
    return blockKinds.map((kind) => ({
      labels: { kind },
      value: inForce.reduce((sum, block) => sum + (block.kind === kind ? 1 : 0), 0),
    }))
  })
  const swapped = (next: Snapshot): void =>
    limits.prune([...next.limits, ...[...next.routes.values()].flatMap((route) => route.limits)])
  const sweep = setInterval(() => swapped(snapshot()), SWEEP).unref()
  return {
    door,
    blocks,
    limits,
    gate,
    hashUser,
    swapped,
    close() {
      clearInterval(sweep)
      limits.close()
    },
  }
}

/** The cell of a refusal in its counter's row: names of limits and keys are no labels. */
function cellOf({ scope, kind }: LimitRefusal): number {
  const found = limitScopeNames.indexOf(scope as (typeof limitScopeNames)[number])
  const place = found === -1 ? limitScopeNames.indexOf('several') : found
  return place * limitKinds.length + limitKinds.indexOf(kind)
}

/** Without an installation there is no secret to hash with; ids have to be short in any case. */
const plainHash = (user: string): string => createHash('sha256').update(user).digest('base64url').slice(0, 22)
