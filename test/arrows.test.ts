// Holds the import arrows of the design: a file imports only from a lower level, and rooms of one level do not know each other.
import { readdirSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const src = fileURLToPath(new URL('../src', import.meta.url))

/** The level of each room. Rooms that put things together stand above all. */
const levels: Readonly<Record<string, number>> = {
  dialects: 0,
  egress: 0,
  providers: 1,
  policies: 1,
  rollouts: 1,
  pricing: 1,
  config: 2,
  state: 3,
  store: 3,
  telemetry: 3,
  gateway: 4,
  http: 5,
}

/** Entry points may import anything; where the package lies, its version, how its threads start and folders are made are facts that anybody may know. */
const assemblers = new Set(['app.ts', 'main.ts', 'cli'])
const facts = new Set(['makeFolder.ts', 'packageFolder.ts', 'thread.ts', 'version.ts'])
/** The fake vendor knows wire formats and nothing of the gateway that it is to test. */
const simulator = 'simulator'
/** Pure rooms: no network, no processes, nothing that waits. Reading their own data files at start is all right for prices. */
const pure = new Set(['dialects', 'policies', 'rollouts', 'providers'])
const impure = /^node:(?:http|https|http2|net|tls|dns|fs|worker_threads|child_process|cluster|timers|dgram|process)\b/

/** What is wrong with one import, or undefined. Paths are relative to `src`, with forward slashes. */
function judge(from: string, to: string): string | undefined {
  const [room = '', folder = ''] = from.split('/')
  const [target = '', other = ''] = to.split('/')
  if (to.startsWith('..')) return `${from} reaches out of src: ${to}`
  if (facts.has(target) || assemblers.has(room)) return undefined
  if (facts.has(room)) return `${from} imports ${to}, which is no fact`
  if (target === room) {
    const aDialectOfAnother =
      room === 'dialects' && from.split('/').length > 2 && to.split('/').length > 2 && folder !== other
    return aDialectOfAnother ? `${from}: the dialect ${folder} imports the dialect ${other}` : undefined
  }
  if (room === simulator) return target === 'dialects' ? undefined : `${from}: the simulator imports ${target}`
  const level = levels[room]
  const below = levels[target]
  if (level === undefined) return `${from} is in a room without a level: ${room}`
  if (below === undefined) return `${from} (${room}) imports ${to}, which is no room of a lower level`
  return below < level ? undefined : `${from} (level ${level}) imports ${to} (level ${below})`
}

/** The imports of one source text, types and dynamic imports and worker files included. */
function importsOf(text: string): string[] {
  const listed = ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => fileName)
  const files = [...text.matchAll(/new URL\(\s*'(\.[^']+\.[tj]s)'\s*,\s*import\.meta\.url/g)].map((match) => match[1]!)
  const threads = [...text.matchAll(/startThread\('([^']+)'/g)].map((match) => join(src, `${match[1]}.ts`))
  return [...listed, ...files, ...threads]
}

interface Arrow {
  from: string
  /** Relative to `src`, or a package's name. */
  to: string
}

const files = readdirSync(src, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.[cm]?tsx?$/.test(entry.name))
  .map((entry) => join(entry.parentPath, entry.name))

const arrows: Arrow[] = files.flatMap((file) =>
  importsOf(readFileSync(file, 'utf8')).map((name) => ({
    from: relative(src, file),
    to: /^[./]/.test(name) ? relative(src, resolve(dirname(file), name)) : name,
  })),
)
const isPackage = ({ to }: Arrow): boolean => isBuiltin(to) || (!to.includes('.ts') && !to.endsWith('.json'))

describe('import arrows', () => {
  it('are told of in docs/architecture.md, level by level', () => {
    const page = readFileSync(join(src, '../docs/architecture.md'), 'utf8')
    for (const [room, level] of Object.entries(levels)) expect(page).toContain(`| ${level} | \`src/${room}\``)
  })

  it('were read from all of src', () => {
    expect(files.length).toBeGreaterThan(60)
    expect(arrows.length).toBeGreaterThan(files.length)
    expect(arrows).toContainEqual({ from: 'app.ts', to: 'gateway/handle.ts' })
    // A type-only import is an arrow like any other.
    expect(arrows).toContainEqual({ from: 'dialects/dialect.ts', to: 'dialects/splice.ts' })
    // So is a thread that is started.
    expect(arrows).toContainEqual({ from: 'store/keeper.ts', to: 'store/keeperWorker.ts' })
  })

  it('point to a lower level only', () => {
    const wrong = arrows.filter((arrow) => !isPackage(arrow)).map(({ from, to }) => judge(from, to))
    expect(wrong.filter(Boolean)).toEqual([])
  })

  it('leave the network and the disk out of the pure rooms', () => {
    const wrong = arrows.filter(({ from, to }) => pure.has(from.split('/')[0]!) && impure.test(to))
    expect(wrong).toEqual([])
  })

  it('bring no HTTP framework and no fetch onto the hot path', () => {
    const hot = arrows.filter(({ from }) => /^(?:gateway|dialects)\//.test(from) || from === 'http/dataPlane.ts')
    expect(
      hot.filter(({ to }) => /^(?:express|fastify|axios|got|node-fetch|openai|@anthropic|@google)/.test(to)),
    ).toEqual([])
    for (const file of files.filter((name) => /\/(?:gateway|http)\//.test(name))) {
      expect(readFileSync(file, 'utf8'), relative(src, file)).not.toMatch(/(?<![\w.])fetch\(/)
    }
  })

  it('would be caught when they point the wrong way', () => {
    expect(judge('dialects/sse.ts', 'gateway/call.ts')).toContain('level 0')
    expect(judge('gateway/call.ts', 'http/reply.ts')).toContain('level 4')
    expect(judge('telemetry/log.ts', 'store/open.ts')).toContain('level 3')
    expect(judge('providers/openai.ts', 'pricing/book.ts')).toContain('level 1')
    expect(judge('dialects/gemini/index.ts', 'dialects/openai-chat/usage.ts')).toContain('imports the dialect')
    expect(judge('simulator/server.ts', 'gateway/call.ts')).toContain('simulator')
    expect(judge('gateway/call.ts', 'simulator/server.ts')).toContain('no room')
    expect(judge('gateway/call.ts', 'app.ts')).toContain('no room')
    expect(judge('wherever/thing.ts', 'dialects/sse.ts')).toContain('without a level')
    expect(judge('http/reply.ts', '../test/support/gateway.ts')).toContain('out of src')
    expect(judge('http/reply.ts', 'dialects/errors.ts')).toBeUndefined()
    expect(judge('dialects/gemini/index.ts', 'dialects/sse.ts')).toBeUndefined()
    expect(judge('cli/serve.ts', 'app.ts')).toBeUndefined()
    expect(importsOf("import type { A } from './a.ts'\nconst b = await import('./b.ts')")).toEqual(['./a.ts', './b.ts'])
    expect(importsOf("new Worker(new URL('./w.ts', import.meta.url))")).toContain('./w.ts')
  })
})
