// `npm run test:soak`: a thousand swaps under load, then twenty minutes of faults and clients that leave. Ends with 1 where a promise broke.
//
// TURNOUT_SOAK_SWAPS (1000), TURNOUT_SOAK_MINUTES (20), TURNOUT_SOAK_CLIENTS (24), TURNOUT_SOAK_GROWTH_MB (24).
import { stormFaults } from './faultStorm.ts'
import { stormSwaps } from './swapStorm.ts'

const numberOf = (name: string, fallback: number): number => {
  const number = Number(process.env[name] ?? fallback)
  if (!Number.isFinite(number) || number < 0) throw new Error(`${name} is no number: ${process.env[name]}`)
  return number
}
const told = (line: string): void => console.log(`  ${line}`)
const broken: string[] = []
const promise = (kept: boolean, text: string): void => {
  console.log(`${kept ? 'kept  ' : 'BROKEN'}  ${text}`)
  if (!kept) broken.push(text)
}

const swaps = numberOf('TURNOUT_SOAK_SWAPS', 1000)
const minutes = numberOf('TURNOUT_SOAK_MINUTES', 20)
const clients = numberOf('TURNOUT_SOAK_CLIENTS', 24)
const allowed = numberOf('TURNOUT_SOAK_GROWTH_MB', 24)

if (swaps > 0) {
  console.log(`${swaps} swaps under load`)
  const report = await stormSwaps({ swaps, jsonClients: 4, streamClients: 6, told })
  const { requests, streams, streamsAcrossSwaps, seen, fallbacks, refused, seconds } = report
  told(
    `${seconds} s: ${requests} requests, ${fallbacks} with a second attempt, ${streams} streams, ${streamsAcrossSwaps} live through a swap`,
  )
  promise(
    report.swaps === swaps,
    `${report.swaps} of ${swaps} swaps took effect, ${seen} versions were seen, ${refused} files with mistakes refused`,
  )
  promise(report.failed.length === 0, `${report.failed.length} failed requests`)
  promise(report.mixed.length === 0, `${report.mixed.length} requests that saw two configurations`)
  for (const text of [...report.failed, ...report.mixed].slice(0, 20)) told(text)
}

if (minutes > 0) {
  console.log(`${minutes} minutes of faults and clients that leave`)
  const report = await stormFaults({ seconds: minutes * 60, clients, mix: 'mixed', told })
  const { growth, ledger, leftOver, requests, left, outcomes, wrong } = report
  told(`${report.seconds} s: ${requests} requests, ${left} clients left`)
  for (const [outcome, count] of Object.entries(outcomes).sort()) told(`${String(count).padStart(8)}  ${outcome}`)
  told(`memory, MB: ${report.rss.filter((_, at) => at % 5 === 4).join(' ')}`)
  promise(wrong.length === 0, `${wrong.length} replies that were neither whole nor said what was wrong`)
  for (const text of wrong.slice(0, 20)) told(text)
  promise(
    growth.late - growth.early < allowed,
    `memory ${growth.early.toFixed(1)} MB, and ${growth.requests} requests later ${growth.late.toFixed(1)} MB`,
  )
  promise(
    ledger.rows <= requests && ledger.rows >= requests - report.unheard && ledger.problems.length === 0,
    `${ledger.rows} rows for ${requests} requests, of which ${report.unheard} left unheard; ${ledger.problems.length} problems`,
  )
  promise(
    leftOver.gateway === 0 && leftOver.vendor === 0,
    `left over: ${leftOver.gateway} requests, ${leftOver.vendor} upstream calls`,
  )
}

console.log(broken.length === 0 ? 'All promises were kept.' : `${broken.length} promises were broken.`)
process.exitCode = broken.length === 0 ? 0 : 1
