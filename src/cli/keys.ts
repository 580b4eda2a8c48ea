// `turnout keys`: make, look at, change, rotate and take away the virtual keys of a running gateway.
import type { Command } from 'commander'
import { addServerOptions, askServer, findServer, type ServerFlags } from './adminClient.ts'
import { bodyOf, type KeyFlags, secondsOf } from './keyFlags.ts'
import { print, renderTable, toJsonLine } from './output.ts'

interface ShownKey {
  id: string
  name: string
  hint: string
  role: string
  team: string | null
  tags: Record<string, string> | null
  routes: string[] | null
  models: string[] | null
  limits: unknown
  budgets: unknown
  expires_at: string | null
  disabled: boolean
  old_secret_until: string | null
  created_at: string
  updated_at: string
  secret?: string
}

interface KeyPage {
  data: ShownKey[]
  next_cursor: string | null
}

type Flags = ServerFlags & KeyFlags

/** Adds the six commands. Exit code 1 when the gateway cannot be reached or says no. */
export function addKeysCommand(program: Command): void {
  const keys = program.command('keys').description('the virtual keys of a running gateway: what clients show')

  addServerOptions(keys.command('list').description('show all keys, without their secrets')).action(
    async (flags: ServerFlags) => {
      const server = findServer(flags)
      const data: ShownKey[] = []
      // All pages: whoever lists keys in a shell looks for one of them.
      for (let next: string | null = ''; next !== null; ) {
        const page: KeyPage = await askServer<KeyPage>(server, 'GET', `/keys?limit=1000${next}`)
        data.push(...page.data)
        next = page.next_cursor === null ? null : `&cursor=${page.next_cursor}`
      }
      await print(flags.json ? toJsonLine({ object: 'list', data }) : renderList(data, Date.now()))
    },
  )

  addServerOptions(
    addKeyOptions(
      keys
        .command('create')
        .description('make a key and print its secret, which is shown this once')
        .argument('<name>', 'name in the ledger and the logs'),
    ),
  ).action(async (name: string, flags: Flags) => {
    const answer = await askServer<ShownKey>(findServer(flags), 'POST', '/keys', bodyOf({ ...flags, name }, Date.now()))
    await print(flags.json ? toJsonLine(answer) : renderSecret(answer, 'made'))
  })

  addServerOptions(keys.command('get').description('show one key').argument('<key>', 'its name or id')).action(
    async (key: string, flags: ServerFlags) => {
      const answer = await askServer<ShownKey>(findServer(flags), 'GET', pathOf(key))
      await print(flags.json ? toJsonLine(answer) : renderKey(answer))
    },
  )

  addServerOptions(
    addKeyOptions(
      keys
        .command('set')
        .description('change what a key may do, from the next request on; what is not named stays')
        .argument('<key>', 'its name or id')
        .option('--name <name>', 'another name'),
    ),
  ).action(async (key: string, flags: Flags) => {
    const body = bodyOf(flags, Date.now())
    if (Object.keys(body).length === 0) throw new Error('Nothing to change: --help lists what can be set.')
    const answer = await askServer<ShownKey>(findServer(flags), 'PATCH', pathOf(key), body)
    await print(flags.json ? toJsonLine(answer) : renderKey(answer))
    tellExpired(answer)
  })

  addServerOptions(
    keys
      .command('rotate')
      .description('give a key another secret, which is shown this once')
      .argument('<key>', 'its name or id')
      .option('--grace <time>', 'how long the old secret is good, too, such as 24h', '0s'),
  ).action(async (key: string, flags: ServerFlags & { grace: string }) => {
    const body = { grace_seconds: secondsOf('--grace', flags.grace) }
    const answer = await askServer<ShownKey>(findServer(flags), 'POST', `${pathOf(key)}/rotate`, body)
    await print(flags.json ? toJsonLine(answer) : renderSecret(answer, 'rotated'))
    tellExpired(answer)
  })

  addServerOptions(
    keys
      .command('delete')
      .description('take a key away, from the next request on; its rows in the ledger stay')
      .argument('<key>', 'its name or id'),
  ).action(async (key: string, flags: ServerFlags) => {
    const answer = await askServer<{ id: string; name: string }>(findServer(flags), 'DELETE', pathOf(key))
    await print(flags.json ? toJsonLine(answer) : `${answer.name} (${answer.id}) is taken away\n`)
  })
}

function addKeyOptions(command: Command): Command {
  return command
    .option('--role <role>', 'app calls models; viewer, responder, operator and admin operate the gateway, too')
    .option('--team <team>', 'team that it belongs to, or none')
    .option(
      '--tag <name=value>',
      'a tag; once for each, all of them; or none',
      (tag: string, before: string[] = []) => [...before, tag],
    )
    .option('--routes <names>', 'what may be asked for, with commas and stars; none = everything')
    .option('--models <names>', '`provider/model` names that may serve it, with commas and stars; none = all')
    .option('--limits <block>', "as in the file, such as '{ requests: 100 }'; or none")
    .option('--budgets <block>', "as in the file, such as '{ usd: 50, window: month }'; or none")
    .option('--expires <time>', 'a time, or 30d from now on; or none')
    .option('--disabled', 'switch it off')
    .option('--enabled', 'switch it on again')
}

const pathOf = (key: string): string => `/keys/${encodeURIComponent(key)}`

function renderSecret({ id, name, secret, old_secret_until }: ShownKey, what: string): string {
  const old = old_secret_until === null ? '' : `the old secret is good until ${old_secret_until}\n`
  return `${name} (${id}) is ${what}; its secret, shown this once:\n${secret}\n${old}`
}

/** Whether it opens anything: what has expired is on, and good for nothing. */
const stateOf = ({ disabled, expires_at }: ShownKey, now: number): string =>
  disabled ? 'off' : expires_at !== null && Date.parse(expires_at) <= now ? 'expired' : 'on'

/** A mistyped year would be found by an app that is not let in, and a new secret makes an old key no younger. */
function tellExpired(key: ShownKey): void {
  if (stateOf(key, Date.now()) !== 'expired') return
  process.stderr.write(`warning: the time of ${key.name} has passed: it opens nothing\n`)
}

function renderList(keys: readonly ShownKey[], now: number): string {
  const rows = keys.map((key) => [
    key.name,
    key.id,
    key.hint,
    key.role,
    key.team ?? '-',
    key.routes?.join(', ') ?? 'all',
    key.expires_at ?? '-',
    stateOf(key, now),
  ])
  return renderTable(['name', 'id', 'secret', 'role', 'team', 'routes', 'expires', 'state'], rows)
}

function renderKey(key: ShownKey): string {
  const { object: _, ...fields } = key as ShownKey & { object?: string }
  const shown = (value: unknown): string =>
    typeof value === 'string' ? value : value === null ? '-' : JSON.stringify(value)
  const width = Math.max(...Object.keys(fields).map((name) => name.length))
  return Object.entries(fields)
    .map(([name, value]) => `${name.padEnd(width)}  ${shown(value)}\n`)
    .join('')
}
