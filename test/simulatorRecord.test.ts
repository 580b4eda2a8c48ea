// What the simulator remembers: calls, bills, aborts; its control surface; the command that runs it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ScriptError, type Simulator, startSimulator } from '../src/simulator/index.ts'
import { get, post, send } from './support/exchange.ts'

let simulator: Simulator
beforeAll(async () => {
  simulator = await startSimulator({ seed: 1, keepBodies: true })
})
afterAll(() => simulator.close())
beforeEach(() => simulator.reset())

const body = (model: string, stream = false) => ({ model, stream, messages: [{ role: 'user', content: 'Hello' }] })
const chat = (model: string, stream = false) => post(`${simulator.baseUrl}/chat/completions`, body(model, stream))
const over = () => simulator.waitFor((call) => call.outcome !== 'running')

describe('recording', () => {
  it('keeps what was asked, delivered and billed', async () => {
    const raw = '{ "model":"m1",  "messages":[{"role":"user","content":"x"}], "seed":12345678901234567890 }'
    const headers = { authorization: 'Bearer sk-test-hidden', 'X-Custom': 'seen', 'api-key': 'sk-test-hidden' }
    const reply = await post(`${simulator.baseUrl}/chat/completions?v=1`, raw, headers)
    const call = await over()
    const { usage, id } = JSON.parse(reply.text)
    expect(call).toMatchObject({
      n: 1,
      wire: 'openai-chat',
      method: 'POST',
      path: '/v1/chat/completions',
      model: 'm1',
      stream: false,
      status: 200,
      outcome: 'completed',
      fault: undefined,
      promptTokens: usage.prompt_tokens,
      completionTokens: usage.completion_tokens,
      chunks: 1,
      bytes: Buffer.byteLength(reply.text),
    })
    expect(`chatcmpl-${call.id}`).toBe(id)
    expect(call.headerNames).toEqual(expect.arrayContaining(['authorization', 'api-key', 'x-custom']))
    expect(call.headers['x-custom']).toBe('seen')
    expect(JSON.stringify(call)).not.toContain('sk-test-hidden')
    expect(call.body?.toString()).toBe(raw)
  })

  it('keeps no body unless told to', async () => {
    const plain = await startSimulator()
    await post(`${plain.baseUrl}/chat/completions`, body('m'))
    expect(plain.calls[0]).not.toHaveProperty('body')
    await plain.close()
  })

  it('counts chunks of a stream', async () => {
    const reply = await chat('sim-tokens-9', true)
    const call = await over()
    expect(call.chunks).toBe(reply.text.split('\n\n').length - 1)
    expect(call).toMatchObject({ stream: true, completionTokens: 9, bytes: Buffer.byteLength(reply.text) })
  })

  it('remembers the last 1000 calls and counts all of them', async () => {
    const total = 2300
    // Spread over a few connections at a time: sockets are not what is counted here.
    for (let done = 0; done < total; done += 50)
      await Promise.all(Array.from({ length: 50 }, () => chat('sim-tokens-2')))
    await simulator.waitFor((call) => call.n === total && call.outcome === 'completed')
    expect(simulator.calls).toHaveLength(1000)
    expect(simulator.calls.at(-1)?.n).toBe(total)
    const totals = simulator.totals()
    expect(totals).toMatchObject({
      requests: total,
      completed: total,
      running: 0,
      completionTokens: 2 * total,
      chunks: total,
    })
    expect(totals.byModel['sim-tokens-2']).toMatchObject({ requests: total, completionTokens: 2 * total })
    expect(totals.byStatus).toEqual({ 200: total })
  })

  it('names at most 1000 models in its totals', async () => {
    for (let i = 0; i < 1010; i++) await chat(`model-${i}`)
    const { byModel } = simulator.totals()
    expect(Object.keys(byModel)).toHaveLength(1001)
    expect(byModel['(others)']?.requests).toBe(10)
  })

  it('waitFor rejects in time and says what came instead', async () => {
    await chat('m')
    await expect(simulator.waitFor((call) => call.model === 'other', 20)).rejects.toThrow(/20 ms.*POST \/v1\/chat/)
  })
})

describe('aborts', () => {
  it('stops generating when the client of a stream goes, and bills what was generated', async () => {
    simulator.script('slow', { tokens: 1000, tokensPerSecond: 100 })
    const sent = send('POST', `${simulator.baseUrl}/chat/completions`, body('slow', true))
    const running = await simulator.waitFor((call) => call.chunks >= 5)
    expect(running.outcome).toBe('running')
    sent.request.destroy()
    const call = await over()
    expect(call.outcome).toBe('aborted')
    expect(call.chunks).toBeLessThan(1000)
    // The role chunk stands for no token.
    expect(call.completionTokens).toBe(call.chunks - 1)
    expect(call.promptTokens).toBeGreaterThan(0)
    expect(simulator.totals()).toMatchObject({ running: 0, aborted: 1, completionTokens: call.completionTokens })
  })

  it('bills a JSON reply for the time it ran', async () => {
    simulator.script('slow', { tokens: 1000, tokensPerSecond: 100, firstTokenMs: 10 })
    const sent = send('POST', `${simulator.baseUrl}/chat/completions`, body('slow'))
    await simulator.waitFor((call) => call.outcome === 'running')
    await new Promise((resolve) => setTimeout(resolve, 100))
    sent.request.destroy()
    const call = await over()
    expect(call).toMatchObject({ outcome: 'aborted', status: 0, chunks: 0, bytes: 0 })
    expect(call.completionTokens).toBeGreaterThan(2)
    expect(call.completionTokens).toBeLessThan(1000)
  })

  it('bills nothing before the first token', async () => {
    simulator.script('slow', { firstTokenMs: 60_000 })
    const sent = send('POST', `${simulator.baseUrl}/chat/completions`, body('slow', true))
    await simulator.waitFor((call) => call.status === 200)
    sent.request.destroy()
    expect(await over()).toMatchObject({ outcome: 'aborted', promptTokens: 0, completionTokens: 0 })
  })

  it('does not run ahead of a client that does not read', async () => {
    simulator.script('huge', { tokens: 200_000 })
    const sent = send('POST', `${simulator.baseUrl}/chat/completions`, body('huge', true))
    const response = await sent.response
    response.pause()
    const call = await simulator.waitFor((candidate) => candidate.chunks > 0)
    await new Promise((resolve) => setTimeout(resolve, 100))
    // 200,000 chunks are 60 MB; the kernel's buffers hold a few.
    expect(call.outcome).toBe('running')
    expect(call.bytes).toBeLessThan(30_000_000)
    sent.request.destroy()
    await over()
  })
})

describe('control', () => {
  const scripts = (model: string) => `${simulator.url}/__sim/scripts/${encodeURIComponent(model)}`

  it('scripts a model, shows it and takes it away', async () => {
    expect((await send('PUT', scripts('a/b c'), { fault: { kind: 'status', status: 503 } }).done).status).toBe(200)
    expect((await chat('a/b c')).status).toBe(503)
    expect(JSON.parse((await get(scripts('a/b c'))).text)).toEqual({ fault: { kind: 'status', status: 503 } })
    expect(JSON.parse((await get(`${simulator.url}/__sim/scripts`)).text)).toHaveProperty('a/b c')
    expect((await send('DELETE', scripts('a/b c')).done).status).toBe(200)
    expect((await chat('a/b c')).status).toBe(200)
  })

  it('refuses scripts it does not understand and keeps the old one', async () => {
    simulator.script('kept', { text: 'still here' })
    for (const bad of [
      '{',
      '[]',
      '{"tokens":-1}',
      '{"fault":{"kind":"rain"}}',
      '{"split":0}',
      '{"headers":{"a b":"c"}}',
      '{"headers":{"a":"\\r\\n"}}',
    ]) {
      const reply = await send('PUT', scripts('kept'), bad).done
      expect(reply.status).toBe(400)
      expect(JSON.parse(reply.text).error).not.toBe('')
    }
    expect((await chat('kept')).text).toContain('still here')
    expect(() => simulator.script('kept', { tokens: -1 })).toThrow(ScriptError)
    await expect(startSimulator({ scripts: { bad: { split: 0 } } })).rejects.toThrow(/bad\.split/)
  })

  it('tells its counts and starts them anew', async () => {
    await chat('sim-fast')
    await over()
    expect(JSON.parse((await get(`${simulator.url}/__sim/stats`)).text)).toMatchObject({ requests: 1, completed: 1 })
    const calls = await get(`${simulator.url}/__sim/calls`)
    expect(JSON.parse(calls.text)).toMatchObject([{ model: 'sim-fast', outcome: 'completed' }])
    expect(calls.text).not.toContain('Hello')
    expect(JSON.parse((await send('DELETE', `${simulator.url}/__sim/stats`).done).text)).toMatchObject({ requests: 0 })
    expect(simulator.calls).toEqual([])
    expect((await get(`${simulator.url}/__sim/nothing`)).status).toBe(404)
    expect((await send('POST', scripts('x'), {}).done).status).toBe(405)
  })

  it('a call from before a reset is not counted after it', async () => {
    simulator.script('slow', { firstTokenMs: 60_000 })
    const sent = send('POST', `${simulator.baseUrl}/chat/completions`, body('slow', true))
    const call = await simulator.waitFor((candidate) => candidate.status === 200)
    simulator.reset()
    sent.request.destroy()
    await chat('sim-fast')
    await simulator.waitFor((candidate) => candidate.outcome === 'completed')
    while (call.outcome === 'running') await new Promise((resolve) => setImmediate(resolve))
    expect(simulator.totals()).toMatchObject({ requests: 1, running: 0, completed: 1, aborted: 0 })
  })
})

describe('turnout simulate', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'turnout-simulate-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const command = fileURLToPath(new URL('../src/cli/simulate.ts', import.meta.url))
  function run(...args: string[]) {
    const program =
      `const { Command } = await import('commander');` +
      `const { addSimulateCommand } = await import(${JSON.stringify(command)});` +
      `const program = new Command(); addSimulateCommand(program);` +
      `await program.parseAsync(['simulate', ...${JSON.stringify(args)}], { from: 'user' })`
    const cwd = fileURLToPath(new URL('..', import.meta.url))
    const options = ['--import', 'tsx', '--input-type=module', '-e', program]
    return spawn(process.execPath, options, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  }

  it.each(['SIGINT', 'SIGTERM'] as const)('says where it listens, serves its file, stops on %s', async (signal) => {
    const file = join(folder, 'scripts.yaml')
    writeFileSync(file, 'my-model:\n  text: from the file\nmy-broken:\n  fault: { kind: status, status: 503 }\n')
    const child = run('--port', '0', '--seed', '9', '--scripts', file)
    try {
      const lines: string[] = []
      for await (const line of createInterface({ input: child.stdout })) if (lines.push(line) === 3) break
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(lines[0] ?? '')?.[0]
      expect(lines[1]).toMatch(/my-model, my-broken, .*sim-fast/)
      expect((await post(`${url}/v1/chat/completions`, body('my-model'))).text).toContain('from the file')
      expect((await post(`${url}/v1/chat/completions`, body('my-broken'))).status).toBe(503)
      // Neither a stream that never ends nor a reply that is due in 30 seconds may hold it back: a timer that outlives
      // its client would keep the process.
      const stalled = send('POST', `${url}/v1/chat/completions`, body('sim-stall', true))
      const late = send('POST', `${url}/v1/chat/completions`, body('sim-slow-headers'))
      await stalled.response
      let running = 0
      while (running < 2) running = JSON.parse((await get(`${url}/__sim/stats`)).text).running
      child.kill(signal)
      expect(await once(child, 'exit')).toEqual([0, null])
      expect((await stalled.done).complete).toBe(false)
      expect((await late.done).status).toBe(0)
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('refuses what it cannot use, all errors at once', async () => {
    const file = join(folder, 'bad.yaml')
    writeFileSync(file, 'a:\n  tokens: -1\nb:\n  fault: { kind: rain }\n')
    const taken = String(simulator.port)
    for (const [args, text] of [
      [['--port', '0', '--scripts', file], /a\.tokens.*b\.fault\.kind/],
      [['--port', '0', '--scripts', join(folder, 'none.yaml')], /cannot read .*ENOENT/],
      [['--port', taken], /is taken/],
    ] as const) {
      const child = run(...args)
      let errors = ''
      child.stderr.on('data', (data) => {
        errors += data
      })
      const [code] = await once(child, 'close')
      expect(code).toBe(1)
      expect(errors).toMatch(text)
    }
  })
})
