// A real Prometheus of this machine, for tests: scrapes what it is told to, evaluates the shipped rules every second.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { get } from './exchange.ts'

export const rulesFolder = fileURLToPath(new URL('../../grafana/prometheus/', import.meta.url))

const starts = (command: string): boolean => spawnSync(command, ['--version']).status === 0

/** Whether Prometheus is installed. In CI it has to be: `.ci/run` installs it. */
export function hasPrometheus(): boolean {
  const has = starts('prometheus') && starts('promtool')
  if (!has && process.env.CI === 'true') throw new Error('Prometheus is not installed: apt-get install prometheus')
  return has
}

export const withoutPrometheus = 'Prometheus is not installed here: apt-get install prometheus'

export interface Series {
  readonly metric: Readonly<Record<string, string>>
  readonly values: readonly (readonly [number, string])[]
}

export interface Prometheus {
  readonly url: string
  /** All series of a query in the last two minutes, in steps of a second. Throws what Prometheus says of a bad one. */
  query(expr: string): Promise<Series[]>
  /** Resolves when the target was scraped without an error. */
  scraped(): Promise<void>
  close(): Promise<void>
}

/** @param target host and port of what it scrapes, as job `turnout` */
export async function startPrometheus(target: string): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-prometheus-'))
  const config = join(folder, 'prometheus.yml')
  const rules = ['turnout.rules.yml', 'turnout.alerts.yml'].map((file) => join(rulesFolder, file))
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: rules,
      scrape_configs: [{ job_name: 'turnout', static_configs: [{ targets: [target] }] }],
    }),
  )
  const child = spawn('prometheus', [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    '--web.listen-address=127.0.0.1:0',
    '--log.format=json',
  ])
  const url = `http://${await listening(child)}`
  const ask = async <Answer>(path: string): Promise<Answer> => {
    const { text } = await get(`${url}/api/v1/${path}`)
    const answer = JSON.parse(text) as { status: string; error?: string; data: Answer }
    if (answer.status !== 'success') throw new Error(answer.error)
    return answer.data
  }
  return {
    url,
    async query(expr) {
      const now = Date.now() / 1000
      const range = new URLSearchParams({ query: expr, start: String(now - 120), end: String(now), step: '1' })
      return (await ask<{ result: Series[] }>(`query_range?${range}`)).result
    },
    async scraped() {
      for (;;) {
        const { activeTargets } = await ask<{ activeTargets: { health: string; lastError: string }[] }>('targets')
        if (activeTargets.some(({ health }) => health === 'up')) return
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    },
    async close() {
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Resolves to the address once it accepts requests. */
function listening(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    let address: string | undefined
    child.stderr!.on('data', (chunk: Buffer) => {
      said += chunk
      address ??= /"address":"(127\.0\.0\.1:[1-9]\d*)"/.exec(said)?.[1]
      if (address && said.includes('ready to receive web requests')) resolve(address)
    })
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`Prometheus ended with ${code}: ${said}`)))
  })
}
