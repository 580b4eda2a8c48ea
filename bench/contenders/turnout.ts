// Turnout as two contenders: with everything on that exists, and with everything off that can be.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { start } from '../child.ts'
import { rootFolder } from '../folders.ts'
import { dialectOf, lanes } from '../work.ts'
import { benchKey, type Contender, type Grounds } from './contender.ts'
import { extras, type Feature, features } from './features.ts'
import { findDetour } from './path.ts'

/** The entry of the built product, as it is shipped; and compiled alone, file by file as in `src`. */
export const entry = join(rootFolder, 'dist/bin/turnout.js')
export const unbundled = join(rootFolder, 'dist/cli/main.js')

/** The flags of node that it is shipped with: those of `npm start`, of the command and of the container. */
export const shippedFlags = JSON.parse(readFileSync(join(rootFolder, 'package.json'), 'utf8'))
  .scripts.start.split(' ')
  .filter((word: string) => word.startsWith('--'))

/**
 * Of the environment Turnout gets what any program needs, and none of its own variables: they fill what a file leaves open, with another ledger
 * (`TURNOUT_DB`) or another key than the one that is measured. The same goes for an `.env` where the bench is started, so it runs in its own folder.
 */
export const surroundings = (
  { folder }: Pick<Grounds, 'folder'>,
  env: NodeJS.ProcessEnv = process.env,
): { env: NodeJS.ProcessEnv; cwd: string } => {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'TZ', 'LD_LIBRARY_PATH'].filter((name) => env[name] !== undefined)
  return { env: { ...Object.fromEntries(kept.map((name) => [name, env[name]])), NODE_ENV: 'production' }, cwd: folder }
}

/** A document of turnout.yaml as plain data; JSON is YAML. */
export interface Config {
  server: Record<string, unknown>
  log: Record<string, unknown>
  dataDir: string
  providers: Record<string, Record<string, unknown>>
  routes: Record<string, unknown>
  [block: string]: unknown
}

/** All that a configuration takes of its grounds. */
type Place = Pick<Grounds, 'upstreams' | 'folder' | 'port'>

/** One provider per lane, because the upstream's behaviour is in the path; one route per lane, whose name must be spliced. */
const makeConfig = ({ upstreams, folder, port }: Place): Config => ({
  server: { host: '127.0.0.1', port, connectionsPerOrigin: 2048 },
  log: {},
  dataDir: join(folder, 'data'),
  providers: Object.fromEntries(
    lanes.map((lane) => [
      `up-${lane}`,
      { kind: dialectOf(lane), baseUrl: `${upstreams[lane]}/${lane}/v1`, apiKey: 'sk-test-upstream-0000000000' },
    ]),
  ),
  routes: Object.fromEntries(lanes.map((lane) => [`bench-${lane}`, `up-${lane}/bench-model-2025-08-07`])),
})

/** Writes the configuration with the given features on and all others off; returns the file. */
export const writeConfig = (grounds: Place, on: readonly Feature[]): string => {
  const config = makeConfig(grounds)
  for (const feature of [...features, ...extras]) {
    if (on.includes(feature)) feature.on(config)
    else feature.off?.(config)
  }
  const file = join(grounds.folder, 'turnout.yaml')
  writeFileSync(file, JSON.stringify(config, null, 2))
  return file
}

/** A contender that runs the product with these features on. `nodeArgs` go to node itself. */
export const makeTurnout = (
  name: string,
  title: string,
  on: readonly Feature[],
  nodeArgs: readonly string[] = [],
  program = entry,
): Contender => ({
  name,
  title,
  start: (grounds) =>
    start({
      name,
      command: process.execPath,
      args: [...nodeArgs, ...shippedFlags, program, 'serve', '--config', writeConfig(grounds, on)],
      core: grounds.machine.gatewayCore,
      machine: grounds.machine,
      outputFile: join(grounds.folder, 'stdout.txt'),
      ...surroundings(grounds),
    }),
  passes: 'identity',
  detour: (work, answers) => findDetour(on, work, answers),
  target: (lane) => ({
    path: '/v1/chat/completions',
    // But for its own work the cache shall not answer: what is measured elsewhere is a call.
    headers: { authorization: `Bearer ${benchKey}`, ...(lane === 'cached' ? {} : { 'cache-control': 'no-cache' }) },
  }),
})

export const turnout = makeTurnout('turnout', 'Turnout, everything on', features)
export const turnoutBare = makeTurnout('turnout-bare', 'Turnout, everything off that can be', [])
