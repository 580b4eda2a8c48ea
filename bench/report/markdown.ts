// Writes the results file.
import type { Figures } from '../figures.ts'
import { goalSection } from './goals.ts'
import { makeSections, type Section } from './sections.ts'

const table = ({ title, header, rows, notes }: Section): string => {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  const rule = `|${header.map((_, column) => (column === 0 || header[column] === '' ? '---' : '--:')).join('|')}|`
  return [`### ${title}`, '', line(header), rule, ...rows.map(line), '', ...notes.flatMap((note) => [note, ''])].join(
    '\n',
  )
}

/** The text of `bench/RESULTS.md`. */
export const writeMarkdown = (figures: Figures): string => {
  const { machine } = figures
  const pinned =
    machine.gatewayCore === undefined
      ? 'Nothing was pinned (no `taskset`, or one core): read these figures as a rough guide only.'
      : `The contender ran on core ${machine.gatewayCore}, load and upstream on core ${machine.loadCore}${
          machine.staysAwake ? '; neither slept at paced streams and at fixed rates, which do not fill them' : ''
        }.`
  const goals = goalSection(figures)
  return `# Results

Written by \`${figures.command}\`; how it measures and how to read it is in [docs/bench.md](../docs/bench.md).

* ${machine.date} UTC, ${Math.round(figures.seconds)} s
* ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}
* commit ${machine.commit}
* load: ${machine.wrk ? 'wrk for peaks, own generator for pace and latency' : 'own generator'}; upstream: ${figures.upstreams}
* ${pinned}
${Object.entries(figures.absent)
  .map(([name, reason]) => `* absent: ${name} (${reason})\n`)
  .join('')}
Figures are the median of the quiet windows (in others the machine was slowed down: their requests took over 1.2 times the CPU), and half of the distance between their quartiles in percent (±); "x relay" is the ratio to the
relay in the same round: its middle (Hodges-Lehmann) with the 95 % interval (Wilcoxon). CPU is that of the whole process group, threads included; "CPU x relay" is the relay's
divided by the contender's, so that more is better. Figures in brackets or with a ~ are from void rounds and count for nothing.

${goals.rows.length > 0 ? `## Goals\n\n${table({ ...goals, title: 'Measured with everything on, unless said otherwise' })}\n` : ''}## Tables

${makeSections(figures).map(table).join('\n')}`
}
