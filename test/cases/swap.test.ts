// C55: swaps under load. No request fails, none sees two configurations, and what runs finishes on the one that it began with.
import { expect, it } from 'vitest'
import { document, keys, startControl } from '../support/control.ts'
import { send } from '../support/exchange.ts'

const swaps = Number(process.env.SOAK_SWAPS ?? 200)
const clients = 8
const actor = { name: 'test', role: 'admin' }

it(`C55 ${swaps} swaps under load drop nothing and mix nothing`, { timeout: 600_000 }, async () => {
  const gateway = await startControl()
  const auth = { authorization: `Bearer ${keys.app}` }
  const { live } = gateway.running
  // Even versions serve by one provider, odd ones by the other: a reply tells both.
  const [odd, even] = [document(), document().replace('chat: [sim/sim-text, small]', 'chat: [other/sim-text, small]')]
  const targetOf = new Map([[live.snapshot.version, 'sim/sim-text']])
  let swapping = true
  const wrong: string[] = []
  const versions = new Set<string>()
  let requests = 0

  const client = async (stream: boolean): Promise<void> => {
    while (swapping) {
      const body = { model: 'chat', stream, messages: [{ role: 'user', content: 'Count to ten.' }] }
      const reply = await send('POST', `${gateway.url}/v1/chat/completions`, body, auth).done
      requests++
      const version = String(reply.headers['x-turnout-config'])
      versions.add(version)
      const whole =
        reply.complete && (stream ? reply.text.endsWith('data: [DONE]\n\n') : JSON.parse(reply.text).choices)
      const target = reply.headers['x-turnout-target']
      if (reply.status !== 200 || !whole) wrong.push(`${reply.status} ${reply.error} ${reply.text.slice(-200)}`)
      else if (target !== targetOf.get(Number(version))) wrong.push(`version ${version} was served by ${target}`)
    }
  }
  try {
    const load = Array.from({ length: clients }, (_, index) => client(index % 2 === 0))
    for (let count = 1; count <= swaps; count++) {
      const next = live.snapshot.version + 1
      targetOf.set(next, count % 2 === 0 ? 'sim/sim-text' : 'other/sim-text')
      const { swapped, version } = await live.write(count % 2 === 0 ? odd : even, actor)
      expect([swapped, version]).toEqual([true, next])
      // One that is refused in between changes nothing.
      if (count % 10 === 0) await expect(live.write(`${odd}rotes: {}\n`, actor)).rejects.toThrow('rotes')
      const before = requests
      while (requests === before) await new Promise((resolve) => setImmediate(resolve))
    }
    swapping = false
    await Promise.all(load)
    expect(wrong).toEqual([])
    expect(requests).toBeGreaterThan(swaps)
    expect(versions.size).toBeGreaterThan(swaps / 2)
  } finally {
    swapping = false
    await gateway.close()
  }
})

it('C55 a stream that runs while its target is taken away ends as it began', { timeout: 300_000 }, async () => {
  const gateway = await startControl({ text: document().replace('sim/sim-text, small', 'sim/sim-slow, small') })
  try {
    const body = { model: 'chat', stream: true, messages: [{ role: 'user', content: 'Count to ten.' }] }
    const sent = send('POST', `${gateway.url}/v1/chat/completions`, body, { authorization: `Bearer ${keys.app}` })
    const response = await sent.response
    const began = response.headers['x-turnout-config']
    await gateway.running.live.write(document().replace('sim/sim-text, small', 'small'), actor)
    const reply = await sent.done
    expect(reply.text.endsWith('data: [DONE]\n\n')).toBe(true)
    expect(reply.headers['x-turnout-target']).toBe('sim/sim-slow')
    const after = await gateway.chat('chat')
    expect(after.headers['x-turnout-target']).toBe('small')
    expect(Number(after.headers['x-turnout-config'])).toBe(Number(began) + 1)
  } finally {
    await gateway.close()
  }
})
