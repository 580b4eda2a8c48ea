// C55: configurations are swapped by the hundred under load and live streams; no request fails, and none sees two of them.
import { expect, it } from 'vitest'
import { stormSwaps } from './soak/swapStorm.ts'

it('C55 200 swaps of a serving process: nothing dropped, nothing mixed, files with mistakes refused', async () => {
  const report = await stormSwaps({ swaps: 200, jsonClients: 4, streamClients: 6 })
  expect(report.failed).toEqual([])
  expect(report.mixed).toEqual([])
  expect(report).toMatchObject({ swaps: 200, refused: 20 })
  // The load was one: most documents were seen, requests were caught between two attempts, streams lived through swaps.
  expect(report.seen).toBeGreaterThan(150)
  expect(report.requests).toBeGreaterThan(500)
  expect(report.fallbacks).toBeGreaterThan(100)
  expect(report.streamsAcrossSwaps).toBeGreaterThan(20)
}, 300_000)
