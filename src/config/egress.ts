// Which proxy calls go through on their way out: what the environment says, in the variables that other programs read.
import { BlockList, isIP } from 'node:net'
import { bareHost, isLoopback } from './binding.ts'
import { firstSet } from './env.ts'
import type { Env } from './interpolation.ts'
import type { Report } from './problem.ts'

/** The proxy for an address, as a URL that may hold a password; undefined = the address is dialled itself. */
export type ProxyOf = (url: string) => string | undefined

/**
 * Reads `HTTPS_PROXY` (for `https:` addresses), `HTTP_PROXY` (for `http:`) and `NO_PROXY`; their names in lower letters win. This machine is
 * never reached through a proxy (as in Go's `net/http`). A variable that names no proxy is told of, unless nothing would use it.
 */
export function readEgress(env: Env, report: Report): ProxyOf {
  const isExcepted = readExceptions(firstSet(env, ['no_proxy', 'NO_PROXY'])?.value ?? '')
  if (isExcepted === 'all') return () => undefined
  const proxyIn = (name: string): string | undefined => {
    const text = firstSet(env, [name.toLowerCase(), name])?.value
    return text === undefined ? undefined : parseProxy(text, (message) => report([name], message))
  }
  const proxies: Readonly<Record<string, string | undefined>> = {
    'https:': proxyIn('HTTPS_PROXY'),
    'http:': proxyIn('HTTP_PROXY'),
  }
  return (url) => {
    if (!URL.canParse(url)) return undefined
    const { protocol, hostname, port } = new URL(url)
    const proxy = proxies[protocol]
    if (proxy === undefined) return undefined
    const host = bareHost(hostname)
    return isLoopback(host) || isExcepted(host, port || (protocol === 'https:' ? '443' : '80')) ? undefined : proxy
  }
}

/** `host:port` is one, too, as it is to curl. The text is not repeated to `tell`: it may hold a password. */
export function parseProxy(text: string, tell: (message: string) => void): string | undefined {
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
  if (!URL.canParse(url))
    return void tell('not the URL of a proxy: expected something like http://proxy.example.com:3128')
  const { protocol, pathname, search, hash, href } = new URL(url)
  if (protocol !== 'http:' && protocol !== 'https:')
    return void tell(`proxies of the kind ${protocol.slice(0, -1)} are not spoken to: one of http:// or https:// is`)
  if ((pathname !== '/' && pathname !== '') || search || hash) return void tell('a proxy has no path and no query')
  return href
}

/** Host and port of a proxy, without its password: what may be shown. */
export const shownProxy = (proxy: string): string => new URL(proxy).host

type IsExcepted = (host: string, port: string) => boolean

/**
 * Names, addresses and ranges between commas or blanks, each for one port where it says so. A name stands for what is below it as well, with or
 * without a dot or `*.` before it, as for curl; `*` for everything.
 */
function readExceptions(list: string): IsExcepted | 'all' {
  const entries = list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
  if (entries.includes('*')) return 'all'
  const tests = entries.map(readException)
  return (host, port) => tests.some((test) => test(host, port))
}

function readException(entry: string): IsExcepted {
  const [range = '', bits] = entry.split('/')
  const family = isIP(bareHost(range))
  if (family !== 0) {
    const listed = new BlockList()
    const kind = family === 4 ? 'ipv4' : 'ipv6'
    const most = family === 4 ? 32 : 128
    if (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) <= most)) return () => false
    listed.addSubnet(bareHost(range), Number(bits ?? most), kind)
    return (host) => isIP(host) !== 0 && listed.check(host, isIP(host) === 4 ? 'ipv4' : 'ipv6')
  }
  const [, written = '', only] = /^(.*?)(?::(\d+))?$/.exec(entry)!
  const name = bareHost(written.replace(/^\*?\./, ''))
  return (host, port) => (only === undefined || only === port) && (host === name || host.endsWith(`.${name}`))
}
