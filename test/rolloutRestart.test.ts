// A rollout survives restarts and kills: the same step, and the evidence that the rows have, to the last count.
import { afterEach, expect, it } from 'vitest'
import { countsOf, Evidence, reportOf } from '../src/rollouts/index.ts'
import { openStore } from '../src/store/open.ts'
import { openRollouts } from '../src/store/rollouts.ts'
import { LoadClient, type Reply } from './soak/load.ts'
import { keys } from './support/control.ts'
import { armOf, type RolloutGateway, startRollout } from './support/rolloutLoad.ts'
import { endTurnout, runTurnout, said, startTurnout } from './support/turnoutProcess.ts'

let gateway: RolloutGateway
afterEach(() => gateway?.close())

/** Nothing aborts, and nothing goes on by itself: what chance does to the arms must not decide how a test ends. */
const steps =
  '    steps: [ { setWeight: 20 }, { pause: { duration: 1h } }, { setWeight: 50 }, { pause: { duration: 1h } } ]\n' +
  '    guards: { dryRun: [ first_attempt_error, slow_start, late_error, ttft, latency, truncated, refused ] }\n'

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

/** What is decided by. The sizes that are shown are of the last requests of a process. */
const withoutSizes = ({ sizes: _, ...guard }: { sizes?: unknown }): object => guard

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
    await gateway.drive((replies) => replies.length > 100, { patience: 100_000 })
    await gateway.verb('promote')
    await gateway.drive((replies) => replies.length > 300, { patience: 100_000 })
    const before = await shown()
    expect(before).toMatchObject({ step: 3, percent: 50 })
    await gateway.restart()
    expect(await shown()).toEqual(before)
    expect(evidenceOfRows()).toEqual(before.evidence)
    // And on it goes.
    await gateway.drive((replies) => replies.length > 50, { patience: 100_000 })
    const { evidence } = await shown()
    await expect.poll(evidenceOfRows, { timeout: 60_000 }).toEqual(evidence)
  },
  300_000,
)

it.each([
  ['request', 'before any row was folded', 400, 0],
  ['conversation', 'after rows were folded', 1500, 500],
] as const)(
  'killed in the middle of its traffic, by %s, %s: rows and evidence agree exactly',
  async (unit, _, requests, folded) => {
    gateway = await startRollout(`    assign: { unit: ${unit} }\n${steps}`)
    for (const model of ['stable', 'canary'])
      gateway.script(model, { tokens: 5, firstTokenMs: 20, fault: { kind: 'status', status: 500, rate: 0.1 } })
    await gateway.verb('start')
    await gateway.running.stop()
    const env = { SIMULATOR_URL: gateway.simulator.url, TURNOUT_DATA_DIR: `${gateway.folder}/data` }
    const child = startTurnout(['serve', '-c', gateway.file], { cwd: gateway.folder, env })
    const [, url] = /listens on (\S+) /.exec(await said(child, 'stderr', /listens on \S+ /))!
    let answered = 0
    let sent = 0
    let dead = false
    const clients = Array.from({ length: 12 }, async () => {
      const client = new LoadClient(url!)
      while (!dead) {
        const messages = [{ role: 'user', content: `conversation ${sent++ % 300}` }]
        const { status } = await client.ask(
          { model: 'moved', messages },
          { headers: { authorization: `Bearer ${keys.app}` } },
        )
        if (status > 0) answered++
        if (status === 0) break
      }
      client.close()
    })
    await expect.poll(() => answered, { timeout: 120_000, interval: 20 }).toBeGreaterThan(requests)
    await expect.poll(() => stored().folded, { timeout: 120_000, interval: 100 }).toBeGreaterThanOrEqual(folded)
    await endTurnout(child, 'SIGKILL')
    dead = true
    await Promise.all(clients)
    const { phase, folded: foldedBefore } = stored()
    await gateway.restart(true)
    const after = await shown()
    expect(after.evidence).toEqual(evidenceOfRows())
    expect(after).toMatchObject({ phase, percent: 20, step: 1 })
    // Every reply that a client has seen is in a row; those on their way are not.
    const { assigned, evidence, folded: foldedAfter } = stored()
    expect(assigned).toBeGreaterThanOrEqual(answered)
    // What was not folded may be by now.
    expect(foldedAfter).toBeGreaterThanOrEqual(foldedBefore)
    const args = ['rollout', 'replay', 'move', '--db', `${gateway.folder}/data/turnout.db`]
    const { code, out, err } = await runTurnout(args, { cwd: gateway.folder })
    expect(code, out + err).toBe(0)
    expect(out).toContain(`${evidence} rows are evidence`)
  },
  300_000,
)

/** What the database has of the attempt. */
function stored(): { assigned: number; evidence: number; folded: number; phase: string } {
  const store = openStore({ file: `${gateway.folder}/data/turnout.db`, readonly: true })
  try {
    const keeper = openRollouts(store)
    const { id, state } = keeper.list().find((one) => one.definition.name === 'move')!
    const count = (what: string): number =>
      store.db
        .prepare(
          `SELECT count(${what}) FROM request_rollout x JOIN rollout_case c ON c.id = x.case_id WHERE c.rollout_id = ?`,
        )
        .pluck()
        .get(id) as number
    const { folds } = keeper.rows(id, state.attempt, state.attemptAt)
    const folded = folds.reduce((sum, { rows }) => sum + rows, 0)
    return { assigned: count('*'), evidence: count('seen'), folded, phase: state.phase }
  } finally {
    store.close()
  }
}

it.each(['stopped', 'killed'])(
  'a run of hard faults goes on where it was: %s after two of three, the third one takes the canary out',
  async (how) => {
    gateway = await startRollout(`    assign: { unit: request }\n${steps}`)
    gateway.script('canary', { fault: { kind: 'status', status: 401 } })
    await gateway.verb('start')
    const canaries = (replies: readonly Reply[]): number => replies.filter((reply) => armOf(reply) === 'canary').length
    // One after the other, the stable side among them: it has to be well.
    const until = async (n: number): Promise<void> =>
      void (await gateway.drive((replies) => canaries(replies) >= n && replies.length > n, { clients: 1 }))
    if (how === 'stopped') {
      await until(2)
      await gateway.restart()
    } else {
      await gateway.running.stop()
      const env = { SIMULATOR_URL: gateway.simulator.url, TURNOUT_DATA_DIR: `${gateway.folder}/data` }
      const child = startTurnout(['serve', '-c', gateway.file], { cwd: gateway.folder, env })
      const [, url] = /listens on (\S+) /.exec(await said(child, 'stderr', /listens on \S+ /))!
      const client = new LoadClient(url!)
      for (let faults = 0; faults < 2; ) {
        const body = { model: 'moved', messages: [{ role: 'user', content: 'How do you do?' }] }
        const reply = await client.ask(body, { headers: { authorization: `Bearer ${keys.app}` } })
        expect(reply.status).toBe(200)
        if (armOf(reply) === 'canary') faults++
      }
      client.close()
      await endTurnout(child, 'SIGKILL')
      await gateway.restart(true)
    }
    expect(await gateway.get('/rollouts/move')).toMatchObject({ phase: 'stepping', percent: 20 })
    await until(1)
    await gateway.running.turnout.rollouts!.settled()
    const reason = expect.stringMatching(/^3 first attempts on the canary in a row failed with auth_failed, /)
    expect(await gateway.get('/rollouts/move')).toMatchObject({ phase: 'rolled_back', cause: 'hard', reason })
    const args = ['rollout', 'replay', 'move', '--db', `${gateway.folder}/data/turnout.db`]
    const { code, out, err } = await runTurnout(args, { cwd: gateway.folder })
    expect(code, out + err).toBe(0)
    expect(out).toMatch(
      /the rows find harm with req_\w+: 3 first attempts .*\nthe gateway aborted: 3 first .*\nboth agree\n$/,
    )
  },
  300_000,
)

it('what the rows have found is in force before the first request, where the abort was not stored', async () => {
  gateway = await startRollout(`    assign: { unit: request }\n${steps}`)
  gateway.script('canary', { fault: { kind: 'status', status: 401 } })
  await gateway.verb('start')
  const rollouts = gateway.running.turnout.rollouts!
  rollouts.change = () => Promise.reject(new Error('the database takes nothing'))
  const live = rollouts.find('move')!
  await gateway.drive((replies) => live.halted && replies.length > 5, { clients: 1 })
  await gateway.restart()
  const again = gateway.running.turnout.rollouts!
  expect([again.find('move')!.halted, again.find('move')!.weightPpm]).toEqual([true, 0])
  await again.settled()
  const reason = expect.stringMatching(/^3 first attempts on the canary in a row failed with auth_failed, /)
  expect(again.find('move')!.state).toMatchObject({ phase: 'rolled_back', cause: 'hard', reason })
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
  store.db.exec('UPDATE rollout_case SET bad_mask = 0')
  store.close()
  const changed = await runTurnout(args, { cwd: gateway.folder })
  expect([changed.code, changed.out.split('\n').at(-2)]).toEqual([1, 'they do not agree'])
  await gateway.restart(true)
}, 300_000)
