// `turnout rollout replay`: recomputes a decision from the ledger's rows, beside a running gateway or without one.
import type { Command } from 'commander'
import type { RolloutEvent } from '../config/rolloutTypes.ts'
import { isRunning } from '../rollouts/machine.ts'
import { overBefore, type Replay, replay } from '../state/rollouts/replay.ts'
import { toggleName } from '../state/rollouts/toggle.ts'
import { printId } from '../store/ledgerId.ts'
import { openRollouts } from '../store/rollouts.ts'
import { addLedgerOptions, findLedger, type LedgerFlags, openCommandStore, prepareLedger } from './ledgerFile.ts'
import { print, toJsonLine } from './output.ts'

/** Exit code 1 when the rows lead to another decision than the one that was made. */
export function addReplayCommand(rollout: Command): void {
  addLedgerOptions(
    rollout
      .command('replay')
      .description('recompute the decision on the last attempt from the rows of the ledger')
      .argument('<name>', 'the rollout, or a route for what moves it'),
  )
    .option('--json', 'print one JSON object')
    .action(async (name: string, flags: LedgerFlags & { json?: boolean }) => {
      const { file } = findLedger(flags)
      await prepareLedger({ file })
      const store = openCommandStore({ file, readonly: true })
      try {
        const keeper = openRollouts(store)
        const all = keeper.list()
        const named = (wanted: string) => all.findLast(({ definition }) => definition.name === wanted)
        const runningOn = (route: string) => all.find((one) => one.definition.route === route && isRunning(one.state))
        // A route stands for what moves it, as everywhere.
        const stored = named(name) ?? runningOn(name) ?? named(toggleName(name))
        if (!stored) throw new Error(`There is no rollout '${name}' in this database.`)
        const { id, state } = stored
        const records = [...keeper.records(id, state.attempt, state.attemptAt)]
        const again = replay(stored, records)
        const events = keeper.events(id)
        const made = events.findLast(
          ({ verb, attempt, cause }) => verb === 'abort' && attempt === state.attempt && isOwn(cause),
        )
        const over = !made && again.found ? overBefore(events, state.attempt, again.found, records) : undefined
        const agrees = over !== undefined || sameDecision(made, again)
        if (!agrees) process.exitCode = 1
        if (flags.json)
          await print(toJsonLine({ ...again, decided: made?.reason ?? null, over: over?.revision ?? null, agrees }))
        else {
          const lines = [
            `${stored.definition.name}, attempt ${state.attempt}: ${again.rows} rows are evidence`,
            again.found
              ? `the rows find harm with ${printId(again.found.request)}: ${again.found.reason}`
              : 'the rows find no harm',
            made ? `the gateway aborted: ${made.reason}` : 'the gateway found none',
            ...(over ? [`it was over before: ${over.verb} by ${over.actor}, with requests under way`] : []),
            agrees ? 'both agree' : 'they do not agree',
          ]
          await print(`${lines.join('\n')}\n`)
        }
      } finally {
        store.close()
      }
    })
}

const isOwn = (cause: string): boolean => cause === 'guard' || cause === 'hard'

/** By the same guard, or both by the rule of hard faults; or neither has found harm. */
function sameDecision(made: RolloutEvent | undefined, { found }: Replay): boolean {
  if (!made || !found) return made === undefined && found === undefined
  return made.cause === found.cause && (found.guard === undefined || made.reason.startsWith(`${found.guard}:`))
}
