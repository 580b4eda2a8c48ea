// Decides whether a configuration may be served on the address it names.
import { isIP } from 'node:net'
import { demoKey, digestOf } from './keySettings.ts'
import type { Snapshot } from './snapshot.ts'

/** An address as it is bound: without the brackets that an IPv6 address has in a URL. */
export const bareHost = (host: string): string => host.replace(/^\[(.+)\]$/, '$1')

/** Whether only programs on this machine can reach the address. Names other than localhost are not looked up: they count as far. */
export function isLoopback(host: string): boolean {
  const bare = bareHost(host).toLowerCase()
  if (bare === 'localhost' || bare.endsWith('.localhost') || bare === '::1') return true
  const mapped = bare.startsWith('::ffff:') ? bare.slice(7) : bare
  return isIP(mapped) === 4 && mapped.startsWith('127.')
}

/**
 * Why the configuration may not be served on its host, or undefined if it may. Without a key or signed tokens, or with a key that is printed in
 * the manual, anyone who reaches the port spends the operator's money.
 * @param options.isHanded a socket that was handed over is served in place of the host. It counts as one that everybody reaches: where it is
 * bound shows when it is listened on, which would be too late to refuse it
 */
export function checkBinding(
  snapshot: Snapshot,
  { insecure = false, isHanded = false }: { insecure?: boolean; isHanded?: boolean },
): string | undefined {
  if (insecure || (!isHanded && isLoopback(snapshot.server.host))) return undefined
  const host = isHanded ? 'a socket that was handed over' : snapshot.server.host
  const nearer = isHanded ? '' : 'bind to 127.0.0.1, '
  const remedy = `Set TURNOUT_MASTER_KEY or \`keys\`, ${nearer}or pass --insecure if the network is closed.`
  if (snapshot.keys.size === 0 && snapshot.clientJwt === undefined)
    return `Refusing to listen on ${host} without a key: everyone who reaches it could use your providers. ${remedy}`
  if (snapshot.keys.has(digestOf(demoKey)))
    return `Refusing to listen on ${host} with the demo key ${demoKey}: everybody knows it. ${remedy}`
  return undefined
}
