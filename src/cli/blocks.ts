// `turnout blocks`: keeps addresses, end users and keys out of a running gateway for a while.
import type { Command } from 'commander'
import { readDuration } from '../config/unit.ts'
import { addServerOptions, askServer, findServer, type ServerFlags } from './adminClient.ts'
import { print, renderTable, toJsonLine } from './output.ts'

interface Block {
  kind: 'ip' | 'user' | 'key'
  value: string
  reason: string
  until: string
}

interface WhomFlags extends ServerFlags {
  ip?: string
  user?: string
  name?: string
}

export function addBlocksCommand(program: Command): void {
  const blocks = program.command('blocks').description('keep addresses, end users and keys out for a while')

  addServerOptions(
    blocks.command('list', { isDefault: true }).description('show who is blocked, the next to end first'),
  ).action(async (flags: ServerFlags) => {
    const answer = await askServer<{ data: Block[] }>(findServer(flags), 'GET', '/blocks')
    await print(flags.json ? toJsonLine(answer) : render(answer.data))
  })

  addWhom(blocks.command('add').description('block somebody, at once'))
    .requiredOption('--for <time>', 'for how long, such as 90s, 15m, 24h or 7d')
    .option('--reason <text>', 'why, for the audit trail and whoever looks next', 'by command line')
    .action(async (flags: WhomFlags & { for: string; reason: string }) => {
      const body = { ...whomOf(flags), seconds: secondsOf(flags.for), reason: flags.reason }
      const answer = await askServer<Block>(findServer(flags), 'POST', '/blocks', body)
      await print(flags.json ? toJsonLine(answer) : `${answer.kind} ${answer.value} is blocked until ${answer.until}\n`)
    })

  addWhom(blocks.command('remove').description('end a block before its time')).action(async (flags: WhomFlags) => {
    const answer = await askServer<Block>(findServer(flags), 'DELETE', '/blocks', whomOf(flags))
    await print(flags.json ? toJsonLine(answer) : `${answer.kind} ${answer.value} is not blocked any more\n`)
  })
}

/** `--key` says which key operates; the one to block goes by its name. */
const addWhom = (command: Command): Command =>
  addServerOptions(command)
    .option('--ip <address>', 'an address; of IPv6 its first 64 bits')
    .option('--user <id>', 'an end user, by the id that requests carry')
    .option('--name <key>', 'a key, by its name')

function whomOf({ ip, user, name }: WhomFlags): Record<string, string> {
  const named = Object.entries({ ip, user, key: name }).filter((entry): entry is [string, string] => !!entry[1])
  if (named.length !== 1) throw new Error('Say whom: one of --ip, --user and --name.')
  return Object.fromEntries(named)
}

function secondsOf(text: string): number {
  const days = /^(\d{1,3})d$/.exec(text)?.[1]
  const ms = days === undefined ? (/[a-z]/.test(text) ? readDuration(text) : undefined) : Number(days) * 86_400_000
  if (ms === undefined || ms < 1000)
    throw new Error(`'${text}' is no time that is understood, or less than a second: write 90s, 15m, 24h or 7d.`)
  return Math.ceil(ms / 1000)
}

const render = (blocks: readonly Block[]): string =>
  blocks.length === 0
    ? 'nobody is blocked\n'
    : renderTable(
        ['kind', 'whom', 'until', 'reason'],
        blocks.map(({ kind, value, until, reason }) => [kind, value, until, reason]),
      )
