// Which windows the machine slowed down: found by what a request cost there, where the work is always the same.
import { percentile } from './statistics.ts'

/** A request takes the same work in each window; by how much more CPU its window may differ from the quiet ones. */
const quietLimit = 0.2
/** Where most windows were slowed down, a quartile would be, too. */
const quietest = 0.1
/** Fewer cannot tell which of them were quiet. */
const fewest = 4

/**
 * What the CPU of a request may be in a window that counts, of a contender at a work: a fifth above the tenth part of its windows that was cheapest. What
 * others do on the host (the other half of a core, the shared cache and memory) makes requests dearer, never cheaper, and shows in no count of
 * stolen time: seen as 53 µs and 106 µs in two windows of one process within a second. Infinity for too few windows.
 */
export const dearest = (cpuPerRequest: readonly number[]): number =>
  cpuPerRequest.length < fewest ? Number.POSITIVE_INFINITY : percentile(cpuPerRequest, quietest) * (1 + quietLimit)

/** Why a window of that CPU does not count; undefined = it does. */
export const findSlowed = (cpuPerRequest: number, most: number): string | undefined =>
  cpuPerRequest > most
    ? `a request took ${Math.round((cpuPerRequest / most) * (1 + quietLimit) * 100 - 100)} % more CPU than in quiet windows`
    : undefined
