// Asks the admin API of a running gateway, for commands that operate it.
import type { Command } from 'commander'
import { firstSet, readEnv } from '../config/env.ts'

export interface ServerFlags {
  url?: string
  key?: string
  envFile?: string
  json?: boolean
}

/** Longest wait for an answer, in milliseconds. */
const limit = 30_000
const defaultUrl = 'http://127.0.0.1:4000'

/** Adds the flags that every command which asks a running gateway has. */
export function addServerOptions(command: Command): Command {
  return command
    .option('--url <url>', `address of the gateway (default: $TURNOUT_URL, else ${defaultUrl})`)
    .option('--key <key>', 'key with a role, or a signed token (default: $TURNOUT_MASTER_KEY)')
    .option('--env-file <file>', 'file of environment variables; `.env` is read in any case')
    .option('--json', 'print the answer as JSON')
}

export interface Server {
  readonly url: string
  readonly key: string | undefined
  /** Somebody has said where the server is. */
  readonly named: boolean
}

/** The gateway that the flags name, else the environment (`TURNOUT_URL`, `TURNOUT_MASTER_KEY`), else the default address. */
export function findServer(flags: ServerFlags): Server {
  const { env } = readEnv({ processEnv: process.env, envFile: flags.envFile })
  const url = flags.url ?? firstSet(env, ['TURNOUT_URL'])?.value
  const key = flags.key ?? firstSet(env, ['TURNOUT_MASTER_KEY'])?.value
  return { url: (url ?? defaultUrl).replace(/\/+$/, ''), key, named: url !== undefined }
}

/** The gateway cannot be reached, or can answer nothing at the moment: it may be there again in a second. */
export class NoAnswer extends Error {}

/** The answer's JSON, which has the route's shape. Throws Error with what the gateway said, `NoAnswer` where it could not be reached. */
export async function askServer<Answer>(
  { url, key }: Server,
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  if (key === undefined) throw new Error('The admin API needs a key: give --key, or set TURNOUT_MASTER_KEY.')
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url))
    throw new Error(`'${url}' is no URL: give --url or TURNOUT_URL, such as ${defaultUrl}.`)
  if (/[^\x21-\x7e]/.test(key))
    throw new Error('The key holds a space, a line break or what no key holds: copy it anew.')
  // Such a part of an address is resolved before it is sent: `..` for a route's name would be everything's percentage.
  const odd = path
    .split('?', 1)[0]!
    .split('/')
    .slice(1)
    .find((part) => /^\.{0,2}$/.test(part))
  if (odd !== undefined) throw new Error(`'${odd}' is no name.`)
  const { status, text } = await send(
    `${url}/admin${path}`,
    method,
    { ...headers, authorization: `Bearer ${key}` },
    body,
  ).catch((error: NodeJS.ErrnoException) => {
    // The code of what was given up after so long is a number.
    const reason = typeof error.code === 'string' ? error.code : error.message
    throw new NoAnswer(`The gateway at ${url} cannot be reached: ${reason}.`)
  })
  const answer = parsed(text)
  // All answers of the admin API name what they are: another server's JSON must not pass for a thing that was done.
  if (status === 200 && typeof answer?.object === 'string') return answer as Answer
  const told = (answer?.error as { message?: unknown } | null | undefined)?.message
  const said = typeof told === 'string' ? told : `${url} answered ${status}, which is not Turnout's admin API.`
  throw status >= 500 ? new NoAnswer(said) : new Error(said)
}

async function send(
  url: string,
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  headers: Record<string, string>,
  body: unknown,
): Promise<{ status: number; text: string }> {
  const { Agent, request } = await import('undici')
  const dispatcher = new Agent()
  try {
    const reply = await request(url, {
      dispatcher,
      method,
      headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(limit),
    })
    return { status: reply.statusCode, text: await reply.body.text() }
  } finally {
    await dispatcher.destroy()
  }
}

function parsed(text: string): Record<string, unknown> | null | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
