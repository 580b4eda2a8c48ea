// GET /admin/keys in pages, however many keys there are and whatever becomes of them meanwhile; the command line shows all.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ControlGateway, keys, startControl } from './support/control.ts'
import { runTurnout } from './support/turnoutProcess.ts'

const COUNT = 1_050

let gateway: ControlGateway
const ids: number[] = []
beforeAll(async () => {
  gateway = await startControl()
  for (let n = 0; n < COUNT; n++)
    ids.push((await gateway.running.keyring.create({ name: `app-${n}`, disabled: false })).key.id)
})
afterAll(() => gateway.close())

interface Page {
  data: { id: string; name: string }[]
  has_more: boolean
  next_cursor: string | null
}

const page = async (query = ''): Promise<Page> => (await gateway.ask('GET', `/keys${query}`, undefined, 'viewer')).body

it('begins with a page of a hundred, oldest first, and says that there are more', async () => {
  const first = await page()
  expect(first.data.map(({ name }) => name)).toEqual(Array.from({ length: 100 }, (_, n) => `app-${n}`))
  expect([first.has_more, typeof first.next_cursor]).toEqual([true, 'string'])
  const second = await page(`?cursor=${first.next_cursor}`)
  expect(second.data[0]!.name).toBe('app-100')
})

it('goes through all of them, each once, while some are changed, taken away and made', async () => {
  const seen: string[] = []
  let cursor = ''
  let pages = 0
  do {
    const { data, has_more: more, next_cursor: next } = await page(`?limit=150${cursor}`)
    expect(data.length).toBeLessThanOrEqual(150)
    expect(more).toBe(next !== null)
    seen.push(...data.map(({ name }) => name))
    if (pages++ === 1) {
      // One that was shown, one that is to come, and one that is changed: it stays where it was.
      await gateway.ask('DELETE', '/keys/app-10')
      await gateway.ask('DELETE', '/keys/app-900')
      await gateway.ask('PATCH', '/keys/app-20', { team: 'red' })
      await gateway.ask('POST', '/keys', { name: 'late' })
    }
    cursor = next === null ? '' : `&cursor=${next}`
  } while (cursor !== '')
  expect(pages).toBe(7)
  const expected = Array.from({ length: COUNT }, (_, n) => `app-${n}`).filter((name) => name !== 'app-900')
  expect(seen).toEqual([...expected, 'late'])
})

it('ends with the last page, and takes nothing else for a page', async () => {
  const all = await page('?limit=1000')
  expect([all.data.length, all.has_more]).toEqual([1000, true])
  const rest = await page(`?limit=1000&cursor=${all.next_cursor}`)
  expect([rest.data.length, rest.has_more, rest.next_cursor]).toEqual([COUNT + 1 - 2 - 1000, false, null])
  for (const query of ['?limit=0', '?limit=1001', '?limit=x', '?cursor=x', '?page=2'])
    expect((await gateway.ask('GET', `/keys${query}`)).status, query).toBe(400)
})

it('turnout keys list shows all pages', { timeout: 300_000 }, async () => {
  const place = { cwd: gateway.folder, env: { TURNOUT_URL: gateway.url, TURNOUT_MASTER_KEY: keys.viewer } }
  const { code, out, err } = await runTurnout(['keys', 'list', '--json'], place)
  expect([code, err]).toEqual([0, ''])
  expect(JSON.parse(out).data).toHaveLength(COUNT - 1)
  expect(JSON.parse(out).data.at(-1).name).toBe('late')
  const shown = await runTurnout(['keys', 'list'], place)
  expect(shown.out.trim().split('\n')).toHaveLength(COUNT)
})
