// The percentage toggle on a whole gateway: who gets what, what survives a restart, what the file and the environment may say.
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { unitHasher } from '../src/gateway/unitHash.ts'
import { bucketOf, thresholdOf } from '../src/rollouts/assignment.ts'
import { openStore } from '../src/store/open.ts'
import { loadSecret } from '../src/store/secret.ts'
import { type ControlGateway, document, keys, type Reply, startControl } from './support/control.ts'
import { send } from './support/exchange.ts'

let gateway: ControlGateway
beforeAll(async () => {
  gateway = await startControl()
})
afterAll(() => gateway.close())

const set = (route: string, body: object, who: 'operator' | 'responder' | 'viewer' = 'operator'): Promise<Reply> =>
  gateway.ask('PUT', `/routes/${encodeURIComponent(route)}/canary`, body, who)
const armOf = ({ headers }: Pick<Reply, 'headers'>): string | undefined =>
  /arm=(\w+)/.exec(String(headers['x-turnout-rollout'] ?? ''))?.[1]
const unit = (name: string): Record<string, string> => ({ 'x-turnout-unit': name })

describe('a percentage of a route', () => {
  it('goes to the canary from the next request on, and back at 0', async () => {
    const set5 = await set('chat', { target: 'other/sim-fast', percent: 40, unit: 'user' })
    expect(set5.status, set5.text).toBe(200)
    expect(set5.body).toMatchObject({
      object: 'canary',
      route: 'chat',
      target: ['other/sim-fast'],
      percent: 40,
      phase: 'stepping',
      rollout: 'canary:chat',
      idle: null,
    })
    const { seed } = gateway.running.turnout.rollouts!.find('canary:chat')!
    const hashUnit = unitHasher(loadSecret(`${gateway.folder}/data`, {}))
    let canaries = 0
    for (let n = 0; n < 60; n++) {
      const reply = await gateway.chat('chat', unit(`user-${n}`))
      const isCanary = bucketOf(seed, hashUnit(`user-${n}`)) < thresholdOf(400_000)
      expect(armOf(reply), `user-${n}`).toBe(isCanary ? 'canary' : 'stable')
      expect(reply.headers['x-turnout-target']).toBe(isCanary ? 'other/sim-fast' : 'sim/sim-text')
      expect(reply.headers['x-turnout-rollout']).toMatch(/^canary:chat; arm=\w+; rev=2$/)
      if (isCanary) canaries++
    }
    // None of sixty at 40 %: once in 10^13 runs.
    expect(canaries).toBeGreaterThan(0)
    const stopped = await set('chat', { percent: 0 })
    expect(stopped.body).toMatchObject({ percent: 0, phase: 'stopped', target: ['other/sim-fast'] })
    const after = await gateway.chat('chat', unit('user-1'))
    expect([after.headers['x-turnout-target'], after.headers['x-turnout-rollout']]).toEqual(['sim/sim-text', undefined])
  })

  it('raised, moves nobody back; 5 → 0 → 5 keeps the same people on it', async () => {
    const canariesAt = async (percent: number): Promise<Set<string>> => {
      expect((await set('chat', { percent })).body.percent).toBe(percent)
      const found = new Set<string>()
      for (let n = 0; n < 110; n++)
        if (armOf(await gateway.chat('chat', unit(`u${n}`))) === 'canary') found.add(`u${n}`)
      return found
    }
    const few = await canariesAt(20)
    const many = await canariesAt(60)
    // None of 110 at 20 %: once in 10^10 runs.
    expect(few.size).toBeGreaterThan(0)
    expect([...few].every((name) => many.has(name))).toBe(true)
    await set('chat', { percent: 0 })
    expect(await canariesAt(20)).toEqual(few)
    expect((await canariesAt(100)).size).toBe(110)
    expect((await canariesAt(50)).size).toBeLessThan(110)
  })

  it('falls back to the stable side when the canary fails: no client sees it', async () => {
    gateway.simulator.script('sim-dying', { fault: { kind: 'status', status: 503 } })
    await set('single', { target: 'sim/sim-dying', percent: 100, unit: 'request' })
    const reply = await gateway.chat('single')
    expect([reply.status, reply.headers['x-turnout-target'], armOf(reply)]).toEqual([200, 'other/sim-text', 'canary'])
    expect(await rolloutOf(reply)).toMatchObject({
      id: 'canary:single',
      arm: 'canary',
      propensity_ppm: 1_000_000,
      assignment: 'hash',
      first_attempt_class: 'overloaded',
      served_arm: 'stable',
    })
    await set('single', { percent: 0 })
  })

  it('shows on /metrics', async () => {
    const { text } = await send('GET', `${gateway.url}/metrics`, undefined, {}).done
    for (const line of [
      'turnout_rollout_info{rollout="canary:single",route="single",phase="stopped",stable="the route",canary="sim/sim-dying"} 1',
      'turnout_rollout_weight_ratio{rollout="canary:chat"} 0.5',
      'turnout_rollout_requests_total{arm="canary",assignment="hash",rollout="canary:single"} 1',
      'turnout_rollout_transitions_total{from="none",to="draft",reason="operator"} 2',
    ])
      expect(text).toContain(`${line}\n`)
    expect(text).toMatch(/turnout_rollout_state_age_seconds\{rollout="canary:chat"\} [\d.]+\n/)
  })

  it('is refused for what does not exist, and for whoever may not', async () => {
    expect((await set('nobody', { target: 'small', percent: 5 })).status).toBe(404)
    expect((await set('chat', { target: 'nobody/model', percent: 5 })).body.error).toMatchObject({
      code: 'invalid_value',
      param: 'target',
    })
    expect((await set('single', { target: 'other/sim-text', percent: 5 })).body.error.message).toContain('Both arms')
    expect((await set('chat', { percent: 101 })).status).toBe(400)
    expect((await set('chat', { percent: 5 }, 'viewer')).status).toBe(403)
    // On call one may take it away.
    expect((await set('chat', { percent: 60 }, 'responder')).status).toBe(403)
    expect((await set('chat', { percent: 0 }, 'responder')).status).toBe(200)
    // Not choose what the next percentage goes to.
    const [target] = (await gateway.ask('GET', '/routes/chat/canary')).body.target
    const others = [{ target: 'sim/sim-slow' }, { target, unit: 'key' }, { target: [target, 'sim/sim-slow'] }]
    for (const other of others) expect((await set('chat', { ...other, percent: 0 }, 'responder')).status).toBe(403)
    expect((await set('chat', { target, percent: 0 }, 'responder')).body.target).toEqual([target])
  })

  it('an operator may choose the arm of one request; nobody else', async () => {
    await set('chat', { percent: 1, unit: 'user' })
    const chosen = await send(
      'POST',
      `${gateway.url}/v1/chat/completions`,
      { model: 'chat', messages: [{ role: 'user', content: 'x' }] },
      { authorization: `Bearer ${keys.operator}`, 'x-turnout-arm': 'canary' },
    ).done
    expect([chosen.status, chosen.headers['x-turnout-target']]).toEqual([200, 'other/sim-fast'])
    expect(await rolloutOf({ headers: chosen.headers } as Reply)).toMatchObject({
      assignment: 'override',
      arm: 'canary',
    })
    expect((await gateway.chat('chat', { 'x-turnout-arm': 'canary' })).status).toBe(403)
    await set('chat', { percent: 0 })
  })

  it('a key without a role may not, also where the file names no key at all', async () => {
    const one = await startControl()
    try {
      await one.ask('PUT', '/routes/chat/canary', { target: 'other/sim-fast', percent: 1, unit: 'user' })
      const { body } = await one.ask('POST', '/keys', { name: 'plain' })
      writeFileSync(one.file, document().replace(/^keys:\n( {2}- .*\n)*/m, ''))
      await one.running.reload()
      const plain = { authorization: `Bearer ${body.secret}` }
      expect((await one.chat('chat', { ...plain, 'x-turnout-arm': 'canary' })).status).toBe(403)
      expect((await one.chat('chat', plain)).status).toBe(200)
      expect((await one.chat('chat')).status).toBe(401)
    } finally {
      await one.close()
    }
  })

  it('all of them at once', async () => {
    await set('chat', { percent: 30 })
    await set('single', { target: 'sim/sim-fast', percent: 20 })
    const all = await gateway.ask('PUT', '/canary', { percent: 10, reason: 'careful' }, 'operator')
    expect(all.body).toMatchObject({ object: 'canaries', percent: 10, changed: ['canary:chat', 'canary:single'] })
    expect((await gateway.ask('GET', '/routes/single/canary', undefined, 'viewer')).body).toMatchObject({
      percent: 10,
      reason: 'careful',
    })
    await gateway.ask('PUT', '/canary', { percent: 0 }, 'responder')
    const { body } = await gateway.ask('GET', '/canary', undefined, 'viewer')
    expect(body.data.map(({ phase, percent }: Reply['body']) => [phase, percent])).toEqual([
      ['stopped', 0],
      ['stopped', 0],
    ])
  })

  it('survives a restart with its share and its people; every change is an event in an unbroken chain', async () => {
    await set('chat', { percent: 50, reason: 'before the restart' })
    const before: (string | undefined)[] = []
    for (let n = 0; n < 20; n++) before.push(armOf(await gateway.chat('chat', unit(`r${n}`))))
    await gateway.restart()
    expect((await gateway.ask('GET', '/routes/chat/canary', undefined, 'viewer')).body).toMatchObject({
      percent: 50,
      reason: 'before the restart',
    })
    for (let n = 0; n < 20; n++) expect(armOf(await gateway.chat('chat', unit(`r${n}`)))).toBe(before[n])
    const { rollouts } = gateway.running.turnout
    const live = rollouts!.find('canary:chat')!
    expect(rollouts!.chains.findBreak(live.id)).toBeUndefined()
    const events = rollouts!.events(live)
    expect(events[0]).toMatchObject({ seq: 1, verb: 'create', to: 'draft', actor: 'operator' })
    expect(events.at(-1)).toMatchObject({
      verb: 'start',
      to: 'stepping',
      weightPpm: 500_000,
      reason: 'before the restart',
    })
    expect(new Set(events.map(({ hash }) => hash)).size).toBe(events.length)
  })

  it('an event that was changed behind its back is found', async () => {
    await gateway.running.stop()
    const store = openStore({ file: `${gateway.folder}/data/turnout.db` })
    expect(() => store.db.exec("UPDATE rollout_event SET reason = 'nothing happened' WHERE seq = 2")).toThrow(
      'never changed',
    )
    expect(() => store.db.exec('DELETE FROM rollout_event')).toThrow('never deleted')
    store.db.exec("DROP TRIGGER rollout_event_unchanged; UPDATE rollout_event SET reason = 'nothing' WHERE seq = 2")
    store.close()
    await gateway.restart(true)
    const { rollouts } = gateway.running.turnout
    expect(rollouts!.chains.findBreak(rollouts!.find('canary:chat')!.id)).toBe('event 2 was changed')
  })
})

describe('C34 keys that may not use both sides', () => {
  it('stay on the stable one, and are no evidence', async () => {
    const one = await startControl({ text: document('directModels: true\n') })
    try {
      await one.ask('PUT', '/routes/chat/canary', { target: 'other/sim-fast', percent: 100 })
      const { body } = await one.ask('POST', '/keys', { name: 'narrow', models: ['sim/*'] })
      const reply = await one.chat('chat', { authorization: `Bearer ${body.secret}` })
      expect(reply.headers['x-turnout-target']).toBe('sim/sim-text')
      expect(await rolloutOf(reply, one)).toMatchObject({ arm: 'stable', assignment: 'pinned' })
      expect((await one.chat('chat')).headers['x-turnout-target']).toBe('other/sim-fast')
      // Also who may use the canary, and of the stable side only what helps out there.
      const other = (await one.ask('POST', '/keys', { name: 'other', models: ['other/*', 'sim/sim-fast'] })).body.secret
      const helped = await one.chat('chat', { authorization: `Bearer ${other}` })
      expect(helped.headers['x-turnout-target']).toBe('small')
      expect(await rolloutOf(helped, one)).toMatchObject({ arm: 'stable', assignment: 'pinned' })
      // Routes that nobody configured can be moved, too.
      const implicit = await one.ask('PUT', '/routes/sim/sim-fast/canary', { target: 'other/sim-text', percent: 100 })
      expect(implicit.status, implicit.text).toBe(200)
      expect((await one.chat('sim/sim-fast')).headers['x-turnout-target']).toBe('other/sim-text')
    } finally {
      await one.close()
    }
  })

  it('are shown and counted what the route asks since a canary was completed', async () => {
    const one = await startControl()
    try {
      const { body } = await one.ask('POST', '/keys', { name: 'new-only', models: ['other/*'] })
      const headers = { authorization: `Bearer ${body.secret}` }
      const met = async () => {
        const list = await send('GET', `${one.url}/v1/models`, undefined, headers).done
        const asked = { model: 'chat', input: 'Hello' }
        const count = await send('POST', `${one.url}/v1/tokens/count`, asked, headers).done
        const listed = JSON.parse(list.text).data.map(({ id }: { id: string }) => id)
        return [(await one.chat('chat', headers)).status, listed, JSON.parse(count.text).counted_as]
      }
      expect(await met()).toEqual([403, ['single'], undefined])
      await one.ask('PUT', '/routes/chat/canary', { target: 'other/sim-fast', percent: 50 })
      await one.ask('POST', '/rollouts/chat/promote', { reason: 'test', full: true })
      expect(await met()).toEqual([200, ['chat', 'single'], 'sim-fast'])
    } finally {
      await one.close()
    }
  })

  it('stay there, too, with further models that the vendor of the canary might choose and that they may not use', async () => {
    const claude = `  claude: { kind: anthropic, baseUrl: "\${SIMULATOR_URL}", apiKey: sk-test-claude }\n`
    const text = document().replace('  other:', `${claude}  other:`).replace('single: other', 'single: claude')
    const one = await startControl({ text })
    try {
      await one.ask('PUT', '/routes/single/canary', { target: 'other/sim-fast', percent: 100 })
      const models = ['claude/sim-text', 'other/sim-fast']
      const { body } = await one.ask('POST', '/keys', { name: 'exact', models })
      const chat = { model: 'single', messages: [{ role: 'user', content: 'Say hello' }] }
      const headers = { authorization: `Bearer ${body.secret}` }
      for (const [more, arm, target] of [
        [{}, 'canary', 'other/sim-fast'],
        [{ models: ['sim-dear'] }, 'stable', 'claude/sim-text'],
      ] as const) {
        const reply = await send('POST', `${one.url}/v1/chat/completions`, { ...chat, ...more }, headers).done
        expect([armOf(reply), reply.headers['x-turnout-target']], reply.text).toEqual([arm, target])
      }
    } finally {
      await one.close()
    }
  })
})

describe('what the file and the environment say', () => {
  const withCanary = (canary: string): string =>
    document().replace('  chat: [sim/sim-text, small]', `  chat: { targets: [sim/sim-text, small], canary: ${canary} }`)

  it('holds where nobody has said anything yet, and never after', async () => {
    const env = { TURNOUT_CANARY_PERCENT: '100' }
    const one = await startControl({ text: withCanary('{ target: other/sim-fast }'), env })
    const canary = async () => (await one.ask('GET', '/routes/chat/canary', undefined, 'viewer')).body
    try {
      expect(await canary()).toMatchObject({ percent: 100, phase: 'stepping', reason: 'the environment says so' })
      expect((await one.chat('chat')).headers['x-turnout-target']).toBe('other/sim-fast')
      // An operator's word is stronger, through restarts and other values in the file.
      await one.ask('PUT', '/routes/chat/canary', { percent: 0 }, 'operator')
      await one.restart()
      expect(await canary()).toMatchObject({ percent: 0, phase: 'stopped' })
      writeFileSync(one.file, withCanary('{ target: other/sim-fast, percent: 50 }'))
      await one.running.reload()
      await one.running.turnout.rollouts!.settled()
      expect(await canary()).toMatchObject({ percent: 0, phase: 'stopped' })
      // Another target is another canary.
      writeFileSync(one.file, withCanary('{ target: sim/sim-fast, percent: 100 }'))
      await one.running.reload()
      await one.running.turnout.rollouts!.settled()
      expect(await canary()).toMatchObject({ percent: 100, target: ['sim/sim-fast'], reason: 'the file says so' })
      // What was made of the file ends with it.
      writeFileSync(one.file, document())
      await one.running.reload()
      await one.running.turnout.rollouts!.settled()
      expect(await canary()).toMatchObject({ percent: 0, phase: 'stopped', cause: 'file' })
    } finally {
      await one.close()
    }
  })

  it('a target that leaves the configuration leaves the traffic where it was', async () => {
    const one = await startControl()
    try {
      await one.ask('PUT', '/routes/single/canary', { target: 'small', percent: 100 })
      expect((await one.chat('single')).headers['x-turnout-target']).toBe('small')
      writeFileSync(one.file, document().replace('  small:', '  tiny:').replaceAll(', small]', ', tiny]'))
      await one.running.reload()
      expect((await one.chat('single')).headers['x-turnout-target']).toBe('other/sim-text')
      const { body } = await one.ask('GET', '/routes/single/canary', undefined, 'viewer')
      expect(body.idle).toBe("the configuration has no target 'small'")
    } finally {
      await one.close()
    }
  })
})

/** The rollout's columns of a request's row. */
async function rolloutOf(reply: Reply, one: ControlGateway = gateway): Promise<Record<string, unknown>> {
  const { body } = await one.ask('GET', `/requests/${reply.headers['x-request-id']}`, undefined, 'viewer')
  return body.rollout
}
