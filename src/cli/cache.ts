// `turnout cache`: what the response cache of a running gateway holds and saved, and taking answers out of it.
import type { Command } from 'commander'
import { addServerOptions, askServer, findServer, type ServerFlags } from './adminClient.ts'
import { print, renderTable, toJsonLine } from './output.ts'

interface Counts {
  entries: number
  bytes: number
  hits: number
  misses: number
  stale: number
  coalesced: number
  bypassed: number
  saved_usd: string
}

interface Stats extends Counts {
  size_bytes: number
  evictions: number
  disk: { entries: number; bytes: number; size_bytes: number; working: boolean } | null
  routes: (Counts & { route: string })[]
}

/** Adds `cache stats` and `cache clear`. Exit code 1 when the gateway cannot be reached or says no. */
export function addCacheCommand(program: Command): void {
  const cache = program.command('cache').description('the response cache: what it holds and saved, and clearing it')

  addServerOptions(cache.command('stats').description('show what it holds, did and saved, by route')).action(
    async (flags: ServerFlags) => {
      const answer = await askServer<Stats>(findServer(flags), 'GET', '/cache/stats')
      await print(flags.json ? toJsonLine(answer) : renderStats(answer))
    },
  )

  addServerOptions(
    cache
      .command('clear')
      .description('take answers out: all, those of a route, or a single one')
      .option('--route <route>', 'only those of this route')
      .option('--entry <key>', 'only this one: the `x-turnout-cache-key` of a reply'),
  ).action(async (flags: ServerFlags & { route?: string; entry?: string }) => {
    const query = new URLSearchParams({
      ...(flags.route === undefined ? {} : { route: flags.route }),
      ...(flags.entry === undefined ? {} : { key: flags.entry }),
    })
    const path = query.size === 0 ? '/cache' : `/cache?${query}`
    const answer = await askServer<{ removed: number }>(findServer(flags), 'DELETE', path)
    await print(flags.json ? toJsonLine(answer) : `${answer.removed} removed\n`)
  })
}

function renderStats(stats: Stats): string {
  const row = (name: string, of: Counts): string[] => [
    name,
    String(of.entries),
    megabytes(of.bytes),
    ...[of.hits, of.stale, of.coalesced, of.misses, of.bypassed].map(String),
    of.saved_usd,
  ]
  const rows = [...stats.routes.map((of) => row(of.route, of)), row('all', stats)]
  const header = ['route', 'answers', 'MB', 'hits', 'stale', 'shared', 'misses', 'bypassed', 'saved USD']
  const sum = `${megabytes(stats.bytes)} of ${megabytes(stats.size_bytes)} MB; ${stats.evictions} went for want of room\n`
  return renderTable(header, rows) + sum + renderDisk(stats.disk)
}

function renderDisk(disk: Stats['disk']): string {
  if (!disk) return ''
  const { entries, bytes, size_bytes: size, working } = disk
  const state = working ? '' : '; the file cannot be used at the moment'
  return `on disk: ${entries} answers, ${megabytes(bytes)} of ${megabytes(size)} MB${state}\n`
}

const megabytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1)
