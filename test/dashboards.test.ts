// The dashboards as Grafana reads them: its JSON model, its units and variables, and the files that provision them.
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { made } from '../grafana/source/made.ts'

const root = new URL('../', import.meta.url)
const readYaml = (path: string) => parse(readFileSync(new URL(path, root), 'utf8'))

interface Board {
  uid: string
  title: string
  tags: string[]
  schemaVersion: number
  refresh: string
  time: { from: string; to: string }
  links: { type: string; tags: string[]; includeVars: boolean; keepTime: boolean }[]
  annotations: { list: (Sourced & { name: string; expr: string; iconColor: string; enable: boolean })[] }
  templating: { list: (Sourced & Variable)[] }
  panels: (Sourced & PanelJson)[]
}

interface Sourced {
  datasource?: { type: string; uid: string }
}

interface Variable {
  name: string
  type: string
  query: string | { query: string; refId: string; qryType: number }
  multi?: boolean
  includeAll?: boolean
  allValue?: string
}

interface PanelJson {
  id: number
  type: string
  title: string
  description?: string
  gridPos: { x: number; y: number; w: number; h: number }
  fieldConfig: {
    defaults: {
      unit: string
      min?: number
      max?: number
      thresholds: { mode: string; steps: { color: string; value: number | null }[] }
      mappings: { type: string; options: Record<string, { text: string; color: string; index: number }> }[]
    }
  }
  targets: (Sourced & {
    refId: string
    expr: string
    legendFormat: string
    instant: boolean
    range: boolean
    format?: string
  })[]
  transformations?: { id: string; options: object }[]
}

const boards = [...made()].filter(([path]) => path.endsWith('.json')).map(([, text]) => JSON.parse(text) as Board)
const panelsOf = ({ panels }: Board) => panels.filter(({ type }) => type !== 'row')
const all = boards.flatMap((board) =>
  panelsOf(board).map((panel) => ({ board, panel, name: `${board.title}, ${panel.title}` })),
)

/** Ids of units, out of Grafana's list (packages/grafana-data/src/valueFormats/categories.ts), that may stand here. */
const units = new Set(['none', 'short', 'percentunit', 's', 'bytes', 'reqps', 'currencyUSD', 'suffix:x'])

/** Names that Grafana's palette has (packages/grafana-data/src/themes/createVisualizationColors.ts). */
const colors = new Set(['green', 'yellow', 'orange', 'red', 'blue'])

/** What Grafana puts in by itself. */
const builtin = new Set(['__rate_interval', '__range'])

const variablesIn = (text: string): string[] =>
  [...text.matchAll(/\$(?:\{(\w+)\}|(\w+))/g)]
    .map(([, braced, bare]) => (braced ?? bare)!)
    .filter((name) => !/^\d/.test(name))

describe('each dashboard', () => {
  it.each(boards)('$title has the fields that Grafana wants', (board) => {
    expect(board.schemaVersion).toBe(41)
    expect(board.uid).toMatch(/^[\w-]{1,40}$/)
    expect(board.tags).toContain('turnout')
    expect(board.refresh).toMatch(/^\d+[smh]$/)
    expect(board.time).toEqual({ from: expect.stringMatching(/^now-/), to: 'now' })
    // Links lead to dashboards by tag, and take the variables along: others have to know them, or ignore them.
    for (const { type, tags } of board.links) {
      expect(type).toBe('dashboards')
      for (const tag of tags) expect(boards.every((other) => other.tags.includes(tag))).toBe(true)
    }
    const names = board.templating.list.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(names[0]).toBe('datasource')
  })

  it('no two have the same id or title', () => {
    expect(new Set(boards.map(({ uid }) => uid)).size).toBe(boards.length)
    expect(new Set(boards.map(({ title }) => title)).size).toBe(boards.length)
  })

  it.each(boards)('$title asks the chosen Prometheus, with variables that it has', (board) => {
    const known = new Set([...board.templating.list.map(({ name }) => name), ...builtin])
    const queries = [
      ...board.panels.flatMap((panel) => [panel, ...(panel.targets ?? [])]),
      ...board.annotations.list,
      ...board.templating.list.filter(({ type }) => type === 'query'),
    ].filter((one) => !('type' in one && one.type === 'row'))
    for (const { datasource } of queries) expect(datasource).toEqual({ type: 'prometheus', uid: '${' + 'datasource}' })
    const texts = [
      ...board.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
      ...board.annotations.list.map(({ expr }) => expr),
      ...board.templating.list.map(({ query }) => (typeof query === 'string' ? query : query.query)),
    ]
    for (const text of texts) for (const name of variablesIn(text)) expect([...known], text).toContain(name)
    // A variable that no query uses does nothing when it is chosen.
    const used = new Set(texts.flatMap(variablesIn))
    for (const { name, type } of board.templating.list)
      if (type === 'query') expect([...used], board.title).toContain(name)
    for (const { type, query, multi, includeAll, allValue } of board.templating.list) {
      if (type === 'datasource') expect(query).toBe('prometheus')
      else {
        expect(query).toMatchObject({
          qryType: 1,
          query: expect.stringMatching(/^label_values\(\w+(\{[^}]*\})?, \w+\)$/),
        })
        expect({ multi, includeAll, allValue }).toEqual({ multi: true, includeAll: true, allValue: '.*' })
      }
    }
    // Several values are joined to a regular expression.
    for (const text of texts)
      for (const [match] of text.matchAll(/\w+\s*(=~|=|!=|!~)\s*"\$\w+"/g)) expect(match, text).toContain('=~')
  })
})

describe('each panel', () => {
  it('is of a type that every Grafana has, with a unit, colors and thresholds that it knows', () => {
    for (const { panel, name } of all) {
      expect(['timeseries', 'stat', 'table', 'bargauge', 'state-timeline'], name).toContain(panel.type)
      const { unit, thresholds, mappings, min, max } = panel.fieldConfig.defaults
      expect([...units], name).toContain(unit)
      expect(thresholds.mode).toBe('absolute')
      const values = thresholds.steps.map(({ value }) => value)
      expect(values[0], name).toBeNull()
      const bounds = values.slice(1) as number[]
      expect(bounds.every(Number.isFinite), name).toBe(true)
      expect(bounds, name).toEqual([...new Set(bounds)].sort((a, b) => a - b))
      for (const { color } of thresholds.steps) expect([...colors], name).toContain(color)
      // A share of 1 is 100 %: thresholds above that are meant in percent.
      if (unit === 'percentunit') for (const bound of [...bounds, max ?? 1]) expect(bound, name).toBeLessThanOrEqual(1)
      if (min !== undefined && max !== undefined) expect(min, name).toBeLessThan(max)
      for (const { type, options } of mappings) {
        expect(type).toBe('value')
        for (const { text, color } of Object.values(options)) {
          expect(text).not.toBe('')
          expect([...colors], name).toContain(color)
        }
      }
    }
  })

  it('stands in the grid under a heading, without gaps that are wider than a panel', () => {
    for (const board of boards) {
      expect(board.panels[0]!.type).toBe('row')
      let end = 0
      for (const { type, gridPos, title } of board.panels) {
        const { x, y, w, h } = gridPos
        expect(x + w, title).toBeLessThanOrEqual(24)
        if (type === 'row') {
          expect({ x, w, h }).toEqual({ x: 0, w: 24, h: 1 })
          expect(y, `${board.title}, ${title}`).toBe(end)
        }
        end = Math.max(end, y + h)
      }
    }
  })

  it('names its queries, and asks for the moment alone where a number, a table or a bar is shown', () => {
    for (const { panel, name } of all) {
      const ids = panel.targets.map(({ refId }) => refId)
      expect(new Set(ids).size, name).toBe(ids.length)
      for (const { refId, legendFormat, instant, range, format } of panel.targets) {
        expect(refId).toMatch(/^[A-Z]$/)
        expect(legendFormat, name).not.toBe('')
        expect(instant, name).toBe(!range)
        expect(instant, name).toBe(['stat', 'table', 'bargauge'].includes(panel.type))
        expect(format, name).toBe(panel.type === 'table' ? 'table' : undefined)
      }
      // Several results of a table would be several tables, of which one is shown.
      if (panel.type === 'table') expect(ids, name).toHaveLength(1)
    }
  })

  it('has the unit that its metric is in', () => {
    for (const { panel, name } of all) {
      const { unit } = panel.fieldConfig.defaults
      for (const { expr } of panel.targets) expect(unitsOf(expr), `${name}: ${expr}`).toContain(unit)
    }
  })

  it('leads to pages that exist', () => {
    for (const { panel, name } of all)
      for (const [path] of (panel.description ?? '').matchAll(/docs\/[\w-]+\.md/g))
        expect(existsSync(new URL(path, root)), `${name}: ${path}`).toBe(true)
  })
})

describe('provisioning', () => {
  it('has the shape that Grafana reads', () => {
    const { apiVersion, providers, ...rest } = readYaml('grafana/provisioning/dashboards/turnout.yml')
    expect([apiVersion, Object.keys(rest)]).toEqual([1, []])
    for (const { name, type, options, ...more } of providers) {
      expect([typeof name, type]).toEqual(['string', 'file'])
      expect(Object.keys(options)).toEqual(['path'])
      const known = ['orgId', 'folder', 'folderUid', 'disableDeletion', 'updateIntervalSeconds', 'allowUiUpdates']
      for (const key of Object.keys(more)) expect(known).toContain(key)
    }
  })

  it('asks Prometheus as often as it scrapes, or rates would be empty or late', () => {
    const { apiVersion, datasources } = readYaml('grafana/provisioning/datasources/turnout.yml')
    const { global: settings } = readYaml('grafana/prometheus/prometheus.yml')
    expect(apiVersion).toBe(1)
    expect(datasources).toEqual([
      {
        name: 'Prometheus',
        uid: expect.stringMatching(/^[\w-]{1,40}$/),
        type: 'prometheus',
        access: 'proxy',
        url: 'http://prometheus:9090',
        isDefault: true,
        jsonData: { timeInterval: settings.scrape_interval },
      },
    ])
    expect(settings.evaluation_interval).toBe(settings.scrape_interval)
  })
})

/** The units that the values of a query may have, by the names of its metrics and by what is done with them. */
function unitsOf(expr: string): readonly string[] {
  const bare = expr.replace(/\{[^}]*\}/g, '').replace(/"[^"]*"/g, '""')
  if (/histogram_quantile\(/.test(bare)) return /_seconds_bucket/.test(bare) ? ['s'] : []
  if (/turnout:budget_burn/.test(bare)) return ['suffix:x']
  const names = [...bare.matchAll(/\b((?:turnout|process)_\w+)/g)].map(([, name]) => name!)
  const isRate = /\brate\(/.test(bare)
  // Money by time is by the hour, and of a call or a request it is in dollars.
  if (names[0]!.includes('_usd')) {
    if (isRate) return /\* 3600/.test(bare) ? ['currencyUSD'] : []
    return ['currencyUSD']
  }
  if (/ \/ /.test(bare)) return names[0]!.includes('tokens') && /attempts/.test(bare) ? ['short'] : ['percentunit']
  if (/_ratio$/.test(names[0]!) && !names[0]!.includes('guard_ratio')) return ['percentunit']
  if (isRate) return ['reqps', 'short']
  if (/time\(\)/.test(bare)) return ['s']
  if (/_bytes$/.test(names[0]!)) return ['bytes']
  if (/_seconds$/.test(names[0]!)) return ['s']
  return ['short', 'none']
}
