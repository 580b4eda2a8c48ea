// The operator's system text: where it stands on each wire, what it leaves alone, and that it is told to nobody but the model.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { inspect } from '../src/dialects/openai-chat/inspect.ts'
import { patch } from '../src/dialects/openai-chat/patch.ts'
import { prefixEncoded } from '../src/dialects/openai-chat/systemPrefix.ts'
import { markOf, startCacheGateway } from './support/cacheGateway.ts'
import { CHAT } from './support/chatBodies.ts'
import { document, startControl } from './support/control.ts'
import { send } from './support/exchange.ts'
import { bodiesOf, expectVendorBodies } from './support/hubVendors.ts'
import fc from './support/seededCheck.ts'

const prefix = 'Say "planted-prefix-okapi"\nin every reply. \u2603'
const keyOfApp = { authorization: 'Bearer sk-test-app-key-0123456789' }

const patched = (text: string, systemPrefix: string | undefined): string => {
  const inspected = inspect(Buffer.from(text), { maxDepth: 128, maxMessages: 10_000 })
  return patch(inspected, { model: inspected.ask.model, askUsage: false, systemPrefix }).toString()
}

describe('on the identity lane', () => {
  const role = fc.constantFrom('system', 'developer', 'user', 'assistant')
  const part = fc.record({ type: fc.constant('text'), text: fc.string() })
  const content = fc.oneof(fc.string(), fc.array(part, { maxLength: 3 }), fc.constant(null))
  const message = fc.record({ role, content, name: fc.string() }, { requiredKeys: ['role', 'content'] })

  it('reads as the messages with the text before them, whatever they are', () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 4 }), fc.string({ minLength: 1 }), (messages, text) => {
        const raw = JSON.stringify({ model: 'm', messages, seed: 1 }, null, 1)
        expect(JSON.parse(patched(raw, text))).toEqual({ model: 'm', messages: prefixEncoded(messages, text), seed: 1 })
      }),
      { seed: 7, numRuns: 500 },
    )
  })

  it.each([
    ['a system text', '[ {"role":"system","content":"Be \\u006bind."} ]'],
    ['a developer message', '[{"content": [ {"type":"text","text":"1.0"} ],"role":"developer"}]'],
    ['no system message', '[{"role":"user","content":"Hi","x":12345678901234567890}]'],
  ])('changes no other byte: %s', (_, messages) => {
    const text = `{ "messages" : ${messages} , "model":"m", "seed": 1.0 }`
    const edited = patched(text, prefix)
    // What stays of it when the new bytes are cut out again is what came.
    const at = [...edited].findIndex((char, index) => char !== text[index])
    const more = edited.length - text.length
    const cuts = [...Array(more + 1).keys()].map((back) => edited.slice(0, at - back) + edited.slice(at - back + more))
    expect(cuts).toContain(text)
    expect(JSON.stringify(JSON.parse(edited).messages[0])).toContain('planted-prefix-okapi')
    expect(patched(text, undefined)).toBe(text)
  })
})

describe('at each vendor', () => {
  it('stands first, once, and only for the targets that have it', async () => {
    const text = document()
      .replace('targets:\n', targetsOf(prefix))
      .replace('routes:\n', 'routes:\n  o: told\n  a: told-a\n  g: told-g\n  plain: sim/sim-fast\n')
    const gateway = await startControl({ text, simulator: { keepBodies: true } })
    onTestFinished(() => gateway.close())
    const messages = [
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'Hello' },
    ]
    for (const model of ['o', 'a', 'g', 'plain'])
      for (const stream of [false, true]) {
        const body = { model, stream, messages }
        const { status } = await send('POST', gateway.url + CHAT, body, keyOfApp).done
        expect(status).toBe(200)
      }
    const { calls } = gateway.simulator
    expectVendorBodies(calls)
    const [o, o2, a, a2, g, g2, plain] = bodiesOf(calls)
    expect(o.messages).toEqual([{ role: 'system', content: `${prefix}\n\nBe kind.` }, messages[1]])
    expect(o2.messages).toEqual(o.messages)
    expect(a.system).toEqual([
      { type: 'text', text: prefix },
      { type: 'text', text: 'Be kind.' },
    ])
    expect(a2.system).toEqual(a.system)
    expect(a.messages).toEqual([{ role: 'user', content: [{ type: 'text', text: 'Hello' }] }])
    expect(g.systemInstruction.parts).toEqual([{ text: prefix }, { text: 'Be kind.' }])
    expect(g2.systemInstruction).toEqual(g.systemInstruction)
    expect(plain.messages).toEqual(messages)
  })

  it('leaves the places in errors those of the client', async () => {
    const text = document().replace('targets:\n', targetsOf(prefix)).replace('routes:\n', 'routes:\n  a: told-a\n')
    const gateway = await startControl({ text })
    onTestFinished(() => gateway.close())
    const bad = { role: 'user', content: [{ type: 'input_audio', input_audio: { data: 'AA==', format: 'wav' } }] }
    const body = { model: 'a', messages: [bad] }
    const { status, text: reply } = await send('POST', gateway.url + CHAT, body, keyOfApp).done
    expect([status, JSON.parse(reply).error.param]).toEqual([400, expect.stringContaining('messages[0].content[0]')])
  })
})

describe('what is kept and told', () => {
  it('answers of another text are not served: a swap that changes it begins anew', async () => {
    const { gateway, upstream, chat } = await startCacheGateway(true, undefined, {
      targets: { t: { provider: 'p', model: 'x', systemPrefix: 'one' } },
      routes: { m: { targets: ['t'], cache: true } },
    })
    await chat()
    expect(markOf(await chat())).toBe('hit')
    const before = gateway.turnout.snapshot
    const route = before.routes.get('m')!
    const changed = { ...route, targets: [{ ...route.targets[0]!, systemPrefix: 'two' }] }
    gateway.turnout.swap({ ...before, version: 2, routes: new Map([['m', changed]]) })
    expect(markOf(await chat())).toBe('miss')
    const plain = { ...route, targets: [{ ...route.targets[0]!, systemPrefix: undefined }] }
    gateway.turnout.swap({ ...before, version: 3, routes: new Map([['m', plain]]) })
    expect(markOf(await chat())).toBe('miss')
    gateway.turnout.swap({ ...before, version: 4 })
    expect(markOf(await chat())).toBe('hit')
    expect(upstream.requests).toHaveLength(3)
  })

  it('it is in no line of the log, no trace and no metric, also when requests fail', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'turnout-prefix-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const logFile = join(folder, 'turnout.log')
    const text = document()
      .replace('log: { level: silent }', `log: { level: debug, file: ${logFile} }\ntrace: { sample: 1 }`)
      .replace('targets:\n', targetsOf(prefix))
      .replace('routes:\n', 'routes:\n  o: [told, told-a, told-g]\n  a: told-a\n')
    const gateway = await startControl({ text })
    onTestFinished(() => gateway.close())
    for (const status of [200, 400, 500]) {
      const fault = status === 200 ? {} : { fault: { kind: 'status' as const, status } }
      for (const model of ['sim-fast', 'claude-fast', 'gemini-fast'])
        gateway.simulator.script(model, { tokens: 3, ...fault })
      await gateway.chat('o')
      await gateway.chat('a')
    }
    expect((await gateway.ask('POST', '/models/reload', {})).status).toBe(200)
    await gateway.running.log.flush()
    const log = readFileSync(logFile, 'utf8')
    expect(log.trim().split('\n').length).toBeGreaterThan(6)
    for (const told of [
      log,
      (await gateway.ask('GET', '/traces?limit=100')).text,
      (await gateway.ask('GET', '/audit')).text,
      (
        await send('GET', `${gateway.url}/metrics`, undefined, {
          authorization: 'Bearer sk-test-viewer-key-0123456789',
        }).done
      ).text,
    ])
      expect(told).not.toContain('planted-prefix')
  })
})

/** The head of `targets:`, with one target of each vendor that has the text. */
function targetsOf(text: string): string {
  const told = JSON.stringify(text)
  return `  ant: { kind: anthropic, baseUrl: "\${SIMULATOR_URL}", apiKey: sk-ant-test-0123456789 }
  gem: { kind: gemini, baseUrl: "\${SIMULATOR_URL}", apiKey: sk-gem-test-0123456789 }
targets:
  told: { provider: sim, model: sim-fast, systemPrefix: ${told} }
  told-a: { provider: ant, model: claude-fast, systemPrefix: ${told} }
  told-g: { provider: gem, model: gemini-fast, systemPrefix: ${told} }
`
}
