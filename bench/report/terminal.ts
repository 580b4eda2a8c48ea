// Prints tables on the terminal.
import type { Figures } from '../figures.ts'
import { goalSection } from './goals.ts'
import { makeSections, type Section } from './sections.ts'

/** One table with aligned columns: the first to the left, the others to the right, a last one without a name to the left. */
export const showTable = (section: Section): string => {
  const lines = [section.header, ...section.rows]
  const widths = section.header.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)))
  const show = (line: readonly string[]) =>
    line
      .map((cell, column) => {
        const left = column === 0 || section.header[column] === ''
        return left ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
      })
      .join('  ')
      .trimEnd()
  const rule = widths.map((width) => '─'.repeat(width)).join('──')
  return [section.title, rule, show(section.header), rule, ...section.rows.map(show), ...section.notes, ''].join('\n')
}

export const printTables = (figures: Figures): void => {
  const { machine } = figures
  console.log(
    `\n${machine.date}  ${machine.cpu}, ${machine.cores} cores  node ${machine.node}  commit ${machine.commit}  ${figures.command}  ${Math.round(figures.seconds)} s\n`,
  )
  for (const section of makeSections(figures)) console.log(showTable(section))
  const goals = goalSection(figures)
  if (goals.rows.length > 0) console.log(showTable(goals))
  for (const [name, reason] of Object.entries(figures.absent)) console.log(`${name}: absent (${reason})`)
}
