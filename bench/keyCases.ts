// The micro-timings of the door: what finding a client's key costs, when it is remembered and when it is not.
import { createHmac, randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Snapshot } from '../src/config/snapshot.ts'
import { createGatekeeper } from '../src/gateway/admit.ts'
import { createClientTokens } from '../src/gateway/clientTokens.ts'
import { createKeyring, type VirtualKey } from '../src/state/keyring.ts'

const keysKept = 1_000

/** @param snapshot its keys are those of `bench/micro.ts` */
export function keyCases(snapshot: Snapshot): { name: string; work: () => unknown }[] {
  const pepper = Buffer.alloc(32, 7)
  const rows: VirtualKey[] = []
  const secrets = Array.from({ length: keysKept }, (_, n) => {
    const secret = `tk-${randomBytes(32).toString('base64url')}`
    const digest = createHmac('sha256', pepper).update('key\0').update(secret).digest('base64url')
    const times = { oldDigest: undefined, oldUntil: undefined, createdAt: 0, updatedAt: 0 }
    rows.push({ id: n + 1, name: `virtual-${n}`, hint: '', digest, disabled: false, ...times })
    return secret
  })
  const nothing = async (): Promise<void> => {}
  const keyring = createKeyring(
    {
      all: () => rows,
      insert: () => Promise.reject(new Error('nobody makes keys here')),
      update: nothing,
      remove: nothing,
    },
    pepper,
  )
  const gatekeeper = createGatekeeper({ insecure: false, keyring, tokens: createClientTokens({ keyring }) })
  /** Makes the text anew each time, as a parser does: one that was looked for before has its hash already. */
  const inTurn = (...keys: string[]): (() => unknown) => {
    const bytes = keys.map((key) => Buffer.from(`Bearer ${key}`))
    let at = 0
    return () => {
      const authorization = bytes[at++ % bytes.length]!.latin1Slice()
      return gatekeeper.admit({ headers: { authorization } } as IncomingMessage, snapshot)
    }
  }
  const text = Buffer.from(`Bearer ${secrets[0]}`)
  return [
    { name: 'key of the file, remembered', work: inTurn('sk-test-other-key-number-7') },
    { name: 'virtual key, remembered', work: inTurn(secrets[7]!) },
    { name: 'virtual keys, 1000 in turn, remembered', work: inTurn(...secrets) },
    { name: '  of it, making the text of the key header', work: () => text.latin1Slice() },
    { name: 'key lookup that is spared: SHA-256 and HMAC', work: () => keyring.find(secrets[7]!) },
  ]
}
