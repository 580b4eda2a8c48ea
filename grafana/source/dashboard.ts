// What a dashboard is made of, in few words, and how Grafana wants it written.

/** Grafana 12.0. Newer ones migrate it when they load it; older ones than 10 do not know all panel types. */
export const schemaVersion = 41

export interface Query {
  readonly expr: string
  /** Grafana's legend: `{{label}}`. */
  readonly legend: string
}

export type Color = 'green' | 'yellow' | 'orange' | 'red' | 'blue'
/** From which value on which color; the first has no value. */
export type Thresholds = readonly [Color, ...(readonly [number, Color])[]]

export interface Panel {
  readonly title: string
  /** What it shows, and what to do when it is red. */
  readonly description: string
  readonly type?: 'timeseries' | 'stat' | 'table' | 'bargauge' | 'state-timeline'
  /** Grafana's id of the unit. */
  readonly unit: string
  readonly queries: readonly Query[]
  /** Of 24 columns. */
  readonly width?: number
  readonly height?: number
  readonly thresholds?: Thresholds
  readonly stack?: boolean
  readonly min?: number
  readonly max?: number
  readonly decimals?: number
  /** What numbers are called. */
  readonly names?: Readonly<Record<number, readonly [text: string, color: Color]>>
}

export interface Section {
  readonly title: string
  readonly panels: readonly Panel[]
}

export interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly description: string
  /** Beside datasource, job and instance. */
  readonly variables: readonly Variable[]
  readonly sections: readonly Section[]
}

export interface Variable {
  readonly name: string
  readonly label: string
  /** Where its values come from. */
  readonly query: string
}

export const routeVariable: Variable = {
  name: 'route',
  label: 'Route',
  query: 'label_values(turnout_route_targets{job=~"$job"}, route)',
}
export const targetVariable: Variable = {
  name: 'target',
  label: 'Target',
  query: 'label_values(turnout_target_consecutive_failures{job=~"$job"}, target)',
}

/** Labels of whatever a replica tells. */
export const where = 'job=~"$job", instance=~"$instance"'
/** The same, of one route. Requests that named no route are in all. */
export const whereRoute = `${where}, route=~"$route"`
export const whereTarget = `${where}, target=~"$target"`

const source = { type: 'prometheus', uid: '${' + 'datasource}' }

/** The JSON that Grafana provisions. */
export function renderDashboard({ uid, title, description, variables, sections }: Dashboard): string {
  const dashboard = {
    uid,
    title,
    description,
    tags: ['turnout'],
    schemaVersion,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    timezone: '',
    links: [
      {
        type: 'dashboards',
        title: 'Turnout',
        tags: ['turnout'],
        asDropdown: false,
        includeVars: true,
        keepTime: true,
        targetBlank: false,
      },
    ],
    annotations: { list: annotations.map(annotation) },
    templating: { list: variableList(variables) },
    panels: layOut(sections),
  }
  return `${JSON.stringify(dashboard, null, 2)}\n`
}

/** Lines across all panels: what was changed, and what changed by itself. */
export const annotations = [
  {
    name: 'Configuration swapped',
    color: 'blue',
    expr: `sum by (instance) (increase(turnout_config_swaps_total{${where}, result="swapped"}[1m])) > 0`,
    text: '{{instance}} took a new configuration',
  },
  {
    name: 'Breaker',
    color: 'orange',
    expr: `sum by (target, from, to) (increase(turnout_breaker_transitions_total{${where}}[1m])) > 0`,
    text: '{{target}}: {{from}} to {{to}}',
  },
  {
    name: 'Bypass',
    color: 'red',
    expr: `turnout_bypass{${where}} > 0`,
    text: '{{instance}}: the bypass is on',
  },
] as const

const annotation = ({ name, color, expr, text }: (typeof annotations)[number]) => ({
  name,
  datasource: source,
  enable: true,
  hide: false,
  iconColor: color,
  expr,
  step: '60s',
  titleFormat: name,
  textFormat: text,
})

function variableList(variables: readonly Variable[]): object[] {
  const all: readonly Variable[] = [
    { name: 'job', label: 'Installation', query: 'label_values(turnout_build_info, job)' },
    { name: 'instance', label: 'Replica', query: 'label_values(turnout_build_info{job=~"$job"}, instance)' },
    ...variables,
  ]
  return [
    { type: 'datasource', name: 'datasource', label: 'Prometheus', query: 'prometheus', refresh: 1, hide: 0 },
    ...all.map(({ name, label, query }) => ({
      type: 'query',
      name,
      label,
      datasource: source,
      query: { qryType: 1, query, refId: name },
      definition: query,
      refresh: 2,
      sort: 1,
      multi: true,
      includeAll: true,
      allValue: '.*',
      current: { text: ['All'], value: ['$__all'] },
    })),
  ]
}

function layOut(sections: readonly Section[]): object[] {
  const panels: object[] = []
  let y = 0
  let id = 1
  for (const section of sections) {
    panels.push({
      id: id++,
      type: 'row',
      title: section.title,
      collapsed: false,
      gridPos: { x: 0, y, w: 24, h: 1 },
      panels: [],
    })
    y++
    let x = 0
    let tallest = 0
    for (const panel of section.panels) {
      const w = panel.width ?? (panel.type === 'stat' ? 4 : 12)
      const h = panel.height ?? (panel.type === 'stat' ? 4 : 8)
      if (x + w > 24) {
        x = 0
        y += tallest
        tallest = 0
      }
      panels.push(panelOf(panel, id++, { x, y, w, h }))
      x += w
      tallest = Math.max(tallest, h)
    }
    y += tallest
  }
  return panels
}

function panelOf(panel: Panel, id: number, gridPos: object): object {
  const { type = 'timeseries', title, description, queries } = panel
  // A number is that of the moment: out of a time, Grafana shows the last one that there was, a share of errors from before the traffic
  // stopped, or the load of a gateway that is gone.
  const isInstant = type === 'table' || type === 'bargauge' || type === 'stat'
  return {
    id,
    type,
    title,
    description,
    datasource: source,
    gridPos,
    fieldConfig: { defaults: fieldOf(panel, type), overrides: [] },
    options: optionsOf(type),
    ...(type === 'table' ? { transformations: [{ id: 'organize', options: { excludeByName: hidden(panel) } }] } : {}),
    targets: queries.map(({ expr, legend }, index) => ({
      refId: String.fromCharCode(65 + index),
      datasource: source,
      editorMode: 'code',
      expr,
      legendFormat: legend,
      instant: isInstant,
      range: !isInstant,
      ...(type === 'table' ? { format: 'table' } : {}),
    })),
  }
}

/** Columns of a table that say nothing: the value of what is always 1. */
const hidden = ({ unit }: Panel): Record<string, true> => ({ Time: true, ...(unit === 'none' ? { Value: true } : {}) })

/** Prometheus extrapolates: an increase by 2 is 2.17. Whole numbers are what happened. */
const isCount = ({ unit, queries }: Panel): boolean =>
  unit === 'short' && queries.every(({ expr }) => /increase\(/.test(expr) && !/ \/ /.test(expr))

function fieldOf(panel: Panel, type: string): object {
  const { unit, thresholds = ['green'], min, max, stack = false, names } = panel
  const decimals = panel.decimals ?? (isCount(panel) ? 0 : undefined)
  const [base, ...steps] = thresholds
  return {
    unit,
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(decimals === undefined ? {} : { decimals }),
    color: { mode: steps.length > 0 && type !== 'timeseries' ? 'thresholds' : 'palette-classic' },
    thresholds: {
      mode: 'absolute',
      steps: [{ color: base, value: null }, ...steps.map(([value, color]) => ({ color, value }))],
    },
    mappings: names
      ? [
          {
            type: 'value',
            options: Object.fromEntries(
              Object.entries(names).map(([value, [text, color]], index) => [value, { text, color, index }]),
            ),
          },
        ]
      : [],
    ...(type === 'timeseries'
      ? {
          custom: {
            drawStyle: 'line',
            lineWidth: 1,
            fillOpacity: stack ? 30 : 5,
            showPoints: 'never',
            spanNulls: false,
            stacking: { mode: stack ? 'normal' : 'none', group: 'A' },
            thresholdsStyle: { mode: steps.length > 0 ? 'line' : 'off' },
          },
        }
      : type === 'state-timeline'
        ? { custom: { lineWidth: 0, fillOpacity: 80 } }
        : {}),
  }
}

function optionsOf(type: string): object {
  const reduceOptions = { calcs: ['lastNotNull'], fields: '', values: false }
  switch (type) {
    case 'stat':
      return {
        reduceOptions,
        colorMode: 'value',
        graphMode: 'none',
        textMode: 'auto',
        justifyMode: 'auto',
        orientation: 'auto',
      }
    case 'bargauge':
      return { reduceOptions, displayMode: 'basic', orientation: 'horizontal', showUnfilled: true }
    case 'table':
      return { showHeader: true, cellHeight: 'sm' }
    case 'state-timeline':
      return {
        showValue: 'never',
        rowHeight: 0.9,
        mergeValues: true,
        legend: { displayMode: 'list', placement: 'bottom' },
      }
    default:
      return {
        legend: {
          displayMode: 'table',
          placement: 'bottom',
          calcs: ['lastNotNull', 'max'],
          sortBy: 'Last *',
          sortDesc: true,
        },
        tooltip: { mode: 'multi', sort: 'desc' },
      }
  }
}

/** `quantile` of a histogram, summed over what is not in `by`. */
export const quantile = (of: number, histogram: string, selector: string, by: readonly string[]): string =>
  `histogram_quantile(${of}, sum by (${[...by, 'le'].join(', ')}) (rate(${histogram}_bucket{${selector}}[$__rate_interval])))`

export const rate = (counter: string, selector: string, by: readonly string[]): string =>
  `sum by (${by.join(', ')}) (rate(${counter}{${selector}}[$__rate_interval]))`

/** A name for the series without one: Grafana would show its whole query in the legend. */
export const named = (label: string, query: string): string =>
  `label_replace(${query}, "${label}", "(none)", "${label}", "")`
