// The runbook at night: every alert has its section, with a first look, causes and a way out, and whatever it names is there.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { dashboards } from '../grafana/source/made.ts'
import { readAlerts } from '../grafana/source/ruleTests.ts'
import { adminRoutes } from '../src/http/admin/table.ts'
import { metricTable } from '../src/telemetry/metricTable.ts'
import { commandsIn, faultOf } from './support/commandLine.ts'

const root = new URL('../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')
const page = read('docs/runbook.md')
const sections = page
  .split(/^### /m)
  .slice(1)
  .map((text) => ({
    name: text.slice(0, text.indexOf('\n')),
    text: text.slice(text.indexOf('\n') + 1).split(/^## /m)[0]!,
  }))
const alerts = readAlerts()
const panels = dashboards.flatMap(({ sections: parts }) => parts.flatMap((part) => part.panels))

/** Places that name commands, by where they are. */
const texts: readonly [place: string, text: string][] = [
  ...['README.md', ...readdirSync(new URL('docs/', root)).map((name) => `docs/${name}`)].map(
    (path): [string, string] => [path, read(path)],
  ),
  ...panels.map(({ title, description }): [string, string] => [title, description]),
  ...alerts.map(({ alert, annotations }): [string, string] => [alert, Object.values(annotations).join('\n')]),
]

describe('the runbook', () => {
  it('has a section for each alert, and each alert leads to its own', () => {
    expect(sections.map(({ name }) => name).sort()).toEqual(alerts.map(({ alert }) => alert).sort())
    for (const { alert, annotations } of alerts) {
      const [path, anchor] = annotations.runbook_url!.split('#')
      expect(existsSync(new URL(path!, root)), alert).toBe(true)
      // GitHub's anchor of a heading of one word.
      expect(
        sections.some(({ name }) => name.toLowerCase() === anchor && name === alert),
        alert,
      ).toBe(true)
    }
  })

  it.each(sections)('$name: what it means, a first look, what is likely, what to do', ({ text }) => {
    const parts = text.split(/^\* \*\*(First look|Likely|What to do)\*\*: /m).map((part) => part.trim())
    expect(parts.filter((_, n) => n % 2 === 1)).toEqual(['First look', 'Likely', 'What to do'])
    for (const part of parts.filter((_, n) => n % 2 === 0)) {
      expect(part.length).toBeGreaterThan(10)
      expect(part).toMatch(/[.?]$/)
    }
  })

  it('names panels and dashboards that exist', () => {
    const titles = new Set([...panels, ...dashboards].map(({ title }) => title))
    const named = [...page.replaceAll('**', '').matchAll(/\*(\S[^*\n]*)\*/g)].map(([, name]) => name!)
    expect(named.length).toBeGreaterThan(50)
    for (const name of named) if (name !== 'italics') expect([...titles], name).toContain(name)
  })

  it('names alerts that exist', () => {
    for (const [name] of page.matchAll(/\bTurnout[A-Z]\w+/g)) expect(alerts.map(({ alert }) => alert)).toContain(name)
  })

  it('names keys of the configuration that exist', () => {
    const schema = read('config.schema.json')
    const named = [...page.matchAll(/`([a-z]\w+(?:\.[a-z]\w+)+)`/g)].map(([, key]) => key!)
    expect(named.length).toBeGreaterThan(10)
    for (const key of named) for (const part of key.split('.')) expect(schema.includes(`"${part}"`), key).toBe(true)
  })

  it('names HTTP routes that exist', () => {
    const known = adminRoutes.map(({ method, path }) => `${method} /admin${path.replace(/[:*]\w+/g, '{}')}`)
    const named = [...page.matchAll(/`(GET|POST|PUT|PATCH|DELETE) (\/admin\/[^`?]*)/g)]
    expect(named.length).toBeGreaterThan(2)
    for (const [, method, path] of named) expect(known).toContain(`${method} ${path!.replace(/\{\w+\}/g, '{}')}`)
  })
})

describe('commands', () => {
  it('of pages, panels and alerts are those of --help', () => {
    let seen = 0
    for (const [place, text] of texts) {
      if (place === 'docs/commands.md') continue // made of --help itself
      for (const line of commandsIn(text)) {
        seen++
        // Elsewhere a command may be spoken of by its name alone; at night it is typed as it stands.
        const isSpokenOf = place.endsWith('.md') && place !== 'docs/runbook.md' && /^turnout [a-z -]+$/.test(line)
        const fault = faultOf(line)
        if (!(isSpokenOf && /wants more|no command ''/.test(fault ?? '')))
          expect(fault, `${place}: ${line}`).toBeUndefined()
      }
    }
    expect(seen).toBeGreaterThan(150)
  })

  it.each([
    ['turnout nothing', "turnout has no command 'nothing'"],
    ['turnout ledger', "ledger has no command ''"],
    ['turnout swap ROUTE', 'swap wants more than 1 values'],
    ['turnout swap A B C', 'swap takes no 3 values'],
    ['turnout health --fast', 'health has no option --fast'],
    ['turnout ledger tail -n', '-n wants a value'],
    ['turnout ledger tail -n 5 --no-follow', undefined],
    ['turnout alerts', undefined],
  ])('%s: %s', (line, fault) => expect(faultOf(line)).toBe(fault))
})

it('metrics of pages exist', () => {
  const names = Object.values(metricTable).flatMap(({ name, kind }): string[] =>
    kind === 'histogram' ? [name, `${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  )
  /** A claim of tokens, and a function of ours. */
  const others = ['turnout_key', 'turnout_structured_answer']
  for (const [place, text] of texts)
    for (const [name] of text.matchAll(/\bturnout_[a-z_]+[a-z]\b(?!…|\*)/g))
      if (!others.includes(name)) expect(names, place).toContain(name)
})
