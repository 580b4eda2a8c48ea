// `npm run test:crash`: many rounds of kill -9, and a summary. Arguments: the number of rounds (300) and a seed.
import { describeReport, runRounds } from './rounds.ts'

const [rounds = '300', seed = String(Date.now() % 1_000_000)] = process.argv.slice(2)
const report = await runRounds({
  rounds: Number(rounds),
  seed: Number(seed),
  onRound(round, mode, { wrong, requests, whole, orphans }) {
    if (wrong.length > 0 || round % 25 === 0)
      console.log(
        `round ${round} (${mode}): ${requests} requests, ${whole} whole, ${orphans} orphans, ${wrong.length} faults`,
      )
    for (const text of wrong.slice(0, 5)) console.log(`  ${text}`)
  },
})
console.log(describeReport(report))
process.exitCode = report.wrong.length === 0 ? 0 : 1
