// The address a request comes from: the socket's, or what proxies say of it, as far as they are trusted.
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'

/** Says whether an address belongs to a trusted proxy. */
export type IsTrusted = (address: string) => boolean

/** @param ranges addresses and CIDR ranges, IPv4 or IPv6 */
export function trustRanges(ranges: readonly string[]): IsTrusted {
  if (ranges.length === 0) return () => false
  const list = new BlockList()
  for (const range of ranges) {
    const [address = '', bits] = range.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return (address) => isIP(address) !== 0 && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

/**
 * Walks `x-forwarded-for` from the right for as long as the teller is a trusted proxy; the first address that is not one is the client.
 * Everything left of it is the client's own word and is not believed.
 */
export function clientAddress(req: IncomingMessage, isTrusted: IsTrusted): string {
  let address = plain(req.socket.remoteAddress ?? '')
  if (!isTrusted(address)) return address
  const header = req.headers['x-forwarded-for']
  const told = (typeof header === 'string' ? header : '').split(',').map((part) => plain(withoutPort(part.trim())))
  while (isTrusted(address)) {
    const next = told.pop()
    if (next === undefined || isIP(next) === 0) break
    address = next
  }
  return address
}

/** `::ffff:10.0.0.1` is 10.0.0.1. */
function plain(address: string): string {
  return address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address
}

/** Some balancers tell the port as well: `203.0.113.5:4711`, `[2001:db8::1]:4711` (Azure's Application Gateway does). */
function withoutPort(told: string): string {
  return /^(?:\[([0-9a-f:.]+)\]|([\d.]+))(?::\d{1,5})?$/i.exec(told)?.slice(1).find(Boolean) ?? told
}
