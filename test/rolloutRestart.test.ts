// A rollout survives restarts and kills: the same step, and the evidence that the rows have, to the last count.
import { afterEach, expect, it } from 'vitest'
import { countsOf, Evidence, reportOf } from '../src/rollouts/index.ts'
import { openStore } from '../src/store/open.ts'
import { openRollouts } from '../src/store/rollouts.ts'
import { LoadClient } from './soak/load.ts'
import { keys } from './support/control.ts'
import { type RolloutGateway, startRollout } from './support/rolloutLoad.ts'
import { endTurnout, runTurnout, said, startTurnout } from './support/turnoutProcess.ts'

let gateway: RolloutGateway
afterEach(() => gateway?.close())

// Both arms are alike in these tests, and chance alone would abort by default in one run of a hundred.
const steps =
  '    guards: { alpha: 0.000000001 }\n    steps: [ { setWeight: 20 }, { pause: { minRequests: 5 } }, { setWeight: 50 }, { pause: { duration: 1h } } ]\n'
const isAtHalf = (): boolean => gateway.running.turnout.rollouts!.find('move')!.state.weightPpm === 500_000

/** What the rows of the attempt add up to. */
function evidenceOfRows(): object {
  const store = openStore({ file: `${gateway.folder}/data/turnout.db`, readonly: true })
  try {
    const keeper = openRollouts(store)
    const { id, definition, state } = keeper.list().find((one) => one.definition.name === 'move')!
    const evidence = new Evidence(definition.policy, state.attemptAt)
    const records = [...keeper.records(id, state.attempt, state.attemptAt)]
    evidence.merge(
      countsOf(
        definition.policy,
        records.map(({ record }) => record),
      ),
    )
    const { guards, decided, assigned } = reportOf(evidence, state.weightPpm)
    return JSON.parse(JSON.stringify({ guards: guards.map(withoutSizes), decided, assigned }))
  } finally {
    store.close()
  }
}

/** What is decided by. The sizes that are shown are of the last requests of a process; the interval adds the shares in their order. */
const withoutSizes = ({ sizes: _, ratio: __, ...guard }: { sizes?: unknown; ratio?: unknown }): object => guard

async function shown(): Promise<{ evidence: object; phase: string; step: number; percent: number; revision: number }> {
  const { evidence, phase, step, percent, revision } = await gateway.get('/rollouts/move')
  const { guards, decided, assigned } = evidence
  return { evidence: { guards: guards.map(withoutSizes), decided, assigned }, phase, step, percent, revision }
}

it.each(['request', 'conversation'])(
  'stopped and started: by %s, the same step with the same evidence',
  async (unit) => {
    gateway = await startRollout(`    assign: { unit: ${unit} }\n${steps}`)
    // Both arms alike, so that nothing is aborted; and bad, so that there is something to remember.
    for (const model of ['stable', 'canary'])
      gateway.script(model, { tokens: 5, fault: { kind: 'status', status: 500, rate: 0.2 } })
    await gateway.verb('start')
    await gateway.drive(() => isAtHalf(), { patience: 150_000 })
    await gateway.drive((replies) => replies.length > 300)
    const before = await shown()
    expect(before).toMatchObject({ phase: 'stepping', step: 3, percent: 50 })
    await gateway.restart()
    expect(await shown()).toEqual(before)
    expect(evidenceOfRows()).toEqual(before.evidence)
    // And on it goes.
    await gateway.drive((replies) => replies.length > 50)
    expect(evidenceOfRows()).toEqual((await shown()).evidence)
  },
  300_000,
)

it('killed in the middle of its traffic: rows and evidence agree exactly', async () => {
  gateway = await startRollout(`    assign: { unit: request }\n${steps}`)
  for (const model of ['stable', 'canary'])
    gateway.script(model, { tokens: 5, firstTokenMs: 20, fault: { kind: 'status', status: 500, rate: 0.1 } })
  await gateway.verb('start')
  await gateway.running.stop()
  const env = { SIMULATOR_URL: gateway.simulator.url, TURNOUT_DATA_DIR: `${gateway.folder}/data` }
  const child = startTurnout(['serve', '-c', gateway.file], { cwd: gateway.folder, env })
  const [, url] = /listens on (\S+) /.exec(await said(child, 'stderr', /listens on \S+ /))!
  let answered = 0
  let dead = false
  const clients = Array.from({ length: 12 }, async () => {
    const client = new LoadClient(url!)
    const body = { model: 'moved', messages: [{ role: 'user', content: 'x' }] }
    while (!dead) {
      const { status } = await client.ask(body, { headers: { authorization: `Bearer ${keys.app}` } })
      if (status > 0) answered++
      if (status === 0) break
    }
    client.close()
  })
  await expect.poll(() => answered, { timeout: 60_000, interval: 20 }).toBeGreaterThan(400)
  await endTurnout(child, 'SIGKILL')
  dead = true
  await Promise.all(clients)
  const rows = evidenceOfRows() as { decided: { stable: number; canary: number } }
  // Every reply that a client has seen is in a row; those on their way are not.
  expect(rows.decided.stable + rows.decided.canary).toBeGreaterThanOrEqual(answered)
  await gateway.restart(true)
  const after = await shown()
  expect(after.evidence).toEqual(rows)
  expect(after.phase).toBe('stepping')
  expect(after.percent).toBeGreaterThanOrEqual(20)
}, 300_000)

it('a decision can be recomputed from the rows', async () => {
  gateway = await startRollout(
    '    assign: { unit: request }\n    guards: { dryRun: [ttft, latency] }\n    steps: [ { setWeight: 30 }, { pause: { duration: 1h } } ]\n',
  )
  gateway.script('canary', { tokens: 5, fault: { kind: 'status', status: 500, rate: 0.3 } })
  await gateway.verb('start')
  await gateway.drive(() => gateway.running.turnout.rollouts!.find('move')!.state.phase === 'rolled_back')
  const args = ['rollout', 'replay', 'move', '--db', `${gateway.folder}/data/turnout.db`]
  const { code, out, err } = await runTurnout(args, { cwd: gateway.folder })
  expect(code, out + err).toBe(0)
  expect(out).toMatch(
    /rows are evidence\nthe rows find harm with req_\w+: first_attempt_error: .*\nthe gateway aborted: first_attempt_error: .*\nboth agree\n$/,
  )
  // Rows that were changed lead elsewhere.
  await gateway.running.stop()
  const store = openStore({ file: `${gateway.folder}/data/turnout.db` })
  store.db.exec('UPDATE request_rollout SET bad_mask = 0')
  store.close()
  const changed = await runTurnout(args, { cwd: gateway.folder })
  expect([changed.code, changed.out.split('\n').at(-2)]).toEqual([1, 'they do not agree'])
  await gateway.restart(true)
}, 300_000)
