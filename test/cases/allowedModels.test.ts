// Case C34, where a key's lists are asked besides a chain of targets: what is listed, counted and shown, direct names, the bypass, a rollout.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ControlGateway, document, keys, type Reply, startControl } from '../support/control.ts'
import { get, post } from '../support/exchange.ts'

const ofFile = `  - { name: narrow, key: sk-test-narrow-0123456789, models: [sim/*] }
  - { name: few, key: sk-test-few-0123456789, routes: [chat, "odd-*"] }
`

describe.each([
  ['a virtual key', false],
  ['a key of the file', true],
])('C34 %s', (_, isOfFile) => {
  let gateway: ControlGateway
  /** May be served by the provider `sim` alone; may ask for the routes `chat` and `odd-*` alone. */
  let narrow = 'sk-test-narrow-0123456789'
  let few = 'sk-test-few-0123456789'
  beforeAll(async () => {
    gateway = await startControl({
      text: document(`${isOfFile ? ofFile : ''}directModels: true\n`).replace(
        'routes:\n',
        'routes:\n  odd-one: other/sim-text\n  odd-*: sim/sim-text\n',
      ),
    })
    if (isOfFile) return
    const make = async (body: object): Promise<string> => (await gateway.ask('POST', '/keys', body)).body.secret
    narrow = await make({ name: 'narrow', models: ['sim/*'] })
    few = await make({ name: 'few', routes: ['chat', 'odd-*'] })
  })
  afterAll(() => gateway.close())

  const bearer = (secret: string): Record<string, string> => ({ authorization: `Bearer ${secret}` })
  const chat = async (secret: string, model: string, headers: Record<string, string> = {}): Promise<unknown> => {
    const reply: Reply = await gateway.chat(model, { ...bearer(secret), ...headers })
    return reply.status === 200 ? reply.headers['x-turnout-target'] : reply.body.error.code
  }
  const listed = async (secret: string): Promise<string[]> => {
    const { text } = await get(`${gateway.url}/v1/models`, bearer(secret))
    return JSON.parse(text).data.map(({ id }: { id: string }) => id)
  }

  describe('C34 what a key is shown', () => {
    it('C34 the list of models is what it may ask for and be served by, and each of it works', async () => {
      expect(await listed(keys.app)).toEqual(expect.arrayContaining(['chat', 'single', 'odd-one', 'sim/gpt-5']))
      expect(await listed(few)).toEqual(['odd-one', 'chat'])
      const theirs = await listed(narrow)
      expect(theirs).toContain('chat')
      expect(theirs.filter((id) => !id.startsWith('sim/'))).toEqual(['chat'])
      for (const [secret, id] of [
        [few, 'odd-one'],
        [few, 'chat'],
        [narrow, 'chat'],
      ] as const)
        expect(await chat(secret, id)).toContain('/sim-text')
    })

    it('C34 a single model, and counting its tokens, is refused as a request for it is', async () => {
      for (const [secret, model, status] of [
        [few, 'chat', 200],
        [few, 'odd-two', 200],
        [few, 'single', 403],
        [few, 'sim/sim-text', 403],
        [keys.app, 'single', 200],
      ] as const) {
        expect((await get(`${gateway.url}/v1/models/${model}`, bearer(secret))).status, model).toBe(status)
        const counted = await post(`${gateway.url}/v1/tokens/count`, { model, input: 'Hello' }, bearer(secret))
        expect(counted.status, model).toBe(status)
      }
    })
  })

  describe('C34 names that lead elsewhere', () => {
    it('C34 direct names are held to both lists, and a prefix is a whole provider', async () => {
      expect(await chat(narrow, 'sim/sim-fast')).toBe('sim/sim-fast')
      expect(await chat(narrow, 'other/sim-fast')).toBe('model_not_allowed')
      expect(await chat(few, 'sim/sim-fast')).toBe('model_not_allowed')
      expect(await chat(few, 'chat/sim-fast')).toBe('model_not_found')
    })

    it('C34 a route of a pattern is allowed by its own name or by the one that was asked for', async () => {
      expect(await chat(few, 'odd-seven')).toBe('sim/sim-text')
      const { body } = await gateway.ask('POST', '/keys', { name: 'one-odd', routes: ['odd-seven'] })
      expect(await chat(body.secret, 'odd-seven')).toBe('sim/sim-text')
      expect(await chat(body.secret, 'odd-eight')).toBe('model_not_allowed')
    })
  })

  describe('C34 traffic that an operator moves', () => {
    it('C34 a rollout does not take a key to a canary that it may not use', async () => {
      const moved = await gateway.ask('PUT', '/routes/chat/canary', {
        target: 'other/sim-fast',
        percent: 100,
        reason: 'x',
      })
      expect(moved.status, moved.text).toBe(200)
      try {
        expect(await chat(keys.app, 'chat')).toBe('other/sim-fast')
        for (let n = 0; n < 5; n++) expect(await chat(narrow, 'chat')).toBe('sim/sim-text')
      } finally {
        await gateway.ask('PUT', '/routes/chat/canary', { percent: 0, reason: 'x' })
      }
    })

    it('C34 a primary that it may not use is passed over', async () => {
      await gateway.ask('POST', '/models/set-primary', { route: 'chat', model_id: 'other/sim-fast' })
      expect(await chat(keys.app, 'chat')).toBe('other/sim-fast')
      expect(await chat(narrow, 'chat')).toBe('sim/sim-text')
    })

    it('C34 the bypass asks the first target alone, and not for a key that may not use it', async () => {
      await gateway.ask('POST', '/bypass', { on: true, reason: 'drill' })
      try {
        expect(await chat(keys.app, 'chat')).toBe('other/sim-fast')
        expect(await chat(narrow, 'chat')).toBe('model_not_allowed')
      } finally {
        await gateway.ask('POST', '/bypass', { on: false, reason: 'over' })
      }
    })
  })
})
