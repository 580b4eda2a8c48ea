// docs/admin.md: every curl in it works on the demo, in its order, and every route of operators has one.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { run } from '../src/cli/run.ts'
import { adminRoutes } from '../src/http/admin/table.ts'
import { startSimulator } from '../src/simulator/server.ts'
import { send } from './support/exchange.ts'

const docs = readFileSync(new URL('../docs/admin.md', import.meta.url), 'utf8')
const demo = fileURLToPath(new URL('../examples/demo.yaml', import.meta.url))

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

it('every curl answers what the page shows, on the demo', async () => {
  expect(curls.length).toBeGreaterThan(18)
  const simulator = await startSimulator()
  const data = mkdtempSync(join(tmpdir(), 'turnout-docs-'))
  const running = await run({
    config: demo,
    port: 0,
    dataDir: data,
    env: { SIMULATOR_URL: simulator.url, TURNOUT_MASTER_KEY: 'tk-demo', TURNOUT_LOG_LEVEL: 'silent' },
  })
  try {
    for (const { method, path, headers, body, answer } of curls) {
      const { text } = await send(method, `${running.server.url}/admin${path}`, body, headers).done
      if (answer.startsWith('event: ')) {
        expect(text.split('\n')[0]).toBe(answer)
        continue
      }
      const got = JSON.parse(text)
      const shown = `${method} ${path}: ${text.slice(0, 300)}`
      // The page cuts long answers: what it shows of the kind, the outcome and the versions has to be so.
      for (const field of [
        'object',
        'code',
        'primary_model',
        'previous_primary_model',
        'swapped',
        'version',
        'message',
        'openapi',
        'verb',
        'on',
      ]) {
        const told = new RegExp(`"${field}":("(?:[^"\\\\]|\\\\.)*"|[^,}\\]]+)`).exec(answer)?.[1]
        const is = new RegExp(`"${field}":("(?:[^"\\\\]|\\\\.)*"|[^,}\\]]+)`).exec(text)?.[1]
        if (told !== undefined) expect(is, `${field} of ${shown}`).toBe(told)
      }
      // Fields in the order of the page, none missing.
      if (!answer.includes('…')) expect(Object.keys(got), shown).toEqual(Object.keys(JSON.parse(answer)))
    }
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
