// The examples for Kubernetes and systemd, without either: what they name is what the image, the program and its configuration have.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { parseConfig } from '../src/config/load.ts'
import type { Snapshot } from '../src/config/snapshot.ts'
import { environmentOf, parseDockerfile, type Stage, valuesOf } from './support/dockerfile.ts'
import { get } from './support/exchange.ts'
import { startGateway, upstreamAt } from './support/gateway.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const image = parseDockerfile(read('Dockerfile')).at(-1) as Stage

/** Seconds that whoever sends SIGTERM has to wait: docs/configuration.md, "How long a stop takes". */
const stopOf = ({ server }: Snapshot): number => (server.drainDelay + server.drainTimeout) / 1000 + 20

describe('examples/kubernetes', () => {
  const text = read('examples/kubernetes/turnout.yaml')
  // biome-ignore lint/suspicious/noExplicitAny: manifests are read freely
  const manifests = parseAllDocuments(text).map((document) => document.toJS() as any)
  // biome-ignore lint/suspicious/noExplicitAny: manifests are read freely
  const one = (kind: string): any => manifests.find((manifest) => manifest.kind === kind)
  const set = one('StatefulSet').spec
  const pod = set.template.spec
  const [container] = pod.containers
  const { data } = one('ConfigMap')
  const secrets = [...text.matchAll(/--from-literal=([A-Z_]+)/g)].map(([, name]) => name!)
  const env = Object.fromEntries(secrets.map((name) => [name, `sk-test-${name}-0123456789`]))
  const { snapshot, warnings } = parseConfig(data['turnout.yaml'], { file: 'turnout.yaml', env, version: 1 })

  it('says what each key of its secret is: kubectl takes none from the environment', () => {
    const literals = text.match(/--from-literal\S*/g)!
    for (const literal of literals) expect(literal).toMatch(/^--from-literal=[A-Z_]+="\$/)
  })

  it('has a configuration that works with the keys of its secret, and needs all of them', () => {
    expect(warnings).toEqual([])
    expect([...snapshot.routes.keys()]).toEqual(['chat-default'])
    for (const name of secrets.filter((name) => name !== 'TURNOUT_MASTER_KEY')) {
      const { [name]: _, ...rest } = env
      const missing = () => parseConfig(data['turnout.yaml'], { file: 'turnout.yaml', env: rest, version: 1 })
      expect(missing, name).toThrow()
    }
  })

  it('is found where it is mounted, and written where the volume is', () => {
    const mounts = new Map(
      container.volumeMounts.map(({ name, mountPath }: Record<string, string>) => [name, mountPath]),
    )
    const config = container.env.find(({ name }: { name: string }) => name === 'TURNOUT_CONFIG').value
    expect(config).toBe(`${mounts.get('config')}/${Object.keys(data)[0]}`)
    expect(container.volumeMounts.every((mount: object) => !('subPath' in mount))).toBe(true)
    expect(mounts.get('data')).toBe(environmentOf(image).TURNOUT_DATA_DIR)
    expect(set.volumeClaimTemplates[0].metadata.name).toBe('data')
    expect(pod.volumes).toMatchObject([{ name: 'config', configMap: { name: one('ConfigMap').metadata.name } }])
    const { runAsUser, runAsGroup, fsGroup } = pod.securityContext
    expect(`${runAsUser}:${runAsGroup} ${fsGroup}`).toBe(`${valuesOf(image, 'USER').at(-1)} 1000`)
  })

  it('is one process on its database, and has the time to drain', () => {
    expect(set.replicas).toBe(1)
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(stopOf(snapshot))
    const { periodSeconds, failureThreshold } = container.readinessProbe
    expect(snapshot.server.drainDelay / 1000).toBeGreaterThan(periodSeconds * failureThreshold)
  })

  it('asks for health at paths and a port that answer', async () => {
    const { name, containerPort } = container.ports[0]
    expect(String(containerPort)).toBe(environmentOf(image).PORT)
    expect(set.template.metadata.annotations['prometheus.io/port']).toBe(String(containerPort))
    expect(one('Service').spec.ports[0].targetPort).toBe(name)
    expect(one('Service').spec.selector).toEqual(set.template.metadata.labels)
    expect(set.selector.matchLabels).toEqual(set.template.metadata.labels)
    expect(set.serviceName).toBe(one('Service').metadata.name)
    const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe]
    const gateway = await startGateway({ providers: { far: upstreamAt('http://127.0.0.1:9') }, routes: { m: 'far/m' } })
    try {
      for (const { httpGet } of probes) {
        expect(httpGet.port).toBe(name)
        expect((await get(gateway.url + httpGet.path)).status, httpGet.path).toBe(200)
      }
      expect((await get(`${gateway.url}/metrics`)).status).toBe(200)
    } finally {
      await gateway.close()
    }
  })
})

describe('examples/systemd', () => {
  const unit = new Map(
    [...read('examples/systemd/turnout.service').matchAll(/^([A-Z]\w+)=(.*)$/gm)].map(([, key, value]) => [
      key,
      value!,
    ]),
  )

  const { snapshot } = parseConfig('{"providers": {"ollama": null}}', { env: {}, version: 1 })

  it('starts what `npm start` starts, with its data where systemd makes the folder', () => {
    const { start } = JSON.parse(read('package.json')).scripts as { start: string }
    expect(unit.get('ExecStart')).toBe(`/usr/bin/${start} --config /etc/turnout/turnout.yaml`)
    expect(unit.get('Environment')).toContain(`TURNOUT_DATA_DIR=/var/lib/${unit.get('StateDirectory')}`)
  })

  it('needs the socket that is there, on the port of Turnout', () => {
    expect(unit.get('Requires')).toBe('turnout.socket')
    expect(read('examples/systemd/turnout.socket')).toContain(`\nListenStream=127.0.0.1:${snapshot.server.port}\n`)
  })

  it('has the time to drain, and reloads by the signal that does', () => {
    expect(Number(unit.get('TimeoutStopSec'))).toBeGreaterThanOrEqual(stopOf(snapshot))
    expect(unit.get('ExecReload')).toBe('/bin/kill -HUP $MAINPID')
  })
})
