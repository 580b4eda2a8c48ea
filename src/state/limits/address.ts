// Who an address is: one client to limits and blocks, and whether it may come at all.
import { BlockList, isIP } from 'node:net'

/**
 * The address as limits count it. IPv4 as it is, also when it is written as IPv6. Of IPv6 the first 64 bits: whoever has one address has
 * 2^64 of them. Anything else as it is.
 */
export function addressKey(address: string): string {
  if (!address.includes(':')) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const plain = address.split('%', 1)[0]!
  if (isIP(plain) !== 6) return address
  const [front = '', back] = plain.toLowerCase().split('::')
  const head = front === '' ? [] : front.split(':')
  const tail = back === undefined || back === '' ? [] : back.split(':')
  const size = (parts: readonly string[]): number => parts.length + (parts.at(-1)?.includes('.') ? 1 : 0)
  const zeros = back === undefined ? 0 : 8 - size(head) - size(tail)
  const groups = [...head, ...Array<string>(Math.max(0, zeros)).fill('0'), ...tail]
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}

export type AddressVerdict = 'allowed' | 'denied' | 'not_allowed'

/**
 * Judges addresses by lists of addresses and CIDR ranges. `deny` wins; with a non-empty `allow` nobody else may come.
 * Throws TypeError or RangeError for what is no address; the configuration checks them first.
 */
export function createAddressRules(rules: {
  readonly allow: readonly string[]
  readonly deny: readonly string[]
}): (address: string) => AddressVerdict {
  if (rules.allow.length === 0 && rules.deny.length === 0) return () => 'allowed'
  const allow = listOf(rules.allow)
  const deny = listOf(rules.deny)
  return (address) => {
    const family = isIP(address)
    // What cannot be read is on no list: not denied, and not allowed where only the listed are.
    if (family !== 0 && deny.check(address, family === 4 ? 'ipv4' : 'ipv6')) return 'denied'
    if (rules.allow.length === 0) return 'allowed'
    return family !== 0 && allow.check(address, family === 4 ? 'ipv4' : 'ipv6') ? 'allowed' : 'not_allowed'
  }
}

function listOf(ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [address = '', bits] = range.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(bits), family)
  }
  return list
}
