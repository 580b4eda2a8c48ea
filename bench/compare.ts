// Compares a run with the budget (one file), or two runs with each other (two files); exits 1 when something is out of bounds.
import { compare } from './report/comparison.ts'

const { text, code } = compare(process.argv.slice(2))
console.log(text)
process.exitCode = code
