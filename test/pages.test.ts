// What README.md and the pages of docs/ say of one another, of files and of settings is so: each link leads somewhere, each YAML is taken.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { usage } from '../bench/arguments.ts'
import { works } from '../bench/work.ts'
import { parseConfig } from '../src/config/load.ts'
import { faultRules, refusalRules } from '../src/dialects/errors.ts'
import { exposedHeaders } from '../src/http/cors.ts'
import { type DataPlane, dataRoutes } from '../src/http/dataPlane.ts'
import { builtins } from '../src/simulator/index.ts'
import { faultKinds, parseScript, scriptSchema } from '../src/simulator/script.ts'
import { withCommands } from './support/commandsDoc.ts'

const root = new URL('../', import.meta.url)
const read = (url: URL): string => readFileSync(url, 'utf8')
const names = readdirSync(new URL('docs/', root)).filter((name) => name.endsWith('.md'))
const pages = ['README.md', ...names.map((name) => `docs/${name}`)].map((path) => {
  const url = new URL(path, root)
  return { path, url, text: read(url) }
})

/** Anchors as GitHub makes them: the same heading again gets a number. */
function anchorsOf(text: string): string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, '')
  const plain = [...prose.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-'),
  )
  return plain.map((anchor, at) => {
    const before = plain.slice(0, at).filter((other) => other === anchor).length
    return before === 0 ? anchor : `${anchor}-${before}`
  })
}

describe.each(pages)('$path', ({ url, text }) => {
  it('leads to files and headings that exist', () => {
    for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link!)) continue
      const [path, anchor] = link!.split('#')
      const file = path === '' ? url : new URL(path!, url)
      expect(existsSync(file), link).toBe(true)
      if (anchor !== undefined) expect(anchorsOf(read(file)), link).toContain(anchor)
    }
  })

  it('has one place for each anchor and, where it is long, a link to each of its sections', () => {
    const anchors = anchorsOf(text)
    expect(anchors.filter((anchor) => /-\d+$/.test(anchor) && anchors.includes(anchor.replace(/-\d+$/, '')))).toEqual(
      [],
    )
    const sections = anchorsOf([...text.matchAll(/^```[\s\S]*?^```|^## .+$/gm)].map(([part]) => part).join('\n'))
    if (text.split('\n').length > 250) expect(sections.filter((anchor) => !text.includes(`](#${anchor})`))).toEqual([])
  })

  it('names files and scripts of this repository that exist', () => {
    const paths = [...text.matchAll(/`(?:npx tsx )?((?:test|src|bench|examples|grafana)\/[\w./-]+)/g)]
    // What is installed, or made by the program, is in no clean checkout.
    const kept = paths.filter(([, path]) => !/^bench\/(?:node_modules|out)\b/.test(path!))
    for (const [, path] of kept) expect(existsSync(new URL(path!, root)), path).toBe(true)
    const { scripts } = JSON.parse(read(new URL('package.json', root)))
    for (const [, script] of text.matchAll(/npm run ([\w:]+)/g)) expect(Object.keys(scripts)).toContain(script)
  })
})

it('docs/commands.md is what --help says (npx tsx test/support/writeCommandsDoc.ts)', () => {
  const { text } = pages.find(({ path }) => path === 'docs/commands.md')!
  expect(text).toBe(withCommands(text))
})

describe('YAML of a page', () => {
  const blocks = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(({ 1: yaml, index }) => ({
      place: `${path}:${text.slice(0, index).split('\n').length}`,
      yaml: yaml!,
    })),
  )
  const key = 'sk-test-0123456789-0123456789-0123456789'
  const env = Object.fromEntries(
    blocks.flatMap(({ yaml }) => [...yaml.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => [name, key])),
  )
  /** What a piece of a file leaves to the rest of it. */
  const rest: Record<string, Record<string, unknown>> = {
    providers: { openai: { apiKey: key }, anthropic: { apiKey: key }, groq: { apiKey: key } },
    targets: { main: { provider: 'openai', model: 'gpt-5' } },
    routes: { small: 'openai/gpt-5-nano', chat: 'openai/gpt-5', 'chat-default': 'openai/gpt-5-mini' },
  }

  it('is looked at on more than a few pages', () => expect(blocks.length).toBeGreaterThan(25))

  it.each(blocks)('$place is taken', ({ place, yaml }) => {
    const piece: Record<string, Record<string, unknown>> = parse(yaml) ?? {}
    if (place.startsWith('docs/simulator.md') && !('providers' in piece)) {
      for (const script of Object.values(piece)) expect(() => parseScript(script)).not.toThrow()
      return
    }
    const whole = { ...piece }
    for (const [section, more] of Object.entries(rest)) {
      whole[section] = { ...more, ...piece[section] }
      if (section === 'providers')
        for (const [name, settings] of Object.entries(more))
          whole.providers![name] = { ...(settings as object), ...(piece.providers?.[name] as object) }
    }
    expect(() => parseConfig(JSON.stringify(whole), { env, version: 1 })).not.toThrow()
  })
})

it('the README leads to every page', () => {
  const [readme] = pages
  expect(names.filter((name) => !readme!.text.includes(`](docs/${name})`))).toEqual([])
})

const all = pages.map(({ text }) => text).join('\n')

it('every header of ours that a reply may carry is told of', () => {
  // The ones of rate limits stand as `x-ratelimit-…-requests`, "and the same with -tokens".
  const told = (name: string): boolean => all.includes(name) || all.includes(name.replace(/(ratelimit-).*/, '$1'))
  expect(exposedHeaders.filter((name) => !told(name))).toEqual([])
  const [readme] = pages
  const named = (name: string): boolean => readme!.text.includes(`\`${name.replace(/(ratelimit-).*/, '$1…')}`)
  expect(exposedHeaders.filter((name) => !named(name))).toEqual([])
})

it('every error that a client may get stands in docs/errors.md, with its status and type', () => {
  const page = pages.find(({ path }) => path === 'docs/errors.md')!.text
  const rows = page.matchAll(/^\| (\d{3}) \| `(\w+)` \| `(\w+)` \|/gm)
  const told = Object.fromEntries([...rows].map(([, status, code, type]) => [code, { status: Number(status), type }]))
  expect(told).toEqual(refusalRules)
  const types = page.matchAll(/^\| `(\w+)` \| (.*`.*) \|$/gm)
  const typeOf = [...types].flatMap(([, type, faults]) =>
    [...faults!.matchAll(/`(\w+)`/g)].map(([, fault]) => `${fault} ${type}`),
  )
  for (const [fault, { type }] of Object.entries(faultRules)) expect(typeOf).toContain(`${fault} ${type}`)
})

it('every work and option of the bench stands in docs/bench.md', () => {
  const page = pages.find(({ path }) => path === 'docs/bench.md')!.text
  const optionsIn = (text: string): string[] => [...text.matchAll(/--[a-z-]+/g)].map(([option]) => option)
  const [line, ...rows] = usage.split('\n')
  const options = rows.flatMap((row) => optionsIn(row).slice(0, 1))
  expect(optionsIn(line!)).toEqual(expect.arrayContaining(options))
  const named = [...works.map(({ name }) => name), ...options]
  expect(
    named.filter((name) => !page.includes(`\`${name}\``) && !page.includes(`\`${name} `) && !page.includes(` ${name}`)),
  ).toEqual([])
})

it('every path of the data plane stands in docs/clients.md', () => {
  const page = pages.find(({ path }) => path === 'docs/clients.md')!.text
  const sameUnder = /^\/openai(?:\/v1)?(?=\/models)/
  const paths = [...dataRoutes({} as DataPlane).keys()].map((path) => path.replace(sameUnder, '/v1'))
  expect(paths.length).toBeGreaterThan(15)
  expect(paths.filter((path) => !new RegExp(`\`(?:[A-Z]+ )?${path.replaceAll('*', '\\*')}\``).test(page))).toEqual([])
})

it('every model of the simulator that does something of its own is told of, and every field of a script', () => {
  const page = pages.find(({ path }) => path === 'docs/simulator.md')!.text
  const numbered = (name: string): string => name.replace(/\d+$/, (digits) => 'N'.repeat(digits.length === 3 ? 3 : 1))
  expect(Object.keys(builtins).filter((name) => !page.includes(`\`${numbered(name)}\``))).toEqual([])
  const { usage, fault } = scriptSchema.shape
  const fields = [scriptSchema, usage.unwrap(), fault.unwrap().unwrap()].flatMap(({ shape }) => Object.keys(shape))
  expect([...fields, ...faultKinds].filter((name) => !page.includes(`\`${name}\``))).toEqual([])
})

it('every field and event of the log stands in docs/traces.md', () => {
  const page = pages.find(({ path }) => path === 'docs/traces.md')!.text
  const folder = new URL('src/', root)
  const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/^(?:dialects|simulator)\b/.test(name))
    .map((name) => read(new URL(name, folder)))
  const fields = [...read(new URL('telemetry/requestLine.ts', folder)).matchAll(/',"(\w+)":'/g)]
  const events = sources.flatMap((source) => [...source.matchAll(/\bevent: '(\w+)'/g)])
  expect(fields.length).toBeGreaterThan(20)
  expect(events.length).toBeGreaterThan(30)
  expect([...fields, ...events].filter(([, name]) => !page.includes(`\`${name}\``)).map(([, name]) => name)).toEqual([])
})

it('every variable of ours that the program reads stands in the table of the environment', () => {
  const folder = new URL('src/', root)
  const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  const named = sources.flatMap((name) =>
    [...read(new URL(name, folder)).matchAll(/\bTURNOUT_[A-Z_]+\b/g)].map(([name]) => name),
  )
  expect(new Set(named).size).toBeGreaterThan(10)
  const table = pages.find(({ path }) => path === 'docs/configuration.md')!.text
  const rows = table
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .join('\n')
  expect([...new Set(named)].filter((name) => !rows.includes(`\`${name}`))).toEqual([])
})
