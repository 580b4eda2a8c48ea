// Arms that are one model of one vendor twice: with other parameters, or with another system text.
import { describe, expect, it, onTestFinished } from 'vitest'
import { CHAT } from './support/chatBodies.ts'
import { document, keys, startControl } from './support/control.ts'
import { send } from './support/exchange.ts'
import { bodiesOf } from './support/hubVendors.ts'
import { armOf, calm, type RolloutGateway, startRollout } from './support/rolloutLoad.ts'

let gateway: RolloutGateway
const start = async (...how: Parameters<typeof startRollout>): Promise<void> => {
  gateway = await startRollout(...how)
  onTestFinished(() => gateway.close())
}

const targets = `  tuned: { provider: sim, model: stable, params: { max_completion_tokens: 2, temperature: 0.25 } }
  told: { provider: sim, model: stable, systemPrefix: Be brief. }
`
const steps = '    assign: { unit: request }\n    steps: [ { setWeight: 50 }, { pause: { minRequests: 40 } } ]\n'

const guards = '    guards: { abort: [ { metric: truncated, maxRatio: 1.5 } ] }\n'

describe('an arm that is the same model', () => {
  it('with other parameters is asked with them, judged by what they do, and taken out for it', async () => {
    await start(steps.replace('40', '100000') + guards, '', {
      targets,
      canary: 'tuned',
      keepBodies: true,
    })
    gateway.script('stable', { tokens: 5 })
    await gateway.verb('start')
    const replies = await gateway.drive(() => live().state.phase === 'rolled_back')
    const { phase, cause, reason } = await gateway.get('/rollouts/move')
    expect([phase, cause]).toEqual(['rolled_back', 'guard'])
    expect(reason).toContain('truncated')
    // Those of the canary that had no first byte when it was aborted were answered by stable.
    const tuned = replies.filter((reply) => reply.headers['x-turnout-target'] === 'tuned')
    expect(tuned.length).toBeGreaterThan(0)
    expect(new Set(tuned.map(armOf))).toEqual(new Set(['canary']))
    const before = gateway.simulator.calls.length
    const [after] = await gateway.drive((all) => all.length > 0, { clients: 1 })
    expect(after!.headers['x-turnout-target']).toBe('sim/stable')
    // One model answered for both: the bodies tell them apart.
    const bodies = bodiesOf(gateway.simulator.calls)
    const forced = bodies.filter(({ temperature }) => temperature === 0.25)
    expect(forced.length).toBeGreaterThanOrEqual(tuned.length)
    expect(forced.every((body) => body.max_completion_tokens === 2 && body.model === 'stable')).toBe(true)
    expect([bodies[before].model, bodies[before].temperature]).toEqual(['stable', undefined])
  }, 300_000)

  it('with another system text goes its way to the end', async () => {
    await start(steps + calm, '', { targets, canary: 'told', keepBodies: true })
    await gateway.verb('start')
    const replies = await gateway.drive(() => live().state.phase === 'completed')
    expect(new Set(replies.map(armOf))).toContain('canary')
    for (const reply of replies.filter((one) => armOf(one) !== undefined))
      expect(reply.headers['x-turnout-target']).toBe(targetOf(armOf(reply), 'told'))
    const before = gateway.simulator.calls.length
    // Completed: everybody gets it, and the target says so.
    const [after] = await gateway.drive((all) => all.length > 0, { clients: 1 })
    expect(after!.headers['x-turnout-target']).toBe('told')
    const bodies = bodiesOf(gateway.simulator.calls)
    expect(bodies[before].messages[0]).toEqual({ role: 'system', content: 'Be brief.' })
    const told = bodies.slice(0, before).filter(({ messages }) => messages[0].role === 'system').length
    expect(told).toBe(replies.filter((reply) => reply.headers['x-turnout-target'] === 'told').length)
    expect(told).toBeLessThan(before)
  }, 300_000)
})

describe('parameters that are forced on another vendor', () => {
  it('leave what the client asked for where they say nothing of it', async () => {
    const text = document()
      .replace(
        'targets:\n',
        `  gem: { kind: gemini, baseUrl: "\${SIMULATOR_URL}", apiKey: sk-gem-test-0123456789 }\ntargets:\n${forced}`,
      )
      .replace('routes:\n', 'routes:\n  g: cold\n')
    const control = await startControl({ text, simulator: { keepBodies: true } })
    onTestFinished(() => control.close())
    const body = { model: 'g', max_tokens: 7, temperature: 1, messages: [{ role: 'user', content: 'x' }] }
    const reply = await send('POST', control.url + CHAT, body, { authorization: `Bearer ${keys.app}` }).done
    expect(reply.status).toBe(200)
    const [sent] = bodiesOf(control.simulator.calls)
    expect(sent).toMatchObject({
      generationConfig: { temperature: 0.5, topP: 0.25, maxOutputTokens: 7 },
      safetySettings: [{ category: 'HARM_CATEGORY_HARASSMENT', threshold: 'OFF' }],
    })
  })
})

const forced = `  cold:
    provider: gem
    model: gemini-fast
    params:
      generationConfig: { temperature: 0.5, topP: 0.25 }
      safetySettings: [ { category: HARM_CATEGORY_HARASSMENT, threshold: "OFF" } ]
`

const live = () => gateway.running.turnout.rollouts!.find('move')!

const targetOf = (arm: string | undefined, canary: string): string => (arm === 'canary' ? canary : 'sim/stable')
