// docs/alerts.md: its receiver verifies what the gateway of examples/alerts.yaml sends, and its commands answer as it shows.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Running, run } from '../src/cli/run.ts'
import { signMessage } from '../src/telemetry/webhook/signature.ts'
import { get, send } from './support/exchange.ts'
import { findQuietPort } from './support/quietPort.ts'
import { endTurnout, runTurnout, said } from './support/turnoutProcess.ts'

const docs = readFileSync(new URL('../docs/alerts.md', import.meta.url), 'utf8')
const example = fileURLToPath(new URL('../examples/alerts.yaml', import.meta.url))
const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const masterKey = 'sk-test-master-key-0123456789'

let folder: string
let port: number
let receiver: ChildProcess
let running: Running
let heard = ''

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-alerts-'))
  port = await findQuietPort()
  const script = join(folder, 'receiver.mjs')
  writeFileSync(script, /```js\n([\s\S]*?)```/.exec(docs)![1]!)
  receiver = spawn(process.execPath, [script], {
    env: { PATH: process.env.PATH, PORT: String(port), TURNOUT_WEBHOOK_SECRET: secret },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await said(receiver, 'stdout', /ready/)
  receiver.stdout!.on('data', (chunk: Buffer) => {
    heard += chunk
  })
  running = await run({
    config: example,
    port: 0,
    dataDir: folder,
    env: {
      OPENAI_API_KEY: 'sk-test-openai-0123456789',
      ANTHROPIC_API_KEY: 'sk-test-anthropic-0123456789',
      ALERT_URL: `http://127.0.0.1:${port}/`,
      TURNOUT_WEBHOOK_SECRET: secret,
      TURNOUT_MASTER_KEY: masterKey,
      TURNOUT_LOG_LEVEL: 'silent',
    },
  })
  // Rules say nothing before the ledger is read.
  const look = () => get(`${running.server.url}/admin/alerts`, { authorization: `Bearer ${masterKey}` })
  while ((await look()).text.includes('"reading"')) await new Promise((resolve) => setTimeout(resolve, 10))
})
afterAll(async () => {
  await running.stop()
  await endTurnout(receiver)
  rmSync(folder, { recursive: true })
})

/** Numbers, times and ids are of their day. */
const shapeOf = (text: string): string =>
  text
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/ +/g, ' ')
    .trim()

describe('docs/alerts.md', () => {
  it('has a receiver that takes genuine messages', { timeout: 300_000 }, async () => {
    const { code, out } = await runTurnout(['alerts', 'test', '--url', running.server.url, '--key', masterKey], {
      cwd: folder,
    })
    expect([code, out]).toEqual([0, 'on-call: delivered (HTTP 204)\n'])
    expect(heard).toContain('alert.test: This is a test. Nothing has happened.\n')
  })

  it('has a receiver that refuses forged, changed and old ones', async () => {
    const post = async (body: string, timestamp: number, signature: string): Promise<number> => {
      const headers = { 'webhook-id': 'msg_1', 'webhook-timestamp': String(timestamp), 'webhook-signature': signature }
      return (await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers, body })).status
    }
    const body = '{"type":"alert.test","data":{"summary":"forged"}}'
    const now = Math.floor(Date.now() / 1000)
    const sign = (timestamp: number): string => signMessage([secret], { id: 'msg_1', timestamp, body })
    expect(await post(body, now, sign(now))).toBe(204)
    expect(await post(body, now, `v1,AAAA ${sign(now)}`)).toBe(204)
    expect(await post(`${body} `, now, sign(now))).toBe(401)
    expect(await post(body, now, sign(now - 1))).toBe(401)
    expect(await post(body, now - 301, sign(now - 301))).toBe(401)
    expect(await post(body, now, '')).toBe(401)
    expect(await post(body, now, signMessage(['whsec_AAAA'], { id: 'msg_1', timestamp: now, body }))).toBe(401)
  })

  it('shows what the commands answer', { timeout: 300_000 }, async () => {
    const blocks = [...docs.matchAll(/```console\n([\s\S]*?)```/g)].map(([, block]) => block!)
    const commands = blocks.flatMap((block) => block.split(/^\$ /m).slice(1))
    expect(commands.length).toBeGreaterThan(5)
    for (const text of commands) {
      const [command, ...answer] = text.split('\n')
      const words = command!.split(' ').slice(1)
      // The first has run above.
      if (words[1] === 'test' || command!.startsWith('curl')) continue
      const { out } = await runTurnout([...words, '--url', running.server.url, '--key', masterKey], { cwd: folder })
      expect(shapeOf(out), command!).toBe(shapeOf(answer.join('\n')))
    }
  })

  it('shows what the admin API answers', async () => {
    const curls = [...docs.matchAll(/^\$ curl -s "\$ADMIN(\S+)".*?(?: -d '(.*)')?\n(.*)$/gm)]
    expect(curls).toHaveLength(2)
    for (const [line, path, body, answer] of curls) {
      const method = body === undefined ? 'GET' : 'POST'
      const { text } = await send(method, `${running.server.url}/admin${path}`, body, {
        authorization: `Bearer ${masterKey}`,
      }).done
      expect(stripped(text), line!).toEqual(stripped(answer!))
    }
  })
})

/** JSON without what is of its day. */
const stripped = (text: string): unknown =>
  JSON.parse(
    text
      .replace(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/g, '"TIME"')
      .replace(/msg_[0-9a-f]{32}/g, 'msg')
      .replace(/dlv_\d+/g, 'dlv')
      .replace(/"delivered":\d+/g, '"delivered":1'),
  )
