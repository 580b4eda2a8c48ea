// `turnout backup` and `turnout restore`: a copy of the database while it is in use, and the way back.
import type { Command } from 'commander'
import { journalFile } from '../store/journal.ts'
import { openReader } from '../store/reader.ts'
import { describeRestore, restoreFrom } from '../store/restore.ts'
import { addLedgerOptions, findLedger, type LedgerFlags, prepareLedger } from './ledgerFile.ts'
import { print, toJsonLine } from './output.ts'

type Flags = LedgerFlags & { json?: boolean }

/** Adds `backup FILE` and `restore FILE`. */
export function addBackupCommands(program: Command): void {
  addLedgerOptions(
    program
      .command('backup')
      .description('copy the database to a new file, checked, also while the gateway runs')
      .argument('<file>', 'the copy; must not exist'),
  )
    .option('--json', 'print one JSON object')
    .action(async (to: string, flags: Flags) => {
      const place = findLedger(flags)
      const isWhole = await prepareLedger(place)
      const reader = openReader(place.file)
      try {
        const { file, bytes, requests } = await reader.backup(to)
        if (!isWhole) {
          // Sound, but not what was asked for: a script must not go on with it.
          process.stderr.write(`${file} lacks the last rows: only ${journalFile(place.file)} has them.\n`)
          process.exitCode = 1
        }
        await print(
          flags.json
            ? toJsonLine({ file, bytes, requests })
            : `${file}: ${requests} requests, ${bytes} bytes, sound\n` +
                `Keep ${place.dataDir}/secret (or TURNOUT_SECRET) with it: without it no virtual key opens, and no user's rows can be found.\n`,
        )
      } finally {
        await reader.close()
      }
    })

  addLedgerOptions(
    program
      .command('restore')
      .description('put a backup in the place of the database; the gateway must not run')
      .argument('<file>', 'the backup'),
  )
    .option('--json', 'print one JSON object')
    .action(async (from: string, flags: Flags) => {
      const { file } = findLedger(flags)
      const { requests, kept, broken } = restoreFrom(from, file)
      if (broken) process.stderr.write(`${describeRestore(file, broken)}\n`)
      await print(
        flags.json
          ? toJsonLine({ file, requests, kept: kept ?? null })
          : `${file}: ${requests} requests\n${kept === undefined ? '' : `What was there before is now ${kept}\n`}`,
      )
    })
}
