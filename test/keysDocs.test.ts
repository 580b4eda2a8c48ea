// docs/keys.md: every command in it does on the demo what the page shows, in its order; its tables name all fields, flags and reasons.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { run } from '../src/cli/run.ts'
import { createKey } from '../src/http/admin/keys.ts'
import { openApi } from '../src/http/admin/openapi.ts'
import { adminRoutes } from '../src/http/admin/table.ts'
import { startSimulator } from '../src/simulator/server.ts'
import { authFailures } from '../src/telemetry/metricTable.ts'
import { runStep, type Shell, stepsOf } from './support/shellPage.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const page = readFileSync(join(root, 'docs/keys.md'), 'utf8')
const cut = page.indexOf('## Tokens of end users')
const [before, after] = [page.slice(0, cut), page.slice(cut)]

/** A gateway as `turnout demo` runs it, and what its reader has typed so far. */
async function onDemo(
  config: string,
  env: Record<string, string>,
  work: (shell: Shell) => Promise<void>,
): Promise<void> {
  const simulator = await startSimulator()
  const folder = mkdtempSync(join(tmpdir(), 'turnout-docs-'))
  const running = await run({
    config: join(root, config),
    port: 0,
    dataDir: join(folder, 'data'),
    env: { SIMULATOR_URL: simulator.url, TURNOUT_MASTER_KEY: 'tk-demo', TURNOUT_LOG_LEVEL: 'silent', ...env },
  })
  try {
    await work({ cwd: folder, url: running.server.url, env: {} })
  } finally {
    await running.stop()
    await simulator.close()
    rmSync(folder, { recursive: true })
  }
}

it('every command on keys does what the page shows', { timeout: 300_000 }, async () => {
  const steps = stepsOf(before)
  expect(steps.length).toBeGreaterThan(20)
  await onDemo('examples/demo.yaml', {}, async (shell) => {
    for (const step of steps) await runStep(step, shell)
  })
})

it('every command with a token of an end user does what the page shows', { timeout: 300_000 }, async () => {
  const [start, sign] = [...after.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block!)
  const secret = /^export END_USER_SECRET=(\S+)$/m.exec(start!)![1]!
  const token = execFileSync('bash', ['-c', `${sign}\necho "$TOKEN"`], {
    cwd: root,
    env: { PATH: process.env.PATH },
    encoding: 'utf8',
  }).trim()
  const steps = stepsOf(after)
  expect(steps.length).toBe(4)
  await onDemo('examples/end-users.yaml', { END_USER_SECRET: secret }, async (shell) => {
    for (const step of stepsOf(before).slice(0, 2)) await runStep(step, shell)
    shell.env.TOKEN = token
    for (const step of steps) await runStep(step, shell)
  })
})

it('the configuration that the page shows is that of the example', () => {
  const [shown] = [...after.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block]) => parse(block!))
  const { keys, auth, limits } = parse(readFileSync(join(root, 'examples/end-users.yaml'), 'utf8'))
  expect(shown).toEqual({ keys, auth, limits })
})

it('its tables name every field, every flag and every reason', () => {
  const rows = page.split('\n').filter((line) => line.startsWith('|'))
  const { paths } = openApi([createKey])
  const operation = paths['/keys']!.post as {
    requestBody: { content: { 'application/json': { schema: { properties: object } } } }
  }
  for (const field of Object.keys(operation.requestBody.content['application/json'].schema.properties))
    expect(
      rows.some((row) => row.startsWith(`| \`${field}\` |`)),
      field,
    ).toBe(true)
  for (const reason of authFailures)
    expect(
      rows.some((row) => row.includes(`\`${reason}\``)),
      reason,
    ).toBe(true)
})

it('shows every route of keys at work, and docs/admin.md names it with its role', () => {
  const shown = stepsOf(page).map(({ command }) => command)
  const table = readFileSync(join(root, 'docs/admin.md'), 'utf8')
  const routes = adminRoutes.filter(({ path }) => path.startsWith('/keys'))
  expect(routes).toHaveLength(6)
  for (const { method, path, role } of routes) {
    const row = table.split('\n').find((line) => line.includes(`\`${method} ${path.replace(':id', '{id}')}\``))
    expect(row, `${method} ${path}`).toContain(`| \`${role}\` |`)
    // Methods of a curl: a body makes it a POST.
    const verb = method === 'GET' || path === '/keys' ? '' : `-X ${method} `
    const start = `curl -s ${verb}"$ADMIN${path}"`.replace(':id', '\0')
    const pattern = new RegExp(`^${start.replace(/[$"]/g, '\\$&').replace('\0', '[^/"]+')}`)
    const isPost = (command: string): boolean => command.includes(' -d ')
    const found = shown.filter(
      (command) => pattern.test(command) && (verb !== '' || isPost(command) === (method === 'POST')),
    )
    expect(found.length, `${method} ${path}`).toBeGreaterThan(0)
  }
})
