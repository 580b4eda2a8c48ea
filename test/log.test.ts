// The log: one JSON line a request, nothing lost at exit, and no secret and no prompt in it.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLog, type Facts, type RequestLine } from '../src/telemetry/log.ts'
import { longestLine, writeRequest } from '../src/telemetry/requestLine.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-log-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

const line: RequestLine = {
  id: 'req_1',
  route: 'chat',
  model: 'chat',
  target: 'openai/gpt-4o',
  status: 200,
  outcome: 'ok',
  attempts: 1,
  durationMs: 12.5,
  inputTokens: 3,
  stream: false,
}

/** Every field, in the order of the line. */
const everything: Required<RequestLine> = {
  id: 'req_1',
  route: 'chat',
  model: 'chat',
  target: 'openai/gpt-4o',
  provider: 'openai',
  servedModel: 'gpt-4o-2024-08-06',
  dialect: 'openai-chat',
  lane: 'identity',
  stream: false,
  status: 200,
  outcome: 'ok',
  fault: 'server_error',
  refusal: 'rate_limit_exceeded',
  limit: 'perKey',
  queuedMs: 0.001,
  attempts: 1,
  cache: 'miss',
  durationMs: 12.5,
  firstTokenMs: 3,
  overheadMs: 0.25,
  inputTokens: 3,
  outputTokens: 4,
  costNanoUsd: 2_500_000_000,
  config: 1,
  key: 'app',
  team: 'search',
  rollout: 'canary:chat',
  arm: 'canary',
  address: '127.0.0.1',
  user: 'r_0',
  trace: '0'.repeat(32),
  finish: 'stop',
}

async function written(say: (log: ReturnType<typeof createLog>) => void, level = 'info'): Promise<string> {
  const file = join(folder, 'sub', 'turnout.log')
  const log = createLog({ level, file })
  say(log)
  await log.flush()
  return readFileSync(file, 'utf8')
}

const lines = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split('\n')
    .map((one) => JSON.parse(one))

describe('log', () => {
  it('writes one line a request with exactly the fields that are set', async () => {
    const [first, ...rest] = lines(await written((log) => log.request(line)))
    expect(rest).toEqual([])
    expect(first).toEqual({ level: 'info', time: expect.stringMatching(/^\d{4}-.*Z$/), ...line, msg: 'request' })
  })

  it('keeps to its level, which can be changed while running', async () => {
    const text = await written((log) => {
      log.info('first')
      log.level = 'info'
      log.info('second', { port: 4000 })
      log.debug('third')
    }, 'warn')
    expect(lines(text).map(({ msg, port }) => [msg, port])).toEqual([['second', 4000]])
  })

  it('loses no line when the process exits right after', () => {
    const file = join(folder, 'exit.log')
    const module = fileURLToPath(new URL('../src/telemetry/log.ts', import.meta.url))
    const script = `import { createLog } from ${JSON.stringify(module)}
      const log = createLog({ level: 'info', file: ${JSON.stringify(file)} })
      for (let i = 0; i < 2000; i++) log.request({ id: 'req_' + i, route: 'r', status: 200, outcome: 'ok', durationMs: i })
      process.exit(0)`
    const ran = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      encoding: 'utf8',
    })
    expect(ran.stderr).toBe('')
    // What a thread is writing when the process ends may come after what is written then.
    const numbers = lines(readFileSync(file, 'utf8')).map(({ durationMs }) => durationMs as number)
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 2000 }, (_, i) => i))
  })

  it.runIf(existsSync('/dev/full'))('lets the process end although the disk is full', () => {
    const module = fileURLToPath(new URL('../src/telemetry/log.ts', import.meta.url))
    const script = `import { createLog } from ${JSON.stringify(module)}
      const log = createLog({ level: 'info', file: '/dev/full' })
      log.warn('first')
      setInterval(() => {
        if (log.failures === 0) return
        for (let i = 0; i < 2000; i++) log.request({ id: 'req_' + i, route: 'r', status: 200, outcome: 'ok', durationMs: i })
        process.exit(7)
      }, 10)`
    const ran = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 120_000,
    })
    expect([ran.stderr, ran.status]).toEqual(['', 7])
  })

  it.runIf(existsSync('/proc/self'))('says so where its folder cannot be made, and does not try for ever', () => {
    const module = fileURLToPath(new URL('../src/telemetry/log.ts', import.meta.url))
    const script = `import { createLog } from ${JSON.stringify(module)}
      createLog({ level: 'info', file: '/proc/turnout/logs/turnout.log' })`
    const ran = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 60_000,
      killSignal: 'SIGKILL',
    })
    expect([ran.status, ran.stderr]).toEqual([1, expect.stringContaining("mkdir '/proc/turnout'")])
  })

  it('keeps the order of requests and events', async () => {
    const text = await written((log) => {
      for (let i = 0; i < 500; i++) {
        log.request({ ...line, id: `req_${i}` })
        if (i % 7 === 0) log.warn(`event ${i}`)
      }
    })
    expect(lines(text).map(({ id, msg }) => id ?? msg)).toEqual(
      Array.from({ length: 500 }, (_, i) => (i % 7 === 0 ? [`req_${i}`, `event ${i}`] : [`req_${i}`])).flat(),
    )
  })

  it('writes each field as JSON does', async () => {
    const texts = [
      '',
      'plain ~ text',
      'a "quoted" \\ one',
      'line\nbreak\u0000',
      '\u007f',
      'Ünï 日本 🙂',
      '\ud83d',
      'x'.repeat(128),
    ]
    const numbers = [
      0,
      -0,
      7,
      10,
      99,
      200,
      65_536,
      1_999_999_999,
      2_000_000_000,
      2 ** 53,
      -3,
      -0.5,
      0.001,
      0.1,
      0.12,
      12.345,
    ]
    const odd = [0.0005, 1e-7, 1 / 3, 1_999_999.999, 2_000_000.5, 1e21, 4.35, 1.005, 100.01, 0.3, 0.1 + 0.2]
    const thousandths = Array.from({ length: 2_000 }, (_, i) => (i * 997) / 1000)
    const said: RequestLine[] = [
      ...texts.map((text): RequestLine => ({ ...everything, model: text, finish: text })),
      ...[...numbers, ...odd, ...thousandths].map((value): RequestLine => ({ ...everything, durationMs: value })),
      everything,
      { ...everything, durationMs: Number.NaN, overheadMs: Number.POSITIVE_INFINITY, stream: true, team: undefined },
    ]
    const text = await written((log) => {
      for (const one of said) log.request(one)
    })
    const expected = said.map((one) => {
      const finite = Object.entries(one).filter(([, value]) => typeof value !== 'number' || Number.isFinite(value))
      return JSON.stringify({ ...Object.fromEntries(finite), msg: 'request' })
    })
    expect(text.replace(/\{"level":"info","time":"[\d-]{10}T[\d:]{8}\.\d{3}Z",/g, '{')).toBe(`${expected.join('\n')}\n`)
  })

  it('mixes no two requests, however alike they are', () => {
    const bytes = Buffer.alloc(2 * longestLine)
    const other = (value: unknown): unknown =>
      typeof value === 'string' ? value.replace(/./g, 'z') : typeof value === 'number' ? value + 16 : !value
    const alike = Object.entries(everything).map(
      ([name, value]): RequestLine => ({ ...everything, [name]: other(value) }),
    )
    const long: RequestLine = { ...everything, model: '\u001f'.repeat(128), target: '\u001f'.repeat(128) }
    const without: RequestLine = { ...everything, lane: undefined, stream: undefined, servedModel: undefined }
    for (const one of [...alike, long, without, everything].flatMap((one) => [one, one, everything])) {
      const { level, time, msg, ...told } = JSON.parse(bytes.toString('utf8', 0, writeRequest(bytes, 0, one, 0)))
      expect([level, time, msg]).toEqual(['info', new Date(0).toISOString(), 'request'])
      expect(told).toEqual(JSON.parse(JSON.stringify(one)))
    }
  })

  it('holds no name of megabytes that a client has sent', () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const bytes = Buffer.alloc(longestLine)
    const held = (): number => {
      collect()
      return process.memoryUsage().heapUsed
    }
    const before = held()
    // One for each place where a passage may be kept.
    for (let i = 0; i < 64; i++)
      writeRequest(bytes, 0, { ...line, model: JSON.parse(`"${'m'.repeat(2_000_000 + i)}"`) }, 0)
    expect(held() - before).toBeLessThan(4_000_000)
  })

  it('tells the time to the millisecond', () => {
    const bytes = Buffer.alloc(longestLine)
    for (const moment of [0, 7, 10, 99, 100, 999, 1000, 1_763_733_243_005, 1_763_733_243_999, 1_763_733_244_000, 1]) {
      const text = bytes.toString('utf8', 5, writeRequest(bytes, 5, line, moment))
      expect(JSON.parse(text).time).toBe(new Date(moment).toISOString())
    }
  })

  it('has room for the longest line', () => {
    const worst = Object.fromEntries(
      Object.entries(everything).map(([name, value]) => [
        name,
        typeof value === 'string' ? '\u001f'.repeat(128) : value,
      ]),
    )
    const bytes = Buffer.alloc(2 * longestLine)
    expect(writeRequest(bytes, 0, worst as unknown as RequestLine, 0)).toBeLessThan(longestLine)
  })

  it('shows requests as it shows the rest to human eyes', () => {
    const module = fileURLToPath(new URL('../src/telemetry/log.ts', import.meta.url))
    const script = `import { createLog } from ${JSON.stringify(module)}
      const log = createLog({ level: 'info', pretty: true })
      log.info('listening', { port: 4000 })
      log.request({ id: 'req_1', route: 'r', status: 200, outcome: 'ok', durationMs: 1.5 })
      log.request({ id: 'req_2', route: 'r', status: 200, outcome: 'ok', durationMs: 2 })
      log.info('stopped')`
    const ran = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      encoding: 'utf8',
    })
    expect(ran.stderr).toBe('')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours
    expect(ran.stdout.replace(/\x1b\[\d+m/g, '').replace(/^[\d:.]{12} /gm, '')).toBe(
      [
        'info  listening port=4000',
        'info  request id=req_1 route=r status=200 outcome=ok durationMs=1.5',
        'info  request id=req_2 route=r status=200 outcome=ok durationMs=2',
        'info  stopped',
        '',
      ].join('\n'),
    )
  })
})

describe('C50 no secret and no prompt in the log', () => {
  const secret = 'sk-test-PLANTED0123456789'
  const prompt = 'the planted prompt about purple elephants'

  it('C50 copies only the fields of the list, whatever is handed in', async () => {
    const text = await written((log) => {
      log.request({
        ...line,
        authorization: `Bearer ${secret}`,
        body: prompt,
        headers: { a: secret },
        messages: [prompt],
      } as RequestLine)
      log.warn('something', { target: 't', apiKey: secret, prompt, request: { body: prompt } } as Facts)
      log.request({ ...line, model: { text: prompt } as unknown as string })
    })
    expect(lines(text)).toHaveLength(3)
    expect(text).not.toContain('PLANTED')
    expect(text).not.toContain('elephants')
  })

  it('C50 keeps the name, code and place of an error, but not what hangs on it or looks like a key', async () => {
    const error = Object.assign(
      new Error(`connect to https://user:${secret}@host/?key=${secret} with Bearer ${secret} failed`),
      {
        code: 'ECONNRESET',
        config: { headers: { authorization: secret }, data: prompt },
      },
    )
    const text = await written((log) =>
      log.error(`call failed: Bearer ${secret}`, { error, problems: [`bad key ${secret}`] }),
    )
    expect(text).not.toContain('PLANTED')
    expect(text).not.toContain('elephants')
    const [said] = lines(text)
    expect(said?.error).toMatchObject({ name: 'Error', code: 'ECONNRESET', at: expect.stringContaining('log.test.ts') })
  })

  it('C50 repeats no text that could not be read, and no line of a message as a place', async () => {
    const broken = (): unknown => {
      try {
        return JSON.parse(`${prompt} {`)
      } catch (error) {
        return error
      }
    }
    expect(String(broken())).toContain('the planted')
    const text = await written((log) => {
      log.error('failed', { error: broken() })
      log.error('failed', { error: new Error(`first\n    at elephants (${secret})`) })
    })
    expect(text).not.toContain('planted')
    expect(text).not.toContain('PLANTED')
    const said = lines(text).map(({ error }) => error as Record<string, string>)
    expect(said[0]).toMatchObject({ name: 'SyntaxError', message: 'a text could not be read' })
    for (const { at } of said) expect(at).toMatch(/^at .*log\.test\.ts/)
  })

  it('C50 cuts long values, so that a prompt sent as a model name is not kept whole', async () => {
    const text = await written((log) => log.request({ ...line, model: `${'m'.repeat(200)}elephants` }))
    expect(text).not.toContain('elephants')
    expect(lines(text)[0]?.model).toHaveLength(128)
  })
})
