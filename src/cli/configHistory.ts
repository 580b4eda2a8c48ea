// `turnout config history`, `diff`, `rollback`: earlier versions of the configuration, in the database or of a running gateway.
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { checkBinding } from '../config/binding.ts'
import { firstSet } from '../config/env.ts'
import { startLive } from '../config/live.ts'
import { createRedactor } from '../config/redaction.ts'
import { type Change, changesBetween } from '../config/writtenDocument.ts'
import { openAudit } from '../store/audit.ts'
import { openConfigVersions } from '../store/configVersions.ts'
import { StoreError } from '../store/driver.ts'
import { isOfOlderProgram } from '../store/leftovers.ts'
import { loadSecret } from '../store/secret.ts'
import { askServer, findServer, type Server, type ServerFlags } from './adminClient.ts'
import { addLedgerOptions, findLedger, type LedgerFlags, type LedgerPlace, openCommandStore } from './ledgerFile.ts'
import { readBase } from './liveConfig.ts'
import { print, renderTable, toJsonLine } from './output.ts'

type Flags = ServerFlags & LedgerFlags

interface Line {
  version: number
  created_at: string
  hash: string
  source: string
  actor: string
  note: string
}

/** Adds the three to `config`. With --url or TURNOUT_URL they ask the gateway there, else, and with --db, they look into the database. */
export function addHistoryCommands(config: Command): void {
  withOptions(config.command('history').description('list versions of the configuration, newest first'))
    .option('-n, --lines <number>', 'most versions', linesOf, 20)
    .action(async (flags: Flags & { lines: number }) => {
      const server = serverOf(flags)
      const lines: Line[] = server
        ? (await askServer<{ data: Line[] }>(server, 'GET', `/config/versions?limit=${flags.lines}`)).data
        : fromDatabase(flags, ({ versions }) => versions.versions(flags.lines).map(lineOf))
      const rows = lines.map((line) => [line.version, line.created_at, line.hash, line.source, line.actor, line.note])
      const table = renderTable(['version', 'since', 'hash', 'source', 'actor', 'what'], rows)
      await print(flags.json ? toJsonLine(lines) : table)
    })

  withOptions(config.command('diff').description('show in what two versions differ, without their secrets'))
    .argument('[from]', 'the earlier version (default: the one before the newest)', numberOf)
    .argument('[to]', 'the later version (default: the newest)', numberOf)
    .action(async (from: number | undefined, to: number | undefined, flags: Flags) => {
      const changes = await differences(from, to, flags)
      await print(flags.json ? toJsonLine(changes) : renderChanges(changes))
    })

  withOptions(config.command('rollback').description('serve an earlier version again, as a new version'))
    .argument('<version>', 'its number', numberOf)
    .action(async (version: number, flags: Flags) => {
      const server = serverOf(flags)
      const result = server
        ? await askServer<{ swapped: boolean; version: number }>(server, 'POST', '/config/rollback', { version })
        : await rollBack(version, flags)
      const text = result.swapped
        ? `version ${result.version} is version ${version} again`
        : `nothing changed: version ${result.version} says the same as version ${version}`
      await print(flags.json ? toJsonLine(result) : `${text}\n`)
    })
}

const withOptions = (command: Command): Command => {
  addLedgerOptions(command)
  return command
    .option(
      '--url <url>',
      'ask the gateway at this address (default: $TURNOUT_URL; without either, or with --db, look into the database)',
    )
    .option('--key <key>', 'key with a role, or a signed token (default: $TURNOUT_MASTER_KEY)')
    .option('--json', 'print JSON')
}

/** The gateway to ask; undefined where it is the database: who names one on the command line does not mean $TURNOUT_URL. */
function serverOf(flags: Flags): Server | undefined {
  const server = findServer(flags)
  if (flags.db === undefined) return server.named ? server : undefined
  if (flags.url !== undefined) throw new Error('--url asks a gateway, --db looks into a database: give one of them.')
  return undefined
}

async function differences(from: number | undefined, to: number | undefined, flags: Flags): Promise<Change[]> {
  const server = serverOf(flags)
  if (server) {
    const later = to ?? (await askServer<{ version: number }>(server, 'GET', '/config')).version
    const earlier = from ?? before(later)
    return (await askServer<{ changes: Change[] }>(server, 'GET', `/config/diff?from=${earlier}&to=${later}`)).changes
  }
  return fromDatabase(flags, ({ versions, place }) => {
    const { redact } = createRedactor(pepperOf(place))
    const later = to ?? versions.newest()?.number ?? 0
    const documentOf = (number: number): string => {
      const found = versions.version(number)
      if (!found) throw new Error(`There is no version ${number}: \`turnout config history\` lists them.`)
      return redact(found.document)
    }
    return changesBetween(documentOf(from ?? before(later)), documentOf(later))
  })
}

function before(version: number): number {
  if (version > 1) return version - 1
  throw new Error(
    version === 1 ? 'There is one version so far: no other to compare it with.' : 'There is no version yet.',
  )
}

function fromDatabase<Result>(
  flags: Flags,
  work: (found: { versions: ReturnType<typeof openConfigVersions>; place: LedgerPlace }) => Result,
): Result {
  const place = findLedger(flags)
  const store = openCommandStore({ file: place.file, readonly: true })
  try {
    return work({ versions: openConfigVersions(store), place })
  } finally {
    store.close()
  }
}

/** For when no gateway runs: the next one will serve that version. */
async function rollBack(version: number, flags: Flags): Promise<{ swapped: boolean; version: number }> {
  const place = findLedger(flags)
  try {
    // Who writes makes what is not there, and would make a mistyped name, or another program's file, a database of Turnout.
    openCommandStore({ file: place.file, readonly: true }).close()
    if (isOfOlderProgram(place.file))
      throw new Error(
        `The database ${place.file} is of an older Turnout, which could not open it any more once this one has written into it. ` +
          'Roll back with the older one, or start this one first.',
      )
    const store = openCommandStore({ file: place.file, offline: true })
    try {
      const live = await startLive({
        read: () => readBase(flags),
        memory: openConfigVersions(store),
        redactor: createRedactor(pepperOf(place)),
        swap: () => {},
        refuse: (snapshot) => checkBinding(snapshot, {}),
      })
      const before = live.snapshot.version
      const result = await live.rollback(version, { name: 'command line', role: 'admin' })
      if (!result) throw new Error(`There is no version ${version}: \`turnout config history\` lists them.`)
      await openAudit(store).add({
        actor: 'command line',
        role: 'admin',
        verb: 'rollback',
        subject: `version ${result.version}`,
        before: { version: before },
        after: { version: result.version, same_as: version },
      })
      return { swapped: result.swapped, version: result.version }
    } finally {
      store.close()
    }
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'locked') throw error
    throw new Error(`${error.message} If that is a running gateway, tell it: --url http://127.0.0.1:4000 --key KEY.`)
  }
}

/** The installation's secret where there is one, so that marks are those that the gateway shows; never makes one. */
function pepperOf({ dataDir, env }: LedgerPlace): Buffer {
  const known = firstSet(env, ['TURNOUT_SECRET']) !== undefined || existsSync(join(dataDir, 'secret'))
  return known ? loadSecret(dataDir, env) : randomBytes(32)
}

function renderChanges(changes: readonly Change[]): string {
  const side = (sign: string, value: unknown): string[] =>
    value === undefined || value === null ? [] : [`  ${sign} ${JSON.stringify(value)}`]
  const lines = changes.flatMap(({ path, before, after }) => [path, ...side('-', before), ...side('+', after)])
  return `${lines.join('\n') || 'no difference but in comments and layout'}\n`
}

const lineOf = (line: ReturnType<ReturnType<typeof openConfigVersions>['versions']>[number]): Line => ({
  version: line.number,
  created_at: new Date(line.at).toISOString(),
  hash: line.hash,
  source: line.source,
  actor: line.actor,
  note: line.note,
})

function linesOf(text: string): number {
  if (!/^[1-9]\d{0,2}$|^1000$/.test(text)) throw new InvalidArgumentError('give a number from 1 to 1000')
  return Number(text)
}

function numberOf(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('expected the number of a version')
  return Number(text)
}
