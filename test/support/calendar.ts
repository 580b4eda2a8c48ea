// Keeps tests that look at days, months or hours away from the moment at which one of these ends.
import { setTimeout as pause } from 'node:timers/promises'

export const hour = 3_600_000
export const day = 24 * hour

/** Waits for the next period (in UTC) where fewer than `margin` milliseconds of this one are left. */
export async function clearOf(period: number, margin: number): Promise<void> {
  const left = period - (Date.now() % period)
  if (left < margin) await pause(left + 100)
}
