// Who has got a reply finds its row in the next question, whatever holds the database at that moment.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { lockDatabase } from './support/crash/dbLock.ts'
import { type Scene, startScene } from './support/scene.ts'

let scene: Scene
beforeAll(async () => {
  scene = await startScene((document) => {
    document.trace = { sample: 1 }
  })
})
afterAll(() => scene.close())

it.each([
  ['the request', (id: string) => `/requests/${id}`],
  ['the list of requests', () => '/requests?limit=1'],
  ['its trace', (id: string) => `/traces/${id}`],
  ['the list of traces', () => '/traces?limit=1'],
  ['the rows of its user', () => '/users/alice/records'],
])('finds %s although another program holds the database when it asks', async (_, pathOf) => {
  const lock = await lockDatabase(scene.running.turnout.snapshot.ledger.file)
  try {
    const reply = await scene.chat('healthy', { user: 'alice' })
    expect(reply.status).toBe(200)
    const id = String(reply.headers['x-request-id'])
    // Its rows are in the journal alone.
    expect((await scene.scrape()).get('turnout_ledger_journal_rows')).toBeGreaterThan(0)
    const asked = scene.admin('GET', pathOf(id))
    // Any other answer of the gateway comes behind the question, which by then waits for the lock.
    expect((await scene.admin('GET', '/models/health')).status).toBe(200)
    lock.release()
    const answer = await asked
    expect(answer.status).toBe(200)
    expect(answer.text).toContain(id)
  } finally {
    lock.close()
  }
})

it('counts it in the next report', async () => {
  const requests = async (): Promise<number> =>
    JSON.parse((await scene.admin('GET', '/spend?by=route')).text).total.requests
  const before = await requests()
  const lock = await lockDatabase(scene.running.turnout.snapshot.ledger.file)
  try {
    expect((await scene.chat('healthy')).status).toBe(200)
    const asked = requests()
    expect((await scene.admin('GET', '/models/health')).status).toBe(200)
    lock.release()
    expect(await asked).toBe(before + 1)
  } finally {
    lock.close()
  }
})
