// The log: one JSON line a request, nothing lost at exit, and no secret and no prompt in it.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLog, type Facts, type RequestLine } from '../src/telemetry/log.ts'

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
    expect(lines(readFileSync(file, 'utf8')).map(({ id }) => id)).toEqual(
      Array.from({ length: 2000 }, (_, i) => `req_${i}`),
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
