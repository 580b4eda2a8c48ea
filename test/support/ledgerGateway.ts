// A gateway with a simulated vendor and a real ledger in a folder of its own, and the vendor's bill to hold it against.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.ts'
import { createKeyring, type Keyring } from '../../src/state/keyring.ts'
import { makeKeyStore } from '../../src/store/keys.ts'
import { type Ledger, type LedgerOptions, openLedger } from '../../src/store/ledger.ts'
import { openStore, type Store } from '../../src/store/open.ts'
import { openReader, type Reader } from '../../src/store/reader.ts'
import { hashUser, loadSecret } from '../../src/store/secret.ts'
import { startGateway, type TestGateway, upstreamAt } from './gateway.ts'

export const adminKey = 'sk-test-admin-key-0123456789'
export const appKey = 'sk-test-app-key-0123456789'
export const otherKey = 'sk-test-other-key-0123456789'

export const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` })

/** USD per million tokens, so that a token costs a whole number of nano-USD. */
export const simulatedPrices = { 'sim-*': { input: 0.4, cacheRead: 0.1, output: 1.6 } }
const nano = { input: 400n, cacheRead: 100n, output: 1600n }

export interface LedgerGateway {
  readonly gateway: TestGateway
  readonly url: string
  readonly simulator: Simulator
  readonly folder: string
  readonly file: string
  readonly store: Store
  readonly ledger: Ledger
  readonly reader: Reader
  /** Empty at first. */
  readonly keyring: Keyring
  hash(user: string): string
  close(): Promise<void>
}

export async function startLedgerGateway(
  config: Record<string, unknown> = {},
  options: { ledger?: LedgerOptions; simulator?: SimulatorOptions } = {},
): Promise<LedgerGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-books-'))
  const file = join(folder, 'turnout.db')
  const simulator = await startSimulator(options.simulator)
  const store = openStore({ file })
  const ledger = openLedger(store, options.ledger)
  const reader = openReader(file, ledger.bringIn)
  const secret = loadSecret(folder, {})
  const hash = (user: string): string => hashUser(secret, user)
  const keyring = createKeyring(makeKeyStore(store), secret)
  const gateway = await startGateway(
    {
      providers: { sim: upstreamAt(simulator.url) },
      prices: simulatedPrices,
      directModels: true,
      keys: [
        { name: 'ops', key: adminKey, role: 'admin' },
        { name: 'web', key: appKey, team: 'shop' },
        { name: 'batch', key: otherKey, team: 'data' },
      ],
      ...config,
    },
    { books: { ledger, reader, hashUser: hash, keyring } },
  )
  return {
    gateway,
    url: gateway.url,
    simulator,
    folder,
    file,
    store,
    ledger,
    reader,
    keyring,
    hash,
    async close() {
      await gateway.close()
      await reader.close()
      await ledger.close()
      store.close()
      await simulator.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

interface Billed {
  promptTokens: number
  cachedTokens: number
  completionTokens: number
}

/** What the simulated vendor charges, in nano-USD. */
export function billOf(calls: readonly Billed[]): bigint {
  return calls.reduce((sum, { promptTokens, cachedTokens, completionTokens }) => {
    const fresh = BigInt(promptTokens - cachedTokens)
    return sum + fresh * nano.input + BigInt(cachedTokens) * nano.cacheRead + BigInt(completionTokens) * nano.output
  }, 0n)
}
