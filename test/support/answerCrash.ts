// Puts numbered answers into a cache's file without an end, and says how many were written: for a test that kills it in the middle.
import { openAnswerFile } from '../../src/store/answerFile.ts'
import { numberedRow } from './answerRows.ts'

const [file, size] = process.argv.slice(2) as [string, string]
const answers = openAnswerFile({ file, size: Number(size), told: (text) => console.error(text) })
for (let n = 0; ; n++) {
  answers.put(numberedRow(n))
  if (n % 50 !== 0) continue
  await new Promise((resolve) => setImmediate(resolve))
  // Not faster than it can be written: what is skipped proves nothing.
  while (n - answers.counts.written > 500) await new Promise((resolve) => setTimeout(resolve, 1))
  process.stdout.write(`${answers.counts.written}\n`)
}
