// Answers that outlive the process, through the whole program: restarts, kills, tenants, removal, and switching it on and off.
import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { type Running, run } from '../src/cli/run.ts'
import { loadDriver } from '../src/store/driver.ts'
import { restoreFrom } from '../src/store/restore.ts'
import { markOf, speak } from './support/cacheGateway.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { type Exchange, eventsOf, get, post, send } from './support/exchange.ts'
import { type FakeUpstream, startFakeUpstream } from './support/fakeUpstream.ts'
import { upstreamAt } from './support/gateway.ts'
import { endTurnout, said, startTurnout } from './support/turnoutProcess.ts'

type Json = Record<string, unknown>

const keyOf = (name: string): string => `sk-test-${name}-0123456789`
const bearer = (name: string): Record<string, string> => ({ authorization: `Bearer ${keyOf(name)}` })

interface Scene {
  readonly folder: string
  readonly file: string
  readonly upstream: FakeUpstream
  readonly config: string
  /** Writes the document anew. */
  write(cache: Json, routes?: Json): void
  start(): Promise<Running>
}

async function startScene(): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-persist-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const upstream = await startFakeUpstream(speak((_, n) => `a long answer number ${n}`))
  onTestFinished(() => upstream.close())
  const config = join(folder, 'turnout.yaml')
  const write = (cache: Json, routes: Json = {}): void => {
    const document = {
      server: { port: 0 },
      dataDir: join(folder, 'data'),
      log: { level: 'info', file: join(folder, 'turnout.log') },
      providers: { p: upstreamAt(upstream.url) },
      routes: { m: { targets: ['p/m'], cache: true }, other: { targets: ['p/m'], cache: true }, ...routes },
      prices: { '*': { input: 1, output: 5 } },
      keys: [
        { name: 'ops', key: keyOf('ops'), role: 'admin' },
        { name: 'web', key: keyOf('web') },
        { name: 'shop', key: keyOf('shop') },
      ],
      cache,
    }
    writeFileSync(config, JSON.stringify(document))
  }
  write({ persist: true })
  return {
    folder,
    file: join(folder, 'data', 'cache.db'),
    upstream,
    config,
    write,
    async start() {
      const running = await run({ config })
      onTestFinished(async () => void (await running.stop()))
      await running.turnout.cache.load()
      return running
    },
  }
}

const chat = ({ server }: Running, more: Json = {}, key = 'web'): Promise<Exchange> =>
  post(`${server.url}${CHAT}`, ask(String(more.model ?? 'm'), { temperature: 0, ...more }), bearer(key))

const content = ({ text }: Exchange): string => JSON.parse(text).choices[0].message.content

const streamed = ({ text }: Exchange): string =>
  eventsOf(text)
    .map(({ choices }) => choices[0]?.delta.content ?? '')
    .join('')

it('a restart keeps answers, each for whom it was bought, and their age', async () => {
  const { file, upstream, start } = await startScene()
  const first = await start()
  const bought = await chat(first)
  const live = await chat(first, { seed: 2, stream: true })
  expect([bought, live].map(markOf)).toEqual(['miss', 'miss'])
  await first.stop()
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const bytes = readFileSync(file)
  // Answers are in the file; of questions there is only the digest.
  expect(bytes.includes('a long answer number 1')).toBe(true)
  expect(bytes.includes('"messages"')).toBe(false)

  const second = await start()
  const hit = await chat(second)
  expect([markOf(hit), content(hit)]).toEqual(['hit', 'a long answer number 1'])
  expect(hit.headers['x-turnout-target']).toBe(bought.headers['x-turnout-target'])
  const again = await chat(second, { seed: 2, stream: true })
  expect([markOf(again), streamed(again)]).toEqual(['hit', 'a long answer number 2'])
  expect(markOf(await chat(second, {}, 'shop'))).toBe('miss')
  expect(markOf(await chat(second, { model: 'other' }))).toBe('miss')
  expect(upstream.requests).toHaveLength(4)
  const { text } = await get(`${second.server.url}/admin/cache/stats`, bearer('ops'))
  expect(JSON.parse(text).disk).toMatchObject({ working: true, read: 2, damaged: 0, size_bytes: 64 * 1024 ** 2 })
})

it('a key made in a restored database gets no answer of the one whose number it has', async () => {
  const { folder, start } = await startScene()
  const store = join(folder, 'data', 'turnout.db')
  const backup = join(folder, 'backup.db')
  const buy = async (running: Running, name: string): Promise<string | undefined> => {
    const made = await post(`${running.server.url}/admin/keys`, { name }, bearer('ops'))
    const { id, secret } = JSON.parse(made.text)
    expect(id).toBe('key_1')
    const headers = { authorization: `Bearer ${secret}` }
    return markOf(await post(`${running.server.url}${CHAT}`, ask('m', { temperature: 0 }), headers))
  }
  await (await start()).stop()
  copyFileSync(store, backup)
  const first = await start()
  expect(await buy(first, 'one')).toBe('miss')
  await first.stop()
  restoreFrom(backup, store)
  const second = await start()
  const { text } = await get(`${second.server.url}/admin/cache/stats`, bearer('ops'))
  expect(JSON.parse(text).disk).toMatchObject({ read: 1 })
  expect(await buy(second, 'another')).toBe('miss')
})

it('kill -9 keeps what was written', async () => {
  const { folder, config, upstream, start } = await startScene()
  const child = startTurnout(['serve', '--config', config], { cwd: folder })
  const url = /listens on (\S+)/.exec(await said(child, 'stderr', /listens on \S+/))![1]!
  const kept = (n: number): Promise<Exchange> => post(`${url}${CHAT}`, ask('m', { seed: n }), bearer('web'))
  for (let n = 0; n < 30; n++) await kept(n)
  const written = async (): Promise<number> =>
    JSON.parse((await get(`${url}/admin/cache/stats`, bearer('ops'))).text).disk.written
  while ((await written()) < 30) await turn()
  await endTurnout(child, 'SIGKILL')
  const running = await start()
  for (let n = 0; n < 30; n++) {
    const hit = await chat(running, { seed: n, temperature: undefined })
    expect([markOf(hit), content(hit)]).toEqual(['hit', `a long answer number ${n + 1}`])
  }
  expect(upstream.requests).toHaveLength(30)
})

it('what is removed is removed from the disk: by an operator, and what was answered to a user who is to be forgotten', async () => {
  const { file, start } = await startScene()
  const first = await start()
  await chat(first, { seed: 1, user: 'alice' })
  await chat(first, { seed: 2, user: 'bob' })
  await chat(first, { seed: 3, model: 'other' })
  await first.turnout.cache.disk!.flushed()
  const { url } = first.server
  const gone = await post(`${url}/admin/users/erase`, { user: 'alice' }, bearer('ops'))
  expect(JSON.parse(gone.text)).toMatchObject({ requests: 1, answers: 1 })
  expect(readFileSync(file).includes('answer number 1')).toBe(false)
  const unknown = await send('DELETE', `${url}/admin/cache?route=othr`, undefined, bearer('ops')).done
  expect([unknown.status, unknown.text]).toEqual([404, expect.stringContaining("There is no route 'othr'.")])
  const cleared = await send('DELETE', `${url}/admin/cache?route=other`, undefined, bearer('ops')).done
  expect(JSON.parse(cleared.text)).toMatchObject({ removed: 1, removed_from_disk: 1 })
  expect(readFileSync(file).includes('answer number 3')).toBe(false)
  expect(readFileSync(file).includes('answer number 2')).toBe(true)
  await first.stop()
  const second = await start()
  expect(markOf(await chat(second, { seed: 2 }))).toBe('hit')
  expect(markOf(await chat(second, { seed: 1 }))).toBe('miss')
  expect(markOf(await chat(second, { seed: 3, model: 'other' }))).toBe('miss')
  const all = await send('DELETE', `${second.server.url}/admin/cache`, undefined, bearer('ops')).done
  expect(JSON.parse(all.text)).toMatchObject({ removed: 3 })
  expect(second.turnout.cache.disk!.entries).toBe(0)
  expect(readFileSync(file).includes('answer number')).toBe(false)
})

const canaried = { m: { targets: ['p/m'], cache: true, canary: { target: 'p/next', percent: 100, unit: 'request' } } }
const stableArm = { 'x-turnout-arm': 'stable', ...bearer('ops') }
const abort = ({ url }: { url: string }): Promise<Exchange> =>
  post(`${url}/admin/rollouts/canary:m/abort`, { reason: 'test' }, bearer('ops'))
const again = ({ server }: Running): Promise<Exchange> =>
  send('PUT', `${server.url}/admin/routes/m/canary`, JSON.stringify({ percent: 100 }), {
    'content-type': 'application/json',
    ...bearer('ops'),
  }).done
const models = ({ requests }: FakeUpstream): string[] =>
  requests.map(({ body }) => JSON.parse(body.toString()).model as string)

it('what a canary said is dropped from the disk when its rollout is aborted, and nothing else', async () => {
  const { write, upstream, start } = await startScene()
  write({ persist: true }, canaried)
  const first = await start()
  await chat(first, { seed: 1 })
  await chat(first, { seed: 2, model: 'other' })
  await post(`${first.server.url}${CHAT}`, ask('m', { seed: 3 }), stableArm)
  expect(models(upstream)).toEqual(['next', 'm', 'm'])
  await first.turnout.cache.disk!.flushed()
  expect(first.turnout.cache.disk!.entries).toBe(3)
  const { url } = first.server
  const aborted = await post(`${url}/admin/rollouts/canary:m/abort`, { reason: 'test' }, bearer('ops'))
  expect(aborted.status).toBe(200)
  await first.stop()
  const second = await start()
  expect([second.turnout.cache.entries, second.turnout.cache.disk!.entries]).toEqual([2, 2])
  expect(markOf(await chat(second, { seed: 2, model: 'other' }))).toBe('hit')
  expect(markOf(await chat(second, { seed: 1 }))).toBe('miss')
})

it('what a canary said is not taken up where the process before ended between the abort and the removal', async () => {
  const { file, write, upstream, start } = await startScene()
  write({ persist: true }, canaried)
  const first = await start()
  await chat(first, { seed: 1 })
  await chat(first, { seed: 2, model: 'other' })
  await first.stop()
  // As long as somebody has the file nothing can be taken out of it: what is on the disk stays as it was before the abort.
  const holder = new (loadDriver())(file)
  holder.exec('BEGIN EXCLUSIVE')
  const second = await start()
  expect((await abort(second.server)).status).toBe(200)
  await second.stop()
  holder.close()

  const third = await start()
  expect(third.turnout.cache.entries).toBe(1)
  expect((await again(third)).status).toBe(200)
  const anew = await chat(third, { seed: 1 })
  expect([markOf(anew), content(anew)]).toEqual(['miss', 'a long answer number 3'])
  expect(models(upstream).at(-1)).toBe('next')
  expect(markOf(await chat(third, { seed: 2, model: 'other' }))).toBe('hit')
  // Once they are gone, what comes after is kept.
  await third.stop()
  const fourth = await start()
  expect(markOf(await chat(fourth, { seed: 1 }))).toBe('hit')
})

it('nor after kill -9 right behind an abort', async () => {
  const { folder, config, write, start } = await startScene()
  write({ persist: true }, canaried)
  const child = startTurnout(['serve', '--config', config], { cwd: folder })
  const url = /listens on (\S+)/.exec(await said(child, 'stderr', /listens on \S+/))![1]!
  for (let n = 0; n < 20; n++) await post(`${url}${CHAT}`, ask('m', { seed: n }), bearer('web'))
  const written = async (): Promise<number> =>
    JSON.parse((await get(`${url}/admin/cache/stats`, bearer('ops'))).text).disk.written
  while ((await written()) < 20) await turn()
  expect((await abort({ url })).status).toBe(200)
  await endTurnout(child, 'SIGKILL')
  const running = await start()
  expect((await again(running)).status).toBe(200)
  for (let n = 0; n < 20; n++) expect(markOf(await chat(running, { seed: n, temperature: undefined }))).toBe('miss')
})

it('it is switched on and off while it runs, and off leaves no file', async () => {
  const { file, write, start } = await startScene()
  write({})
  const running = await start()
  const { cache } = running.turnout
  await chat(running, { seed: 1 })
  expect(cache.disk).toBeUndefined()
  write({ persist: true, diskSize: '2MB' })
  await running.reload()
  while (!cache.disk) await turn()
  await chat(running, { seed: 2 })
  await cache.disk.flushed()
  expect([cache.disk.entries, cache.disk.size]).toEqual([1, 2 * 1024 ** 2])
  write({ persist: true, diskSize: '3MB' })
  await running.reload()
  while (cache.disk.size !== 3 * 1024 ** 2) await turn()
  write({ persist: false })
  await running.reload()
  while (statSync(file, { throwIfNoEntry: false })) await turn()
  expect(cache.disk).toBeUndefined()
  expect(markOf(await chat(running, { seed: 2 }))).toBe('hit')
})

it('a file that an earlier process left is deleted where answers are no longer kept', async () => {
  const { file, write, start } = await startScene()
  const first = await start()
  await chat(first)
  await first.stop()
  expect(statSync(file).size).toBeGreaterThan(0)
  write({})
  const second = await start()
  expect(statSync(file, { throwIfNoEntry: false })).toBeUndefined()
  expect(markOf(await chat(second))).toBe('miss')
})

it('a damaged file is an empty cache and a line in the log', async () => {
  const { file, folder, start } = await startScene()
  const first = await start()
  await chat(first)
  await first.stop()
  writeFileSync(file, 'no database at all')
  const second = await start()
  expect(markOf(await chat(second))).toBe('miss')
  expect(markOf(await chat(second))).toBe('hit')
  await second.stop()
  const lines = readFileSync(join(folder, 'turnout.log'), 'utf8')
  expect(lines).toMatch(/"event":"cache".*the response cache's file is begun anew: .*cache\.db/)
  const third = await start()
  expect(markOf(await chat(third))).toBe('hit')
})
