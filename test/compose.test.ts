// The example with containers, without containers: every path, port, name and variable of it is that of the image, the rules and this repository.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join, posix, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { made } from '../grafana/source/made.ts'
import { readAlerts } from '../grafana/source/ruleTests.ts'
import { defaults } from '../src/config/defaults.ts'
import { parseConfig } from '../src/config/load.ts'
import { providerKinds } from '../src/providers/index.ts'
import { environmentOf, parseDockerfile, type Stage, valuesOf } from './support/dockerfile.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = join(root, 'examples/monitoring')
const readYaml = (path: string) => parse(readFileSync(path, 'utf8'))

interface Service {
  image?: string
  build?: string
  command?: string[]
  environment?: Record<string, string>
  volumes?: string[]
  ports?: string[]
  stop_grace_period?: string
}

const compose = readYaml(join(folder, 'compose.yaml')) as {
  services: Record<'turnout' | 'prometheus' | 'alertmanager' | 'grafana', Service>
  volumes: Record<string, unknown>
}
const services = Object.entries(compose.services)
const { turnout, prometheus, alertmanager, grafana } = compose.services
const image = parseDockerfile(readFileSync(join(root, 'Dockerfile'), 'utf8')).at(-1) as Stage
const environment = environmentOf(image)

interface Mount {
  source: string
  target: string
  isNamed: boolean
  isReadOnly: boolean
}

const mountsOf = ({ volumes = [] }: Service): Mount[] =>
  volumes.map((text) => {
    const [source = '', target = '', mode] = text.split(':')
    return { source, target, isNamed: !/^[./]/.test(source), isReadOnly: mode === 'ro' }
  })

/** The file of this repository that a container sees at a path. */
function hostPath(service: Service, path: string): string | undefined {
  const mount = mountsOf(service).find(
    ({ target, isNamed }) => !isNamed && (path === target || path.startsWith(`${target}/`)),
  )
  return mount && join(resolve(folder, mount.source), posix.relative(mount.target, path))
}

const flagOf = ({ command = [] }: Service, flag: string): string | undefined =>
  command.find((word) => word.startsWith(`--${flag}=`))?.slice(flag.length + 3)

/** What the containers listen on, by what their images are documented to. */
const listens: Record<string, string> = {
  prometheus: '9090',
  alertmanager: '9093',
  grafana: '3000',
  turnout: environment.PORT!,
}

describe('the example with containers', () => {
  it('names images with their versions, and builds ours from this repository', () => {
    expect(resolve(folder, turnout.build!)).toBe(resolve(root))
    expect(existsSync(join(resolve(folder, turnout.build!), 'Dockerfile'))).toBe(true)
    for (const [name, service] of services)
      if (name !== 'turnout') expect(service.image, name).toMatch(/^[\w./-]+:v?\d+\.\d+\.\d+$/)
    // The dashboards say from which Grafana on they are read.
    const board = JSON.parse([...made()].find(([path]) => path.endsWith('.json'))![1])
    expect(board.schemaVersion).toBe(41)
    expect(Number(/:(\d+)\./.exec(grafana.image!)![1])).toBeGreaterThanOrEqual(12)
  })

  it('mounts what is there, files onto files and folders onto folders, and keeps what is written', () => {
    const named: string[] = []
    for (const [name, service] of services)
      for (const { source, target, isNamed, isReadOnly } of mountsOf(service)) {
        expect(target, name).toMatch(/^\//)
        if (isNamed) {
          named.push(source)
          expect(isReadOnly).toBe(false)
        } else {
          const path = resolve(folder, source)
          expect(existsSync(path), source).toBe(true)
          expect(isReadOnly, source).toBe(true)
          expect(statSync(path).isFile(), source).toBe(/\.\w+$/.test(target))
        }
      }
    expect(named.sort()).toEqual(Object.keys(compose.volumes).sort())
  })

  it('publishes every port to this machine alone, and to the port that the container listens on', () => {
    for (const [name, { ports }] of services)
      expect(ports, name).toEqual([`127.0.0.1:${listens[name]}:${listens[name]}`])
    expect(valuesOf(image, 'EXPOSE')).toEqual([listens.turnout])
    // The comment at the top is what people read.
    const text = readFileSync(join(folder, 'compose.yaml'), 'utf8')
    for (const port of Object.values(listens))
      expect(text).toMatch(new RegExp(`^#.*http://127\\.0\\.0\\.1:${port}`, 'm'))
  })

  it('gives Turnout its volume, the variables that it reads, and the time to drain', () => {
    expect(mountsOf(turnout).map(({ target }) => target)).toEqual(valuesOf(image, 'VOLUME'))
    expect(valuesOf(image, 'VOLUME')).toEqual([environment.TURNOUT_DATA_DIR])
    // Whoever runs it must be told of what is missing.
    for (const [name, value] of Object.entries(turnout.environment!))
      expect(value).toMatch(new RegExp(`^\\$\\{${name}:\\?.+\\}$`))
    const known = [...providerKinds.values()].flatMap(({ keyEnv }) => keyEnv)
    for (const name of Object.keys(turnout.environment!))
      if (name !== 'TURNOUT_MASTER_KEY') expect(known).toContain(name)
    // With these alone it starts: there is a provider, and a key that opens the door.
    const env = {
      ...environment,
      TURNOUT_MASTER_KEY: 'tk-test-compose-0123456789',
      OPENAI_API_KEY: 'sk-test-compose-0123456789',
    }
    const { snapshot } = parseConfig('{}', { env, version: 1 })
    expect([...snapshot.providers.keys()]).toContain('openai')
    expect(snapshot.server.host).toBe('0.0.0.0')
    expect(String(snapshot.server.port)).toBe(listens.turnout)
    expect([...snapshot.keys].length).toBeGreaterThan(0)
    const patience = Number(/^(\d+)s$/.exec(turnout.stop_grace_period!)![1]) * 1000
    // What configuration.md says that a stop may take.
    expect(patience).toBeGreaterThanOrEqual(defaults.server.drainDelay + defaults.server.drainTimeout + 20_000)
  })

  it('leaves health to the image, which asks its own port', () => {
    for (const [name, service] of services) expect(Object.keys(service), name).not.toContain('healthcheck')
    expect(valuesOf(image, 'HEALTHCHECK').join()).toMatch(/process\.env\.PORT \+ '\/health\/live'/)
  })

  it('lets Prometheus read its configuration and rules, scrape Turnout, and tell the Alertmanager', () => {
    const path = hostPath(prometheus, flagOf(prometheus, 'config.file')!)!
    const config = readYaml(path)
    for (const file of config.rule_files) expect(existsSync(join(path, '..', file)), file).toBe(true)
    const [job] = config.scrape_configs
    expect(config.scrape_configs).toHaveLength(1)
    expect(job.job_name).toBe('turnout')
    expect(job.metrics_path).toBe('/metrics')
    expect(job.static_configs[0].targets).toEqual([`turnout:${listens.turnout}`])
    expect(config.alerting.alertmanagers[0].static_configs[0].targets).toEqual([`alertmanager:${listens.alertmanager}`])
    expect(mountsOf(prometheus).map(({ target }) => target)).toContain(flagOf(prometheus, 'storage.tsdb.path'))
  })

  it('lets the Alertmanager send to receivers that exist, by labels that alerts have', () => {
    const path = hostPath(alertmanager, flagOf(alertmanager, 'config.file')!)!
    const config = readYaml(path)
    expect(mountsOf(alertmanager).map(({ target }) => target)).toContain(flagOf(alertmanager, 'storage.path'))
    const receivers = config.receivers.map(({ name }: { name: string }) => name)
    const routes = [config.route, ...config.route.routes]
    for (const { receiver } of routes) expect(receivers).toContain(receiver)
    const alerts = readAlerts()
    const parseMatcher = (matcher: string): [label: string, value: string] => {
      const [, label = '', value = ''] = /^(\w+)="([^"]*)"$/.exec(matcher)!
      return [label, value]
    }
    const matchers: string[] = routes.flatMap(({ matchers = [] }) => matchers)
    expect(matchers.length).toBeGreaterThan(0)
    for (const matcher of matchers) {
      const [label, value] = parseMatcher(matcher)
      expect(label).toBe('severity')
      expect(alerts.map(({ labels }) => labels.severity)).toContain(value)
    }
    const rules = readFileSync(join(root, 'grafana/prometheus/turnout.rules.yml'), 'utf8')
    const labelsOf = (expr: string): string => {
      const recorded = [...expr.matchAll(/turnout:[\w:]+/g)].map(
        ([name]) => rules.split(`record: ${name}\n`)[1]!.split('- record:')[0],
      )
      return [expr, ...recorded].join('\n')
    }
    for (const label of config.route.group_by)
      if (label !== 'alertname')
        expect(
          alerts.some(({ expr }) => new RegExp(`\\b${label}\\b`).test(labelsOf(expr))),
          label,
        ).toBe(true)
    const weights = ['info', 'warning', 'critical']
    for (const { source_matchers: source, target_matchers: target, equal } of config.inhibit_rules) {
      const [worse, other] = [source, target].map(([matcher]: string[]) => {
        const [label, value] = parseMatcher(matcher!)
        expect(label).toBe('alertname')
        return alerts.find(({ alert }) => alert === value)!
      }) as [(typeof alerts)[number], (typeof alerts)[number]]
      expect(weights.indexOf(worse.labels.severity!)).toBeGreaterThan(weights.indexOf(other.labels.severity!))
      // Gauges that are not summed have the labels of their target.
      for (const label of equal)
        if (label !== 'job' && label !== 'instance')
          for (const { alert, expr } of [worse, other])
            expect(labelsOf(expr), alert).toMatch(new RegExp(`\\b${label}\\b`))
    }
    // Every critical alert that only has a worse number than a warning is in a pair.
    const paired = config.inhibit_rules.map(
      ({ source_matchers: [matcher] }: { source_matchers: string[] }) => parseMatcher(matcher!)[1],
    )
    for (const { alert } of alerts) if (/Critical$/.test(alert)) expect(paired).toContain(alert)
  })

  it('lets Grafana find its dashboards and its Prometheus', () => {
    const dashboards = readYaml(hostPath(grafana, '/etc/grafana/provisioning/dashboards/turnout.yml')!)
    const found = hostPath(grafana, dashboards.providers[0].options.path)!
    for (const [path] of made())
      if (path.endsWith('.json')) expect(existsSync(join(found, posix.basename(path))), path).toBe(true)
    const sources = readYaml(hostPath(grafana, '/etc/grafana/provisioning/datasources/turnout.yml')!)
    expect(sources.datasources[0].url).toBe(`http://prometheus:${listens.prometheus}`)
  })
})
