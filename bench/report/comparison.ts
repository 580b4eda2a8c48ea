// Compares a run of the bench with the budget, or two runs with each other.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Figures, flatten } from '../figures.ts'
import { benchFolder } from '../folders.ts'
import { showNumber } from './sections.ts'
import { showTable } from './terminal.ts'

interface Budget {
  /** By the name of a figure as `flatten` gives it: what it must not fall below or rise above. */
  readonly limits: Record<string, { min?: number; max?: number }>
}

/** What it says, and the exit code: 0 = within bounds, 1 = not, or nothing was compared, 2 = it was asked wrongly. */
interface Comparison {
  readonly text: string
  readonly code: 0 | 1 | 2
}

const usage = `npm --silent run bench -- --json run.json, then
  npx tsx bench/compare.ts run.json                 against bench/budget.json
  npx tsx bench/compare.ts one.json two.json [--within 15]   ratios of two runs, in percent`

const readRun = (file: string) => flatten(JSON.parse(readFileSync(file, 'utf8')) as Figures)

/** Rows out of budget; figures that a run did not measure are named, and do not count as broken. A run that measured none of them keeps to nothing. */
const compareBudget = (file: string): Comparison => {
  const { limits } = JSON.parse(readFileSync(join(benchFolder, 'budget.json'), 'utf8')) as Budget
  const run = readRun(file)
  let broken = 0
  let absent = 0
  const rows = Object.entries(limits).map(([name, { min, max }]) => {
    const limit = [...(min === undefined ? [] : [`≥ ${min}`]), ...(max === undefined ? [] : [`≤ ${max}`])].join(', ')
    const figure = run[name]
    if (figure === undefined) {
      absent++
      return [name, limit, '–', 'not measured']
    }
    const holds = figure >= (min ?? Number.NEGATIVE_INFINITY) && figure <= (max ?? Number.POSITIVE_INFINITY)
    if (!holds) broken++
    return [name, limit, showNumber(figure), holds ? 'holds' : 'BROKEN']
  })
  const text = showTable({ title: 'budget', header: ['figure', 'limit', 'measured', ''], rows, notes: [] })
  return { text, code: absent === rows.length || broken > 0 ? 1 : 0 }
}

/**
 * Ratios that differ by more than `within` percent. Only ratios count: absolute figures depend on the machine's mood. A ratio that one
 * run lacks, because its rounds were void or it was not asked for, is shown and is neither near nor apart; two runs without a single
 * ratio in common do not agree.
 */
const compareRuns = (first: string, second: string, within: number): Comparison => {
  const [one, two] = [readRun(first), readRun(second)]
  let apart = 0
  let absent = 0
  const names = [...new Set([...Object.keys(one), ...Object.keys(two)])]
  const rows = names
    .filter((name) => /ratio$/i.test(name) && !name.includes('.relay.'))
    .map((name) => {
      const [a, b] = [one[name], two[name]]
      if (a === undefined || b === undefined) {
        absent++
        return [name, showNumber(a), showNumber(b), '–', 'void or not measured']
      }
      const difference = (Math.abs(a - b) / Math.min(a, b)) * 100
      if (difference > within) apart++
      return [name, showNumber(a), showNumber(b), `${difference.toFixed(1)} %`, difference > within ? 'APART' : '']
    })
  const compared = rows.length - absent
  const text = showTable({
    title: `two runs, ratios within ${within} %`,
    header: ['figure', 'first', 'second', 'apart', ''],
    rows,
    notes: [`${compared - apart} of ${compared} agree; ${absent} could not be compared.`],
  })
  return { text, code: compared === 0 || apart > 0 ? 1 : 0 }
}

/** @param args of the command line: one file, or two, and perhaps how many percent they may be apart */
export const compare = (args: string[]): Comparison => {
  const { positionals, values } = parseArgs({
    args,
    allowPositionals: true,
    options: { within: { type: 'string', default: '15' } },
  })
  const [first, second] = positionals
  const within = Number(values.within)
  // Nothing is further apart than what is no number.
  if (first === undefined || !(within > 0)) return { text: usage, code: 2 }
  return second === undefined ? compareBudget(first) : compareRuns(first, second, within)
}
