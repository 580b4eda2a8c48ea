// docs/admin.md: every command in it answers on the demo what the page shows, in its order, and every route of operators has a curl.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { run } from '../src/cli/run.ts'
import { adminRoutes } from '../src/http/admin/table.ts'
import { startSimulator } from '../src/simulator/server.ts'
import { send } from './support/exchange.ts'
import { runStep, stepsOf } from './support/shellPage.ts'

const docs = readFileSync(new URL('../docs/admin.md', import.meta.url), 'utf8')
const root = fileURLToPath(new URL('..', import.meta.url))
const commandLine = docs.slice(docs.indexOf('## The command line'))

interface Curl {
  method: string
  path: string
  headers: Record<string, string>
  body: string | undefined
  /** What the page shows as the answer. */
  answer: string
}

const curls: Curl[] = [...docs.matchAll(/^\$ (curl .*)\n(.*)$/gm)].map(([, command, answer]) =>
  readCurl(command!, answer!),
)

/** The words of a line of shell, as far as the page uses it. */
function readCurl(command: string, answer: string): Curl {
  const words = [...command.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare!,
  )
  const curl: Curl = { method: 'GET', path: '', headers: {}, body: undefined, answer }
  for (let at = 1; at < words.length; at++) {
    const word = words[at]!
    if (word === '-X') curl.method = words[++at]!
    else if (word === '-d') {
      curl.body = words[++at]!
      if (curl.method === 'GET') curl.method = 'POST'
    } else if (word === '-H') {
      const [name, ...value] = words[++at]!.split(': ')
      curl.headers[name!.toLowerCase()] = value.join(': ').replace('$KEY', 'tk-demo')
    } else if (word.startsWith('$ADMIN')) curl.path = word.slice('$ADMIN'.length)
  }
  return curl
}

/** Without what differs from run to run and from installation to installation. */
const steady = (text: string): string =>
  text
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/"((?:mean|last|lasted)_ms|id)":\d[\d.]*/g, '"$1":0')
    .replace(/\b[0-9a-f]{12}\b/g, 'HASH')
    .trim()
const escapeRegExp = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

it('every command answers what the page shows, on the demo', { timeout: 300_000 }, async () => {
  expect(curls.length).toBeGreaterThan(18)
  const simulator = await startSimulator()
  const data = mkdtempSync(join(tmpdir(), 'turnout-docs-'))
  const running = await run({
    config: `${root}examples/demo.yaml`,
    port: 0,
    dataDir: data,
    env: { SIMULATOR_URL: simulator.url, TURNOUT_MASTER_KEY: 'tk-demo', TURNOUT_LOG_LEVEL: 'silent' },
  })
  try {
    const called = JSON.stringify({ model: 'chat-fallback', messages: [{ role: 'user', content: 'Hi' }] })
    await send('POST', `${running.server.url}/v1/chat/completions`, called, { authorization: 'Bearer tk-demo' }).done
    for (const { method, path, headers, body, answer } of curls) {
      const { text } = await send(method, `${running.server.url}/admin${path}`, body, headers).done
      if (answer.startsWith('event: ')) {
        expect(text.split('\n')[0]).toBe(answer)
        continue
      }
      // The demo has no traffic of its own.
      if (path.includes('/requests?')) continue
      const wanted = steady(answer).split('…').map(escapeRegExp).join('[^]*?')
      expect(steady(text).replace(root, ''), `${method} ${path}`).toMatch(new RegExp(`^${wanted}$`))
    }
    const steps = stepsOf(commandLine)
    expect(steps.length).toBeGreaterThan(10)
    const shell = { cwd: data, url: running.server.url, env: {} }
    for (const step of steps) await runStep(step, shell)
  } finally {
    await running.stop()
    await simulator.close()
    rmSync(data, { recursive: true })
  }
})

it('every route that operates traffic has a curl, and its role in the table', () => {
  const shown = curls.map(({ method, path }) => `${method} ${path.split('?')[0]}`)
  const operating = adminRoutes.filter(({ path }) =>
    /^\/(models|targets|routes|canary|rollouts|bypass|cache|config|alerts|audit|blocks|openapi)/.test(path),
  )
  expect(operating.length).toBeGreaterThan(15)
  for (const { method, path, role } of operating) {
    const pattern = new RegExp(
      `^${method} ${path.replace(/\*\w+/, '.+').replace(/:\w+/g, '[^/]+').replace('.json', '\\.json')}$`,
    )
    expect(
      shown.some((line) => pattern.test(line)),
      `${method} ${path}`,
    ).toBe(true)
    const row = docs
      .split('\n')
      .find((line) => line.startsWith('|') && line.includes(`\`${method} ${path.replace(/[:*](\w+)/g, '{$1}')}\``))
    expect(row, `${method} ${path}`).toContain(`| \`${role}\` |`)
  }
})
