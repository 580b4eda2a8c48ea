// Who is let in, from memory: what was let in once is found by what was shown, and never longer than it holds.

import { mkdtempSync, rmSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import type { Snapshot } from '../src/config/snapshot.ts'
import { createGatekeeper } from '../src/gateway/admit.ts'
import { Denied } from '../src/gateway/denied.ts'
import { createFreshMap } from '../src/gateway/freshMap.ts'
import { createKeyring } from '../src/state/keyring.ts'
import { makeKeyStore } from '../src/store/keys.ts'
import { openStore, type Store } from '../src/store/open.ts'

const fileKey = 'sk-test-file-key-0123456789'
const folder = mkdtempSync(join(tmpdir(), 'turnout-keeper-'))
let store: Store
beforeAll(() => {
  store = openStore({ file: join(folder, 'turnout.db') })
})
afterAll(() => {
  store.close()
  rmSync(folder, { recursive: true })
})

const snapshotWith = (...names: string[]): Snapshot =>
  parseConfig(
    JSON.stringify({
      providers: { ollama: null },
      routes: { chat: 'ollama/x' },
      keys: names.map((name) => ({ name, key: `${fileKey}-${name}` })),
    }),
    { file: 'f.yaml', env: {}, version: 1 },
  ).snapshot

const asking = (secret: string): IncomingMessage =>
  ({ headers: { authorization: `Bearer ${secret}` }, method: 'POST' }) as IncomingMessage

/** A gatekeeper over a real keyring, with a clock that stands still and a count of the lookups that went by it. */
function keeper() {
  const clock = { at: 1_800_000_000_000 }
  const now = (): number => clock.at
  const keyring = createKeyring(makeKeyStore(store), Buffer.alloc(32, 7), { now })
  const looked = { count: 0 }
  const reasons: string[] = []
  const gatekeeper = createGatekeeper({
    insecure: false,
    keyring: {
      find(secret) {
        looked.count++
        return keyring.find(secret)
      },
      get size() {
        return keyring.size
      },
      get revision() {
        return keyring.revision
      },
    },
    failed: (reason) => void reasons.push(reason),
    now,
  })
  const snapshot = snapshotWith('web')
  /** Name of the key, or why there is none. */
  const admit = (secret: string, by = snapshot): string | undefined => {
    try {
      const key = gatekeeper.admit(asking(secret), by)
      return key instanceof Promise ? 'a promise' : key?.name
    } catch (error) {
      if (error instanceof Denied) return error.reason
      throw error
    }
  }
  return { clock, keyring, looked, reasons, admit, gatekeeper, snapshot }
}

describe('a key that was shown before', () => {
  it('is found without a digest, as long as nothing changes', async () => {
    const { keyring, admit, looked } = keeper()
    const { secret } = await keyring.create({ name: 'often', disabled: false })
    for (let n = 0; n < 50; n++) expect(admit(secret)).toBe('often')
    expect(looked.count).toBe(1)
    for (let n = 0; n < 3; n++) expect(admit(`${fileKey}-web`)).toBe('web')
    expect(looked.count).toBe(1)
  })

  it('is refused with the next request after it was switched off, changed, rotated or taken away', async () => {
    const { keyring, admit } = keeper()
    const { key, secret } = await keyring.create({ name: 'ending', disabled: false })
    expect(admit(secret)).toBe('ending')
    await keyring.change(key.id, { disabled: true })
    expect(admit(secret)).toBe('disabled')
    await keyring.change(key.id, { disabled: false, name: 'renamed' })
    expect(admit(secret)).toBe('renamed')
    const rotated = (await keyring.rotate(key.id, 0))!
    expect([admit(secret), admit(rotated.secret)]).toEqual(['unknown', 'renamed'])
    await keyring.remove(key.id)
    expect(admit(rotated.secret)).toBe('unknown')
  })

  it('of the file is refused with the next request after a swap without it', () => {
    const { admit, snapshot } = keeper()
    expect(admit(`${fileKey}-web`)).toBe('web')
    expect(admit(`${fileKey}-web`, snapshotWith('other'))).toBe('unknown')
    expect(admit(`${fileKey}-web`, snapshot)).toBe('web')
  })

  it('expires by the clock', async () => {
    const { keyring, admit, clock } = keeper()
    const { secret } = await keyring.create({ name: 'brief', disabled: false, expiresAt: clock.at + 1000 })
    expect(admit(secret)).toBe('brief')
    clock.at += 999
    expect(admit(secret)).toBe('brief')
    clock.at += 1
    expect(admit(secret)).toBe('expired')
  })

  it('and was rotated is good for its time of grace to the millisecond; the one before it is not', async () => {
    const { keyring, admit, clock } = keeper()
    const first = await keyring.create({ name: 'turning', disabled: false })
    const second = (await keyring.rotate(first.key.id, 60_000))!
    expect([admit(first.secret), admit(second.secret)]).toEqual(['turning', 'turning'])
    clock.at += 59_999
    expect(admit(first.secret)).toBe('turning')
    clock.at += 1
    expect([admit(first.secret), admit(second.secret)]).toEqual(['unknown', 'turning'])
    const third = (await keyring.rotate(first.key.id, 60_000))!
    const fourth = (await keyring.rotate(first.key.id, 60_000))!
    expect([second, third, fourth].map(({ secret }) => admit(secret))).toEqual(['unknown', 'turning', 'turning'])
    // The next process knows the time of grace, too.
    const next = createKeyring(makeKeyStore(store), Buffer.alloc(32, 7), { now: () => clock.at + 60_000 })
    expect([third, fourth].map(({ secret }) => next.find(secret)?.key.name)).toEqual([undefined, 'turning'])
  })
})

describe('changes of keys that were asked for at once', () => {
  it('give one name to one key', async () => {
    const { keyring } = keeper()
    const [left, right] = await Promise.all(['left', 'right'].map((name) => keyring.create({ name, disabled: false })))
    const renamed = await Promise.allSettled(
      [left!, right!].map(({ key }) => keyring.change(key.id, { name: 'middle' })),
    )
    expect(renamed).toMatchObject([{ status: 'fulfilled' }, { reason: { name: 'NameTaken' } }])
    expect(keyring.get(right!.key.id)?.name).toBe('right')
  })

  it('bring no key back that one of them has taken away', async () => {
    const { keyring, admit } = keeper()
    const { key, secret } = await keyring.create({ name: 'going', disabled: false })
    const { size } = keyring
    const late = await Promise.all([
      keyring.remove(key.id),
      keyring.change(key.id, { team: 'x' }),
      keyring.rotate(key.id, 1000),
      keyring.remove(key.id),
    ])
    expect(late).toEqual([expect.objectContaining({ name: 'going' }), undefined, undefined, undefined])
    expect([keyring.size, admit(secret)]).toEqual([size - 1, 'unknown'])
  })
})

it('what was shown in one header opens nothing in the other, or without its scheme', async () => {
  const { keyring, admit, gatekeeper, snapshot } = keeper()
  const { secret } = await keyring.create({ name: 'placed', disabled: false })
  expect(admit(secret)).toBe('placed')
  const show = (headers: Record<string, string>) => () => gatekeeper.admit({ headers } as never, snapshot)
  for (let n = 0; n < 2; n++) {
    expect(show({ 'x-api-key': secret })()).toMatchObject({ name: 'placed' })
    expect(show({ 'x-api-key': secret, 'api-key': 'nobody' })()).toMatchObject({ name: 'placed' })
    expect(show({ authorization: `bearer  ${secret}` })()).toMatchObject({ name: 'placed' })
    expect(show({ authorization: 'Basic eDp5', 'x-api-key': secret })()).toMatchObject({ name: 'placed' })
    const strange: Record<string, string>[] = [
      { 'x-api-key': `Bearer ${secret}` },
      { authorization: secret },
      { authorization: 'Basic eDp5' },
      { authorization: `Bearer ${secret} ${secret}` },
      { authorization: 'Bearer nobody', 'x-api-key': secret },
    ]
    for (const headers of strange) expect(show(headers), JSON.stringify(headers)).toThrow(Denied)
  }
})

it('strangers are looked up each time and remembered never', () => {
  const { admit, looked, reasons } = keeper()
  for (let n = 0; n < 100; n++) expect(admit('tk-nobody')).toBe('unknown')
  expect([looked.count, reasons.length]).toEqual([100, 100])
})

it('a key whose stored limits cannot be read is not let in, and told of', async () => {
  const { key, secret } = await keeper().keyring.create({ name: 'spoilt', disabled: false, limits: [{ requests: 1 }] })
  for (const limits of ['[{"requests":-1}]', '[{"colour":"red"}]', '[{}]']) {
    store.db.prepare('UPDATE api_key SET limits = ? WHERE id = ?').run(limits, key.id)
    const told: string[] = []
    const ring = createKeyring(makeKeyStore(store), Buffer.alloc(32, 7), { unreadable: ({ name }) => told.push(name) })
    expect(ring.find(secret)?.key.disabled, limits).toBe(true)
    expect(told).toEqual(['spoilt'])
  }
})

describe('the map that forgets', () => {
  it('holds no more than two generations, and those that are asked for', () => {
    const map = createFreshMap<number>(100, 1000, () => 0)
    for (let n = 0; n < 10_000; n++) {
      map.set(`name-${n}`, n)
      expect(map.get('name-0')).toBe(0)
      expect(map.size).toBeLessThanOrEqual(200)
    }
    expect(map.get('name-1')).toBeUndefined()
    expect(map.get('name-9999')).toBe(9999)
  })

  it('drops what nobody asked for after two ages at most', () => {
    const clock = { at: 0 }
    const map = createFreshMap<number>(100, 1000, () => clock.at)
    map.set('idle', 1)
    map.set('busy', 2)
    for (clock.at = 100; clock.at <= 2000; clock.at += 100) expect(map.get('busy')).toBe(2)
    expect(map.get('idle')).toBeUndefined()
    clock.at += 100_000
    expect(map.get('busy')).toBeUndefined()
    expect(map.size).toBe(0)
  })
})
