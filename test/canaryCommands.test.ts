// Percentages set by several at once, and by scripts that repeat: `If-Match` and `Idempotency-Key` on both routes of canaries.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openStore } from '../src/store/open.ts'
import { type ControlGateway, keys, type Reply, startControl } from './support/control.ts'
import { runTurnout } from './support/turnoutProcess.ts'

let gateway: ControlGateway
beforeEach(async () => {
  gateway = await startControl()
})
afterEach(() => gateway.close())

type Headers = Record<string, string>

const set = (
  body: object,
  headers: Headers = {},
  route = 'chat',
  who: 'admin' | 'operator' = 'admin',
): Promise<Reply> => gateway.ask('PUT', `/routes/${route}/canary`, body, who, headers)
const setAll = (percent: number, headers: Headers = {}): Promise<Reply> =>
  gateway.ask('PUT', '/canary', { percent }, 'admin', headers)
const tagOf = async (path: string): Promise<string> => (await gateway.ask('GET', path)).headers.etag
const from = (tag: string): Headers => ({ 'if-match': tag })
const once = (key: string): Headers => ({ 'idempotency-key': key })
const codeOf = ({ status, body }: Reply): [number, string | undefined] => [status, body.error?.code]
const stateOf = (route = 'chat') => gateway.running.turnout.rollouts!.find(`canary:${route}`)!.state
const verbs = async (route = 'chat'): Promise<string[]> =>
  (await gateway.ask('GET', `/rollouts/${route}/events`)).body.data.map(({ verb }: { verb: string }) => verb)
const fast = { target: 'other/sim-fast', percent: 5 }
const stale = [412, 'precondition_failed']

describe('a percentage with `If-Match`', () => {
  it('is set only where the canary is as it was seen', async () => {
    expect(await tagOf('/routes/chat/canary')).toBe('"0"')
    expect(codeOf(await set(fast, from('"1"')))).toEqual(stale)
    const made = await set(fast, from('"0"'))
    expect([made.status, made.body.revision]).toEqual([200, 2])
    // Somebody else was first.
    expect(codeOf(await set(fast, from('"0"')))).toEqual(stale)
    const seen = await tagOf('/routes/chat/canary')
    expect(made.headers.etag).toBe(seen)
    const raised = await set({ percent: 10 }, from(seen))
    expect([raised.status, raised.body.percent, raised.body.revision]).toEqual([200, 10, 3])
    for (const percent of [20, 0]) expect(codeOf(await set({ percent }, from(seen)))).toEqual(stale)
    expect(stateOf()).toMatchObject({ revision: 3, weightPpm: 100_000 })
    // The revision alone, as every answer and header of a reply names it; and whatever it is.
    expect((await set({ percent: 11 }, from('"3"'))).status).toBe(200)
    expect((await set({ percent: 12 }, from('W/"4"'))).status).toBe(200)
    expect((await set({ percent: 13 }, from('*'))).status).toBe(200)
    for (const bad of ['', '"x"', '"1", "2"', '"1.2.3"'])
      expect(codeOf(await set({ percent: 14 }, from(bad))), bad).toEqual([400, 'invalid_value'])
    expect(stateOf().weightPpm).toBe(130_000)
  })

  it('takes no canary for another one that has been changed as often', async () => {
    await set(fast)
    const seen = await tagOf('/routes/chat/canary')
    expect((await set({ target: 'sim/sim-fast', percent: 5 })).status).toBe(200)
    for (const tag of [seen, '"2"']) expect(codeOf(await set({ percent: 50 }, from(tag)))).toEqual(stale)
    // Nor a rollout in steps for the percentage that it has ended.
    const steps = { route: 'single', canary: 'sim/sim-fast', steps: [{ setWeight: 5 }, { pause: { duration: '1h' } }] }
    await set(fast, {}, 'single')
    const before = await tagOf('/routes/single/canary')
    await gateway.ask('POST', '/rollouts', { name: 'move', rollout: steps, reason: 'test' })
    await gateway.ask('POST', '/rollouts/move/start', { reason: 'test' })
    const after = await gateway.ask('GET', '/routes/single/canary')
    expect([after.body.rollout, after.body.revision]).toEqual(['move', 2])
    expect(before.split('.')[1]).toBe('2"')
    expect(codeOf(await set({ percent: 50 }, from(before), 'single'))).toEqual(stale)
    expect((await set({ percent: 50 }, from(after.headers.etag), 'single')).body).toMatchObject({ percent: 50 })
    // A tag of a canary is one of its rollout, too.
    const verb = (tag: string): Promise<Reply> =>
      gateway.ask('POST', '/rollouts/move/resume', { reason: 'test' }, 'admin', from(tag))
    expect(codeOf(await verb(before.replace('.2', '.3')))).toEqual(stale)
    expect((await verb(await tagOf('/routes/single/canary'))).status).toBe(200)
  })

  it('of everything is set only where nothing else has changed', async () => {
    await set(fast)
    const seen = await tagOf('/canary')
    expect((await gateway.ask('GET', '/canary')).body.revision).toBe(Number(seen.slice(1, -1)))
    await set(fast, {}, 'single')
    expect(codeOf(await setAll(0, from(seen)))).toEqual(stale)
    expect(stateOf().weightPpm).toBe(50_000)
    const now = await tagOf('/canary')
    const all = await setAll(7, from(now))
    expect(all.body).toMatchObject({ percent: 7, changed: ['canary:chat', 'canary:single'] })
    expect(all.headers.etag).toBe(await tagOf('/canary'))
    expect(codeOf(await setAll(8, from(now)))).toEqual(stale)
    // Another canary is a new rollout, whose own revisions are few.
    await set({ target: 'sim/sim-fast', percent: 5 })
    expect(codeOf(await setAll(8, from(all.headers.etag)))).toEqual(stale)
    expect((await setAll(8, from('*'))).status).toBe(200)
  })
})

describe('a percentage with `Idempotency-Key`', () => {
  it('is set once, and whoever repeats gets the same answer', async () => {
    const first = await set(fast, once('deploy'))
    expect([first.status, first.headers['idempotent-replayed']]).toEqual([200, undefined])
    await set({ percent: 0 })
    // Not begun again.
    const again = await set(fast, once('deploy'))
    expect([again.status, again.headers['idempotent-replayed'], again.headers.etag]).toEqual([
      200,
      'true',
      first.headers.etag,
    ])
    expect(again.text).toBe(first.text)
    expect(stateOf()).toMatchObject({ phase: 'stopped', revision: 3 })
    const rows = (await gateway.ask('GET', '/audit')).body.data.filter(
      ({ verb }: { verb: string }) => verb === 'canary',
    )
    expect(rows).toHaveLength(2)
    const reused = [422, 'idempotency_key_reused']
    expect(codeOf(await set({ ...fast, percent: 6 }, once('deploy')))).toEqual(reused)
    expect(codeOf(await set(fast, once('deploy'), 'single'))).toEqual(reused)
    expect(codeOf(await setAll(0, once('deploy')))).toEqual(reused)
    // Keys belong to who uses them.
    expect((await set(fast, once('deploy'), 'chat', 'operator')).body.percent).toBe(5)
    for (const bad of ['', 'two words', 'x'.repeat(256)]) expect((await set(fast, once(bad))).status, bad).toBe(400)
  })

  it('is set once where several come at the same time, and tried again where it was refused', async () => {
    const all = await Promise.all(Array.from({ length: 6 }, () => set(fast, once('now'))))
    expect(new Set(all.map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
    expect(all.filter(({ headers }) => headers['idempotent-replayed'] === 'true')).toHaveLength(5)
    expect(await verbs()).toEqual(['create', 'start'])
    expect(codeOf(await set({ percent: 6 }, { ...once('later'), ...from('"1"') }))).toEqual(stale)
    expect((await set({ percent: 6 }, { ...once('later'), ...from('"2"') })).body.percent).toBe(6)
    // It was done as it was asked for, so what has changed since does not matter.
    const again = await set({ percent: 6 }, { ...once('later'), ...from('"2"') })
    expect([again.status, again.headers['idempotent-replayed']]).toEqual([200, 'true'])
  })

  it('over a restart, and over an end between the change and its answer', async () => {
    await set(fast)
    await gateway.ask('POST', '/rollouts/chat/promote', { reason: 'test', full: true })
    // Two changes: what was completed is taken back, and then begun anew.
    const first = await set({ percent: 3 }, once('two'))
    expect((await verbs()).slice(-2)).toEqual(['undo', 'retry'])
    await set(fast, {}, 'single')
    const all = await setAll(0, once('all'))
    expect(all.body.changed).toEqual(['canary:chat', 'canary:single'])
    const other = await set({ target: 'sim/sim-fast', percent: 0 }, once('made'))
    const nothing = await setAll(50, once('nothing'))
    expect(nothing.body.changed).toEqual([])
    await gateway.restart()
    expect((await set({ percent: 3 }, once('two'))).text).toBe(first.text)
    // As a kill leaves it that came between a change and its answer. Of all at once the answer is stored with the change.
    expect(await endBeforeAnswers()).toBe(2)
    await set(fast, {}, 'single')
    for (const [reply, asked] of [
      [all, () => setAll(0, once('all'))],
      [nothing, () => setAll(50, once('nothing'))],
    ] as const) {
      const late = await asked()
      expect([late.headers['idempotent-replayed'], late.text]).toEqual(['true', reply.text])
    }
    expect(stateOf('single').weightPpm).toBe(50_000)
    const late = await set({ target: 'sim/sim-fast', percent: 0 }, once('made'))
    expect([late.headers['idempotent-replayed'], late.body]).toEqual(['true', other.body])
    expect(late.headers.etag).toBe(other.headers.etag)
  })

  it('of everything is remembered with the last change: as long as one is missing, a repeated one does the rest', async () => {
    await set(fast)
    await set(fast, {}, 'single')
    const { rollouts } = gateway.running.turnout
    const { change } = rollouts!
    const done: string[] = []
    rollouts!.change = (live, ...rest) => {
      if (done.length === 1) throw new Error('the process ends here')
      done.push(live.name)
      return change.call(rollouts, live, ...rest)
    }
    expect((await setAll(0, once('stop'))).status).toBe(500)
    await gateway.restart()
    expect([stateOf().phase, stateOf('single').phase]).toEqual(['stopped', 'stepping'])
    const rest = await setAll(0, once('stop'))
    expect([rest.headers['idempotent-replayed'], rest.body.changed]).toEqual([undefined, ['canary:single']])
    expect((await setAll(0, once('stop'))).headers['idempotent-replayed']).toBe('true')
  })
})

it('the command line has both, and the description names them', async () => {
  const canary = (...args: string[]) =>
    runTurnout(['canary', ...args], {
      cwd: gateway.folder,
      env: { TURNOUT_URL: gateway.url, TURNOUT_MASTER_KEY: keys.admin },
    })
  const target = ['--target', 'other/sim-fast']
  const done = await canary('chat', '5', ...target, '--if-revision', '0', '--idempotency-key', 'k')
  expect([done.code, done.out]).toEqual([0, 'chat: 5 % to other/sim-fast (stepping: by command line)\n'])
  await set({ percent: 0 })
  const again = await canary('chat', '5', ...target, '--if-revision', '0', '--idempotency-key', 'k')
  expect([again.code, again.out]).toEqual([0, done.out])
  expect(stateOf().phase).toBe('stopped')
  const refused = await canary('chat', '5', '--if-revision', '2')
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('is at revision 3 now')])
  const all = await canary('--all', '0', '--if-revision', '1')
  expect([all.code, all.err]).toEqual([1, expect.stringContaining('Everything together is at revision 3 now')])
  const { paths } = (await gateway.ask('GET', '/openapi.json')).body
  const headersOf = (path: string, method: string): string[] =>
    paths[path][method].parameters
      .filter((one: { in: string }) => one.in === 'header')
      .map(({ name }: { name: string }) => name)
  expect(headersOf('/routes/{route}/canary', 'put')).toEqual(['If-Match', 'Idempotency-Key'])
  expect(headersOf('/canary', 'put')).toEqual(['If-Match', 'Idempotency-Key'])
  expect(headersOf('/rollouts/{name}/set-weight', 'post')).toEqual(['If-Match', 'Idempotency-Key'])
  expect(headersOf('/rollouts/{name}/abort', 'post')).toEqual(['If-Match', 'Idempotency-Key'])
  expect(paths['/canary'].put.responses[412]).toBeDefined()
}, 120_000)

/** @returns how many answers were there */
async function endBeforeAnswers(): Promise<number> {
  await gateway.running.stop()
  const { db, close } = openStore({ file: `${gateway.folder}/data/turnout.db` })
  const { changes } = db.prepare("UPDATE rollout_command SET reply = NULL WHERE reply NOT LIKE '%canaries%'").run()
  close()
  await gateway.restart(true)
  return changes
}
