// One gateway process with a simulated vendor and a folder of its own, for tests that make trouble for its ledger.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Agent } from 'undici'
import { type Simulator, startSimulator } from '../../../src/simulator/index.ts'
import { hashUser, loadSecret } from '../../../src/store/secret.ts'
import { get } from '../exchange.ts'
import { type Build, buildTurnout } from './build.ts'
import { compare, type Findings } from './compare.ts'
import { readRows } from './rows.ts'
import { runCli, type Server, startServer } from './server.ts'
import { askOne, configFor, openAgent, type Sighting, scripts } from './traffic.ts'

export interface Place {
  readonly folder: string
  readonly file: string
  readonly simulator: Simulator
  /** All that clients saw so far, in the order of their ends. */
  readonly sightings: Sighting[]
  readonly server: Server
  start(): Promise<Server>
  /** Begins a request. */
  ask(model: string, stream?: boolean, onPiece?: (sighting: Sighting) => void): Promise<Sighting>
  /** A number of the ledger's on `/metrics`; 0 where it is not there. */
  metric(name: string): Promise<number>
  /** What a balancer is told. */
  ready(): Promise<{ status: number; text: string }>
  /** All that was seen and delivered since the beginning, against the whole ledger. */
  compare(): Findings
  /** What `turnout ledger verify` prints, and its exit code. */
  verify(): Promise<{ code: number | null; out: string }>
  close(): Promise<void>
}

export interface PlaceOptions {
  /** The configuration's `ledger`. */
  ledger?: Record<string, unknown>
  /** An existing, empty folder; one of its own where it is absent. */
  folder?: string
  /** The program; the sources as they are where it is absent. */
  build?: Build
  /** See `ServerOptions`. */
  under?: () => readonly string[]
}

/** Configures a place; `start` starts the gateway. */
export async function openPlace({
  ledger = {},
  folder: given,
  build = buildTurnout(),
  under,
}: PlaceOptions = {}): Promise<Place> {
  const folder = given ?? mkdtempSync(join(tmpdir(), 'turnout-place-'))
  const file = join(folder, 'turnout.db')
  const config = join(folder, 'turnout.yaml')
  const simulator = await startSimulator({ scripts, keepBodies: true })
  writeFileSync(config, configFor(simulator.url, folder, ledger))
  const agent: Agent = openAgent(64)
  const sightings: Sighting[] = []
  let server: Server | undefined
  const running = (): Server => {
    if (!server) throw new Error('The gateway is not started.')
    return server
  }
  return {
    folder,
    file,
    simulator,
    sightings,
    get server() {
      return running()
    },
    async start() {
      server = await startServer({ build, config, folder, under: under?.() ?? [] })
      return server
    },
    async ask(model, stream = false, onPiece) {
      const sighting = await askOne(agent, model, stream, { url: running().url, onPiece })
      sightings.push(sighting)
      return sighting
    },
    ready: () => get(`${running().url}/health/ready`),
    async metric(name) {
      const { status, text } = await get(`${running().url}/metrics`)
      if (status !== 200) throw new Error(`/metrics answered ${status}`)
      return Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
          ?.split(' ')
          .at(-1) ?? 0,
      )
    },
    compare() {
      const secret = loadSecret(folder, {})
      const hash = (user: string): string => hashUser(secret, user)
      return compare({ sightings, calls: simulator.calls, rows: readRows(file, 0), hash })
    },
    async verify() {
      const { code, out, err } = await runCli(build, ['ledger', 'verify', '--config', config], folder)
      return { code, out: out + err }
    },
    async close() {
      await server?.kill()
      await agent.destroy()
      await simulator.close()
      if (given === undefined) rmSync(folder, { recursive: true, force: true })
    },
  }
}
