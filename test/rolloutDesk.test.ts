// What operators read of rollouts and do to them: requests, reports, ways back, commands that come twice, and the stream of changes.
import { afterEach, describe, expect, it } from 'vitest'
import { openStore } from '../src/store/open.ts'
import { rememberCommand } from '../src/store/rolloutCommands.ts'
import { keys } from './support/control.ts'
import { send } from './support/exchange.ts'
import { armOf, calm, type RolloutGateway, startRollout } from './support/rolloutLoad.ts'

let gateway: RolloutGateway
afterEach(() => gateway?.close())

const request = '    assign: { unit: request }\n'
const half = `${request}    steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]\n`
const ways = `${request}${calm}    steps:
      - { setWeight: 10 }
      - { pause: { duration: 1h } }
      - { setWeight: 40 }
      - { pause: { duration: 1h, approval: true, minRequests: 0 } }
`
const live = () => gateway.running.turnout.rollouts!.find('move')!
const post = (path: string, body: object, headers: Record<string, string> = {}, who: 'operator' | 'admin' = 'admin') =>
  gateway.ask('POST', path, { reason: 'test', ...body }, who, headers)
const events = async (): Promise<{ verb: string; revision: number; attempt: number }[]> =>
  (await gateway.get('/rollouts/move/events')).data

describe('the requests of a rollout', () => {
  it('come in pages, by arm and outcome, each with what it was bad for', async () => {
    gateway = await startRollout(half + calm)
    gateway.script('canary', { tokens: 5, fault: { kind: 'status', status: 500 } })
    await gateway.verb('start')
    const replies = await gateway.drive(
      (all) => all.filter((one) => armOf(one) === 'canary').length >= 12 && all.length >= 30,
    )
    await gateway.running.turnout.rollouts!.settled()
    const pages: { id: string; rollout: { arm: string }; bad_events: string[]; outcome: string }[] = []
    let query = 'limit=7'
    for (let cursor: string | null = ''; cursor !== null; query = `limit=7&cursor=${cursor}`) {
      const page = await gateway.get(`/rollouts/move/requests?${query}`)
      expect(page.data.length).toBeLessThanOrEqual(7)
      expect(page.has_more).toBe(page.next_cursor !== null)
      pages.push(...page.data)
      cursor = page.next_cursor
    }
    expect(new Set(pages.map(({ id }) => id))).toEqual(new Set(replies.map((one) => one.headers['x-request-id'])))
    expect(pages.map(({ id }) => id)).toEqual([...pages.map(({ id }) => id)].sort().reverse())
    const canary = await gateway.get('/rollouts/move/requests?arm=canary&limit=1000')
    expect(canary.data.length).toBe(replies.filter((one) => armOf(one) === 'canary').length)
    for (const one of canary.data)
      expect(one).toMatchObject({ outcome: 'ok', rollout: { arm: 'canary', served_arm: 'stable' } })
    expect((await gateway.get('/rollouts/move/requests?arm=stable&outcome=failed')).data).toEqual([])
    expect((await gateway.get('/rollouts/move/requests?attempt=2')).data).toEqual([])
    expect((await gateway.get('/rollouts/move/requests?assignment=override')).data).toEqual([])
    for (const [bad, code] of [
      ['arm=both', 400],
      ['limit=0', 400],
      ['cursor=x', 400],
    ] as const)
      expect((await gateway.ask('GET', `/rollouts/move/requests?${bad}`)).status, bad).toBe(code)
    expect((await gateway.ask('GET', '/rollouts/nobody/requests')).status).toBe(404)
    expect((await gateway.ask('GET', '/rollouts/move/requests', undefined, 'app')).status).toBe(403)
  }, 300_000)

  it('name the guards that counted them', async () => {
    gateway = await startRollout(half)
    gateway.script('canary', { tokens: 5, fault: { kind: 'status', status: 500 } })
    await gateway.verb('start')
    await gateway.drive(() => live().state.phase === 'rolled_back')
    const { data } = await gateway.get('/rollouts/move/requests?arm=canary&limit=1000')
    const bad = data.filter((one: { bad_events: string[] }) => one.bad_events.includes('first_attempt_error'))
    expect(bad.length).toBeGreaterThan(2)
  }, 300_000)
})

describe('the report', () => {
  it('tells each step, the evidence at the end and the decision, of one attempt after the other', async () => {
    gateway = await startRollout(half)
    expect(await gateway.get('/rollouts/move/report')).toMatchObject({
      object: 'rollout_report',
      attempts: [],
      decision: 'It has not been started: nothing was decided.',
      alpha: { each: 0.01, attempts: 0, at_most: 0 },
    })
    gateway.script('canary', { tokens: 5, fault: { kind: 'status', status: 500 } })
    await gateway.verb('start', { reason: 'a | cheaper one' })
    await gateway.drive(() => live().state.phase === 'rolled_back')
    await gateway.running.turnout.rollouts!.settled()
    gateway.script('canary', { tokens: 5 })
    await gateway.verb('retry')
    await gateway.verb('pause')
    const told = await gateway.get('/rollouts/move/report')
    expect(told).toMatchObject({
      rollout: 'move',
      route: 'moved',
      stable: ['sim/stable'],
      canary: ['other/canary'],
      phase: 'paused',
      chain: 'unbroken',
      alpha: { each: 0.01, attempts: 2, at_most: 0.02 },
    })
    const [first, second] = told.attempts
    expect(first.stages.map(({ verb, percent }: never) => [verb, percent])).toEqual([
      ['start', 50],
      ['abort', 0],
    ])
    expect(first.decision).toMatch(/^Aborted at .*, revision 3, by turnout: first_attempt_error: .* on the canary/)
    const guard = first.evidence.guards.find(({ id }: { id: string }) => id === 'first_attempt_error')
    expect([guard.isHarm, guard.bad.stable, guard.bad.canary >= 3]).toEqual([true, 0, true])
    expect(first.lasted_ms).toBe(Date.parse(first.ended_at) - Date.parse(first.started_at))
    expect(second.stages.map(({ verb }: never) => verb)).toEqual(['retry', 'pause'])
    expect([second.ended_at, second.evidence.decided.canary]).toEqual([null, 0])
    expect(second.decision).toContain('Nothing is decided yet')
    const page = await send('GET', `${gateway.url}/admin/rollouts/move/report?format=markdown`, undefined, {
      authorization: `Bearer ${keys.viewer}`,
    }).done
    expect(page.headers['content-type']).toBe('text/markdown; charset=utf-8')
    expect(page.headers['content-disposition']).toBe('attachment; filename="move.md"')
    expect(page.text).toMatch(/^# Rollout move\n\nNothing is decided yet/)
    expect(page.text).toContain(' a \\| cheaper one |\n')
    expect(page.text).toMatch(
      /\| first_attempt_error \| 0 of \d+ \| \d+ of \d+ \| unbounded \(.*\) \| 1\.25x \| .* \| 250 : 1 \| harm \|/,
    )
    expect(page.text).toContain('its 2 attempts together of at most 2 %')
    // The chance of an abort is that of its own policy; events and their order survive a restart.
    await gateway.restart()
    const again = await gateway.get('/rollouts/move/report')
    expect(again.attempts[0]).toEqual(first)
  }, 300_000)
})

it('the evidence that took a canary back is shown after a restart, too', async () => {
  gateway = await startRollout(half)
  const shown = async () => [
    (await gateway.get('/rollouts/move')).evidence,
    (await gateway.get('/rollouts/move/evidence')).evidence,
  ]
  // What is only a draft knows nothing yet.
  expect(await shown()).toEqual([null, null])
  gateway.script('canary', { tokens: 5, fault: { kind: 'status', status: 500 } })
  await gateway.verb('start')
  await gateway.drive(() => live().state.phase === 'rolled_back')
  await gateway.running.turnout.rollouts!.settled()
  const { evidence } = (await events()).at(-1) as unknown as { evidence: object }
  await gateway.restart()
  expect(await shown()).toEqual([evidence, evidence])
  // An attempt that has seen nothing yet does not show what the one before it saw.
  await gateway.verb('retry')
  for (const { decided } of await shown()) expect(decided).toEqual({ stable: 0, canary: 0 })
}, 300_000)

describe('a way back', () => {
  it('from the end to the step and share of a revision, with new evidence, also over a restart', async () => {
    gateway = await startRollout(ways)
    await gateway.verb('start')
    await gateway.verb('promote')
    expect(await gateway.verb('promote')).toMatchObject({ phase: 'completed', percent: 100, revision: 4 })
    const early = (await post('/rollouts/move/undo', { toRevision: 9 })).body.error
    expect([early.code, early.param]).toEqual(['invalid_value', 'toRevision'])
    expect((await post('/rollouts/move/undo', { toRevision: 4 })).body.error.param).toBe('toRevision')
    const back = await gateway.verb('undo', { toRevision: 2 })
    expect(back).toMatchObject({ phase: 'paused', percent: 10, step: 1, revision: 5, attempt: 2 })
    expect((await post('/rollouts/move/undo', { toRevision: 4 })).body.error.code).toBe('rollout_conflict')
    await gateway.restart()
    expect(await gateway.get('/rollouts/move')).toMatchObject({ phase: 'paused', percent: 10, step: 1, attempt: 2 })
    // It goes on from there as it did the first time.
    expect(await gateway.verb('resume')).toMatchObject({ phase: 'stepping', step: 1, percent: 10 })
    expect(await gateway.verb('promote')).toMatchObject({ step: 3, percent: 40 })
    expect((await gateway.get('/rollouts/move/events')).chain).toBe('unbroken')
  }, 300_000)

  it('while it runs it keeps its evidence; to where nothing ran, it is taken back', async () => {
    gateway = await startRollout(ways)
    await gateway.verb('start')
    await gateway.drive((all) => all.length > 20)
    const { attempt, evidence } = await gateway.verb('promote')
    expect(await gateway.verb('undo', { toRevision: 2 })).toMatchObject({
      phase: 'paused',
      percent: 10,
      step: 1,
      attempt,
      evidence: { decided: evidence.decided },
    })
    // Without a revision only what was completed is taken back.
    expect((await post('/rollouts/move/undo', {})).body.error.code).toBe('rollout_conflict')
    expect(await gateway.verb('undo', { toRevision: 1 })).toMatchObject({ phase: 'rolled_back', percent: 0 })
  }, 300_000)

  it('is shut while another moves the route', async () => {
    gateway = await startRollout(ways)
    await gateway.verb('start')
    await gateway.verb('promote', { full: true })
    const percent = await gateway.ask('PUT', '/routes/moved/canary', { target: 'sim/sim-fast', percent: 5 })
    expect(percent.status, percent.text).toBe(200)
    const refused = await post('/rollouts/move/undo', { toRevision: 2 })
    expect([refused.status, refused.body.error.message]).toEqual([409, expect.stringContaining("'canary:moved' moves")])
    expect(await gateway.verb('undo')).toMatchObject({ phase: 'rolled_back' })
    // Also once that is completed: it would lie beneath what is begun again.
    expect((await post('/rollouts/moved/promote', { full: true })).body.phase).toBe('completed')
    const late = await post('/rollouts/move/undo', { toRevision: 2 })
    expect([late.status, late.body.error.message]).toEqual([409, expect.stringContaining("'canary:moved' moves")])
  }, 300_000)
})

describe('a command that comes twice', () => {
  it('acts once and gets the same answer; another command under its key is refused', async () => {
    gateway = await startRollout(ways)
    const key = { 'idempotency-key': 'deploy-1/start' }
    const first = await post('/rollouts/move/start', {}, key)
    expect([first.status, first.headers['idempotent-replayed']]).toEqual([200, undefined])
    const again = await post('/rollouts/move/start', {}, key)
    expect([again.status, again.headers['idempotent-replayed']]).toEqual([200, 'true'])
    expect(again.text).toBe(first.text)
    expect(again.headers.etag).toBe('"2"')
    expect((await events()).map(({ verb }) => verb)).toEqual(['create', 'start'])
    // Its row in the audit trail is one, too.
    const rows = (await gateway.get('/audit')).data.filter(({ verb }: { verb: string }) => verb === 'rollout-start')
    expect(rows).toHaveLength(1)
    for (const [path, body] of [
      ['/rollouts/move/start', { reason: 'another' }],
      ['/rollouts/move/start', { force: true }],
      ['/rollouts/move/pause', {}],
    ] as const) {
      const other = await post(path, body, key)
      expect([other.status, other.body.error.code], path).toEqual([422, 'idempotency_key_reused'])
    }
    // Keys belong to who uses them.
    expect((await post('/rollouts/move/pause', {}, key, 'operator')).body.phase).toBe('paused')
    for (const bad of ['', 'two words', 'x'.repeat(256)])
      expect((await post('/rollouts/move/resume', {}, { 'idempotency-key': bad })).status, bad).toBe(400)
  }, 300_000)

  it('acts once when both come at the same time', async () => {
    gateway = await startRollout(ways)
    await gateway.verb('start')
    const key = { 'idempotency-key': 'step' }
    // Twice done it would be completed.
    const all = await Promise.all(Array.from({ length: 6 }, () => post('/rollouts/move/promote', {}, key)))
    expect(all.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200])
    expect(new Set(all.map(({ text }) => text)).size).toBe(1)
    expect(all.filter(({ headers }) => headers['idempotent-replayed'] === 'true')).toHaveLength(5)
    expect(live().state).toMatchObject({ phase: 'stepping', step: 3, weightPpm: 400_000, revision: 3 })
  }, 300_000)

  it('over a restart, and over an end between the change and its answer', async () => {
    gateway = await startRollout(ways)
    const made = { name: 'two', rollout: { route: 'single', canary: 'sim/sim-fast', steps: [{ setWeight: 100 }] } }
    const key = { 'idempotency-key': 'make' }
    const first = await post('/rollouts', made, key)
    expect(first.status, first.text).toBe(200)
    await gateway.verb('start')
    const step = { 'idempotency-key': 'step' }
    const stepped = await post('/rollouts/move/promote', {}, step)
    await gateway.restart()
    expect((await post('/rollouts', made, key)).text).toBe(first.text)
    expect((await post('/rollouts/move/promote', {}, step)).text).toBe(stepped.text)
    // As a kill leaves it that came between the two: the row of the change is there, and no answer.
    expect(await forgetReplies()).toBe(2)
    const late = await post('/rollouts/move/promote', {}, step)
    expect([late.status, late.headers['idempotent-replayed']]).toEqual([200, 'true'])
    expect(late.body).toMatchObject({ phase: 'stepping', step: 3, percent: 40, revision: 3 })
  }, 300_000)

  it('is tried again where it has failed: nothing was done', async () => {
    gateway = await startRollout(ways)
    const key = { 'idempotency-key': 'again' }
    expect((await post('/rollouts/move/resume', {}, key)).status).toBe(409)
    await gateway.verb('start')
    await gateway.verb('pause')
    expect((await post('/rollouts/move/resume', {}, key)).body.phase).toBe('stepping')
    expect((await post('/rollouts/move/resume', {}, key)).headers['idempotent-replayed']).toBe('true')
  }, 300_000)

  it('is remembered for a day, and only the newest thousand are', async () => {
    gateway = await startRollout(ways)
    await gateway.running.stop()
    const store = openStore({ file: `${gateway.folder}/data/turnout.db` })
    const { db } = store
    const count = (): unknown => db.prepare('SELECT count(*) FROM rollout_command').pluck().get()
    db.transaction(() => {
      for (let n = 0; n < 1200; n++) rememberCommand(db, { id: `c${n}`, fingerprint: 'f' }, live1, 1_000_000 + n)
    })()
    expect(count()).toBe(1000)
    expect(db.prepare('SELECT min(at) FROM rollout_command').pluck().get()).toBe(1_000_200)
    rememberCommand(db, { id: 'later', fingerprint: 'f' }, live1, 1_000_000 + 86_400_000 + 700)
    expect(count()).toBe(500)
    store.close()
    await gateway.restart(true)
  }, 300_000)
})

describe('the stream of changes', () => {
  it('begins with what there is, tells each change, and ends when it is to end', async () => {
    gateway = await startRollout(ways)
    const headers = { authorization: `Bearer ${keys.viewer}` }
    const stream = send('GET', `${gateway.url}/admin/rollouts/stream`, undefined, headers)
    let text = ''
    let look = (): void => {}
    stream.request.on('response', (reply) => {
      reply.on('data', (piece: Buffer) => {
        text += piece
        look()
      })
    })
    const told = (pattern: RegExp): Promise<void> =>
      new Promise((resolve) => {
        look = () => {
          if (pattern.test(text)) resolve()
        }
        look()
      })
    const reply = await stream.response
    expect(reply.headers).toMatchObject({ 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' })
    expect(reply.headers['content-disposition']).toBeUndefined()
    await told(/event: rollout\nid: 1\n/)
    await gateway.verb('start')
    await told(/"verb":"start"/)
    await gateway.verb('abort')
    await told(/"verb":"abort"/)
    const [first, ...changes] = framesOf(text)
    expect(first).toMatchObject({ name: 'move', phase: 'draft', percent: 0 })
    expect(changes.map(({ phase, percent, change }) => [phase, percent, change.from, change.actor])).toEqual([
      ['stepping', 10, 'draft', 'admin'],
      ['rolled_back', 0, 'stepping', 'admin'],
    ])
    const short = await send('GET', `${gateway.url}/admin/rollouts/stream?seconds=0`, undefined, headers).done
    expect([short.complete, framesOf(short.text).length]).toEqual([true, 1])
    expect((await gateway.ask('GET', '/rollouts/stream', undefined, 'app')).status).toBe(403)
    // A drain ends an open stream; it neither waits for it nor cuts it off.
    await gateway.running.stop()
    expect((await stream.done).complete).toBe(true)
    await gateway.restart(true)
  }, 300_000)

  it('tells nothing more to a key that was taken away', async () => {
    gateway = await startRollout(ways)
    const made = await gateway.ask('POST', '/keys', { name: 'guest', role: 'viewer' }, 'admin')
    const stream = send('GET', `${gateway.url}/admin/rollouts/stream`, undefined, {
      authorization: `Bearer ${made.body.secret}`,
    })
    await new Promise((begun) => stream.request.on('response', (reply) => reply.once('data', begun)))
    await gateway.ask('DELETE', '/keys/guest', undefined, 'admin')
    await gateway.verb('start')
    const { complete, text } = await stream.done
    expect([complete, framesOf(text).length]).toEqual([true, 1])
  }, 300_000)

  it('has room for more than ten at once, without a warning of the engine', async () => {
    gateway = await startRollout(ways)
    const warned: Error[] = []
    const warn = (warning: Error): void => void warned.push(warning)
    process.on('warning', warn)
    try {
      const streams = Array.from({ length: 12 }, () => {
        const stream = send('GET', `${gateway.url}/admin/rollouts/stream`, undefined, {
          authorization: `Bearer ${keys.viewer}`,
        })
        const [shown, told] = [/event: rollout\n/, /"verb":"start"/].map(
          (pattern) =>
            new Promise<void>((resolve) => {
              let text = ''
              stream.request.on('response', (reply) => {
                reply.on('data', (piece: Buffer) => {
                  text += piece
                  if (pattern.test(text)) resolve()
                })
              })
            }),
        )
        return { shown, told, done: stream.done }
      })
      await Promise.all(streams.map(({ shown }) => shown))
      await gateway.verb('start')
      await Promise.all(streams.map(({ told }) => told))
      await gateway.running.stop()
      await Promise.all(streams.map(({ done }) => done))
      expect(warned).toEqual([])
    } finally {
      process.off('warning', warn)
    }
    await gateway.restart(true)
  }, 300_000)
})

// biome-ignore lint/suspicious/noExplicitAny: events are looked at as they come
const framesOf = (text: string): any[] => [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data!))

/** The id of the only rollout of the file. */
const live1 = 1

/** @returns how many there were */
async function forgetReplies(): Promise<number> {
  await gateway.running.stop()
  const store = openStore({ file: `${gateway.folder}/data/turnout.db` })
  const { changes } = store.db.prepare('UPDATE rollout_command SET reply = NULL WHERE reply IS NOT NULL').run()
  store.close()
  await gateway.restart(true)
  return changes
}
