// Prints what every panel would show after the scenarios: title, unit, legend and last value. For looking at dashboards without a Grafana.
import { dashboards } from '../../grafana/source/made.ts'
import { startPrometheus } from './prometheus.ts'
import { scenarios, startScene } from './scene.ts'

const scene = await startScene()
const prometheus = await startPrometheus(new URL(scene.url).host)
await prometheus.scraped()
for (let round = 0; round < 2; round++) for (const play of Object.values(scenarios)) await play(scene)
// Two evaluations of the rules.
await new Promise((resolve) => setTimeout(resolve, 3_000))
for (const { title, sections } of dashboards) {
  console.log(`\n# ${title}`)
  for (const section of sections) {
    console.log(`\n## ${section.title}`)
    for (const panel of section.panels) {
      console.log(`\n${panel.title} [${panel.type ?? 'timeseries'}, ${panel.unit}]`)
      for (const { expr, legend } of panel.queries) {
        const concrete = expr
          .replaceAll('$__rate_interval', '30s')
          .replaceAll('$__range', '10m')
          .replace(/"\$[a-z]+"/g, '".*"')
        for (const { metric, values } of (await prometheus.query(concrete)).slice(0, 6)) {
          const name = legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '')
          console.log(`  ${name.padEnd(60)} ${Number(values.at(-1)![1]).toPrecision(4)}`)
        }
      }
    }
  }
}
await prometheus.close()
await scene.close()
