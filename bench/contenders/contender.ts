// What a contender is: how it is started, and how a work is put to it.
import type { IncomingHttpHeaders } from 'node:http'
import type { Child } from '../child.ts'
import type { Machine } from '../machine.ts'
import type { Lane, Work } from '../work.ts'

/** What a contender's start may use. Paths are absolute. */
export interface Grounds {
  readonly machine: Machine
  /** Origin of the upstream of each lane. */
  readonly upstreams: Readonly<Record<Lane, string>>
  /** A fresh folder of its own, inside `bench/out`. */
  readonly folder: string
  readonly port: number
}

export interface Contender {
  readonly name: string
  readonly title: string
  /** Starts it on the gateway's core. Resolves when the process is there, not when it answers. Undefined = no process. */
  start(grounds: Grounds): Promise<Child | undefined>
  /** Where and with which headers a client puts a request of this lane. `port` overrides the contender's own. */
  target(lane: Lane, upstream: string): { path: string; headers: Record<string, string>; port?: number }
  /** Which answers are the upstream's, byte for byte: all, or those that it does not translate. Undefined = it writes them anew. */
  readonly passes?: 'all' | 'identity'
  /** Why answers did not take the way that the work is about, by the headers of all of them. */
  detour?(work: Work, answers: readonly IncomingHttpHeaders[]): string | undefined
}

/** A contender that was started for this run. */
export interface Running {
  readonly contender: Contender
  readonly grounds: Grounds
  readonly child: Child | undefined
}

/** A key that no vendor has; every contender gets it from the client or its configuration. */
export const benchKey = 'sk-test-bench-0000000000000000'
