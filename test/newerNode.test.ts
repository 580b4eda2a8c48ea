// On a Node that the compiled SQLite driver is not for: the other driver, which is in the package ready-made, and one ledger for both.
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Build, buildTurnout } from './support/crash/build.ts'
import { openPlace } from './support/crash/place.ts'
import { describeReport, runRounds } from './support/crash/rounds.ts'
import { runCli } from './support/crash/server.ts'

/** Holds `node`, and `node_modules` as that one has installed them. */
const place = process.env.TURNOUT_NEWER_NODE
if (place === undefined && process.env.CI === 'true') throw new Error('TURNOUT_NEWER_NODE is not set: see .ci/run')

describe.skipIf(place === undefined)('a newer Node (TURNOUT_NEWER_NODE is not set: see .ci/run)', () => {
  let build: Build
  beforeAll(() => {
    const { folder } = buildTurnout()
    const copy = mkdtempSync(join(place!, 'build-'))
    cpSync(folder, copy, { recursive: true })
    build = { folder: copy, main: join(copy, 'dist/bin/turnout.js'), node: join(place!, 'node') }
  })
  afterAll(() => {
    if (build) rmSync(build.folder, { recursive: true, force: true })
  })

  it('has the driver that nobody compiled', async () => {
    expect((await runCli(build, ['doctor'], tmpdir())).out).toMatch(/^ok {4}sqlite: better-sqlite3 13\.\S+ loads$/m)
  })

  it('is killed at any moment, and its ledger tells the story of clients and vendor', {
    timeout: 300_000,
  }, async () => {
    const report = await runRounds({ rounds: 5, seed: 26, build })
    console.log(describeReport(report))
    expect(report.wrong).toEqual([])
    expect(report.exactCost).toBe(report.exactBill)
    expect(report.whole).toBeGreaterThan(20)
  })

  it('goes on with the ledger of another Node, killed with open rows, and that one with its', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'turnout-nodes-'))
    const nodes = [await openPlace({ folder }), await openPlace({ folder, build }), await openPlace({ folder })]
    try {
      for (const [index, one] of nodes.entries()) {
        await one.start()
        await Promise.all(Array.from({ length: 8 }, (_, k) => one.ask('quick', k % 2 === 0)))
        expect(one.sightings.map(({ status }) => status)).toEqual(Array(8).fill(200))
        if (index < 2) await one.server.kill()
      }
      const { code, out } = await nodes[2]!.verify()
      expect([code, out]).toEqual([0, expect.stringContaining('24 ')])
    } finally {
      for (const one of nodes) await one.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
