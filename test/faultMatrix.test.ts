// The fault matrix: every way to fail × JSON and stream × three kinds of upstream × alone and with a fallback, against the rules of one table.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import type { StoredAttempt } from '../src/store/requestRead.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { dataOf, type Exchange, eventsOf, post } from './support/exchange.ts'
import { type FaultRow, faultTable, RETRY_AFTER, type Verdict, type WireName, wireNames } from './support/faultTable.ts'
import { type NowhereServers, startNowhere, vendorAt } from './support/faultyVendors.ts'
import { type RecordedGateway, startRecordedGateway } from './support/recordedGateway.ts'

const ATTEMPTS = 3
const retries = { attempts: ATTEMPTS, baseDelay: '5ms', maxDelay: '1s', budget: 10 }
/** For whatever is not about time: never reached. */
const enough = { connect: '90s', firstToken: '90s', idle: '90s', total: '120s' }
/** Milliseconds within which a cell is over: three waits of the longest limit of its fault, with room for a busy machine. */
const NO_HANG = 60_000
const UNHEALTHY_FOR = 300_000
const ANSWER = 'The line is clear.'

interface Cell {
  row: FaultRow
  wire: WireName
  stream: boolean
  fallback: boolean
  /** Route, and base of the ids of its targets. */
  name: string
}

const cells: Cell[] = wireNames.flatMap((wire) =>
  [false, true].flatMap((stream) =>
    faultTable.flatMap((row, index) =>
      [false, true].map((fallback) => ({
        row,
        wire,
        stream,
        fallback,
        name: `${wire}-${index}${stream ? '-stream' : '-json'}${fallback ? '-two' : '-one'}`,
      })),
    ),
  ),
)

let simulator: Simulator
let nowhere: NowhereServers
let gateway: RecordedGateway
const warnings: string[] = []
const onWarning = ({ message }: Error): void => void warnings.push(message)

beforeAll(async () => {
  process.on('warning', onWarning)
  nowhere = await startNowhere()
  const scripts = Object.fromEntries(
    cells.flatMap(({ name, row }) => [
      [name, typeof row.at === 'string' ? {} : row.at],
      [`${name}-b`, { text: ANSWER }],
    ]),
  )
  simulator = await startSimulator({ scripts })
  gateway = await startRecordedGateway({
    providers: Object.fromEntries(
      wireNames.flatMap((wire) =>
        Object.entries({ ...nowhere.urls, vendor: simulator.url }).map(([at, url]) => [
          `${wire}-${at}`,
          vendorAt(wire, url),
        ]),
      ),
    ),
    targets: Object.fromEntries(
      cells.flatMap(({ name, row, wire }) => {
        const provider = `${wire}-${typeof row.at === 'string' ? row.at : 'vendor'}`
        const failing = { provider, model: name, timeouts: { ...enough, ...row.timeouts } }
        return [
          [`${name}-a`, failing],
          [`${name}-b`, { provider: `${wire}-vendor`, model: `${name}-b` }],
        ]
      }),
    ),
    routes: Object.fromEntries(
      cells.map(({ name, fallback }) => [
        name,
        { targets: fallback ? [`${name}-a`, `${name}-b`] : [`${name}-a`], retries, timeouts: enough },
      ]),
    ),
  })
}, 300_000)

afterAll(async () => {
  process.off('warning', onWarning)
  await gateway?.close()
  await simulator?.close()
  await nowhere?.close()
})

/** How often the failing target is asked, and whether the other one answers in its place. */
function expectedCourse({ fallback }: Cell, verdict: Verdict): { asked: number; rescued: boolean } {
  if (verdict.committed || verdict.helps === 'nobody') return { asked: 1, rescued: false }
  if (fallback) return { asked: 1, rescued: true }
  return { asked: verdict.helps === 'same' && !verdict.impatient ? ATTEMPTS : 1, rescued: false }
}

const kindFor = ({ wire }: Cell, verdict: Verdict): string => verdict.named?.[wire] ?? verdict.kind

for (const wire of wireNames) {
  for (const stream of [false, true]) {
    describe(`${wire} upstream, ${stream ? 'stream' : 'JSON'}`, () => {
      const own = cells.filter((cell) => cell.wire === wire && cell.stream === stream)
      it.concurrent.each(
        own.map((cell) => [cell.row.name, cell.fallback ? 'with a fallback' : 'single target', cell] as const),
      )('%s, %s', async (_fault, _setup, cell) => {
        const verdict = stream ? cell.row.stream : cell.row.json
        const { asked, rescued } = expectedCourse(cell, verdict)
        const begin = Date.now()
        const reply = await post(`${gateway.url}${CHAT}`, ask(cell.name, { stream, max_tokens: 100 }))

        expect(reply.endMs).toBeLessThan(NO_HANG)
        expect([reply.complete, reply.error]).toEqual([true, undefined])
        if (rescued) expectAnswer(cell, reply)
        else if (verdict.committed) expectBrokenStream(reply)
        else expectError(cell, verdict, reply)
        expect(reply.headers['x-turnout-attempts']).toBe(verdict.committed ? '1' : String(asked + (rescued ? 1 : 0)))
        expect(reply.headers['x-turnout-target']).toBe(`${cell.name}-${rescued ? 'b' : 'a'}`)
        expectCalls(cell, asked, rescued)
        expectBreakers(cell, verdict, asked, begin)
        await expectRows(cell, verdict, { asked, rescued, reply })
      })
    })
  }
}

describe('afterwards', () => {
  it('nothing is left over: no request in flight, no upstream call still running, sums that add up', async () => {
    expect(gateway.metrics.inFlight).toBe(0)
    await simulator.waitFor(() => simulator.totals().running === 0)
    expect(gateway.notes.filter((note) => JSON.stringify(note).includes('fault of the gateway'))).toEqual([])
    expect((await gateway.reader.verify()).problems).toEqual([])
    // Hundreds of targets, each with a breaker: none of that is Node's to warn about.
    expect(warnings.filter((text) => text.includes('listeners'))).toEqual([])
  })
})

/** The fallback's whole answer, as if nothing had been. */
function expectAnswer(cell: Cell, reply: Exchange): void {
  expect([reply.status, reply.headers['x-turnout-error']]).toEqual([200, undefined])
  if (!cell.stream) {
    const { choices } = JSON.parse(reply.text)
    expect([choices[0].message.content, choices[0].finish_reason]).toEqual([ANSWER, 'stop'])
    return
  }
  const events = eventsOf(reply.text)
  expect(events.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(ANSWER)
  expect(events.some(({ error }) => error !== undefined)).toBe(false)
  expect(dataOf(reply.text).at(-1)).toBe('[DONE]')
}

/** Content, then one error frame, and nothing after it. */
function expectBrokenStream(reply: Exchange): void {
  expect(reply.status).toBe(200)
  expect(reply.text).not.toContain('[DONE]')
  expect(reply.text).not.toContain(ANSWER)
  const data = reply.text.split('\n').filter((line) => line.startsWith('data: '))
  const events = data.map((line) => JSON.parse(line.slice(6)))
  expect(events.filter(({ choices }) => choices?.[0]?.delta.content)).not.toEqual([])
  expect(events.filter(({ choices }) => choices?.[0]?.finish_reason)).toEqual([])
  expect(events.map(({ error }) => error !== undefined)).toEqual([...events.slice(1).map(() => false), true])
  expectErrorShape(events.at(-1))
}

/** An error status in the client's own shape. */
function expectError(cell: Cell, verdict: Verdict, reply: Exchange): void {
  expect([reply.status, reply.headers['x-turnout-error']]).toEqual([verdict.status, kindFor(cell, verdict)])
  expect(reply.headers['content-type']).toMatch(/^application\/json/)
  expectErrorShape(JSON.parse(reply.text))
  expect(reply.headers['retry-after']).toBe(verdict.impatient ? String(RETRY_AFTER) : undefined)
}

function expectErrorShape(body: { error: Record<string, unknown>; choices?: unknown }): void {
  expect(Object.keys(body.error)).toEqual(expect.arrayContaining(['message', 'type', 'param', 'code']))
  expect(body.error.message).toEqual(expect.stringMatching(/./))
  expect(body.error.type).toEqual(expect.stringMatching(/./))
  expect(body.choices).toBeUndefined()
}

/** What the vendor saw of it, which no header of ours can gloss over. */
function expectCalls(cell: Cell, asked: number, rescued: boolean): void {
  const calls = simulator.calls.map(({ model }) => model)
  const reached = typeof cell.row.at !== 'string'
  expect(calls.filter((model) => model === cell.name)).toHaveLength(reached ? asked : 0)
  expect(calls.filter((model) => model === `${cell.name}-b`)).toHaveLength(rescued ? 1 : 0)
}

function expectBreakers(cell: Cell, verdict: Verdict, asked: number, begin: number): void {
  const { health } = gateway.turnout
  const report = health.report(`${cell.name}-a`)
  if (verdict.blame === 'gone') {
    expect(report).toMatchObject({ state: 'open', reason: kindFor(cell, verdict) })
    expect(report.until).toBeGreaterThanOrEqual(begin + UNHEALTHY_FOR)
    expect(report.until).toBeLessThanOrEqual(Date.now() + UNHEALTHY_FOR)
  } else {
    expect(report).toMatchObject({ state: 'closed', consecutive: verdict.blame === 'fault' ? asked : 0 })
    if (verdict.blame === 'fault') expect(report.lastFault?.kind).toBe(kindFor(cell, verdict))
  }
  expect(health.report(`${cell.name}-b`)).toMatchObject({ state: 'closed', consecutive: 0, lastFault: undefined })
}

async function expectRows(
  cell: Cell,
  verdict: Verdict,
  { asked, rescued, reply }: { asked: number; rescued: boolean; reply: Exchange },
): Promise<void> {
  const kind = kindFor(cell, verdict)
  const { request, attempts } = await gateway.rowsOf(String(reply.headers['x-request-id']))
  expect(request).toMatchObject({
    route: cell.name,
    stream: cell.stream ? 1 : 0,
    status: reply.status,
    outcome: rescued ? 'ok' : verdict.committed ? 'partial' : 'failed',
    error: rescued ? '' : kind,
    attempts: attempts.length,
  })
  expect(attempts.map(({ target, reason, fault }) => [target, reason, fault])).toEqual([
    ...Array.from({ length: asked }, (_, n) => [`${cell.name}-a`, n === 0 ? 'first' : 'retry', kind]),
    ...(rescued ? [[`${cell.name}-b`, 'fallback', '']] : []),
  ])
  for (const attempt of attempts) expectAttempt(cell, verdict, attempt)
  expect(request.tokens_out).toBe(attempts.reduce((sum, { output, reasoning }) => sum + output + reasoning, 0))
}

function expectAttempt({ wire, row }: Cell, verdict: Verdict, attempt: StoredAttempt): void {
  expect(attempt.lane).toBe(wire === 'openai' ? 'identity' : 'hub')
  if (attempt.reason === 'fallback') {
    expect(attempt).toMatchObject({ status: 200, finish: 'stop', estimated: 0 })
    expect(attempt.output).toBeGreaterThan(0)
    return
  }
  // What the client saw was generated, and is billed; before the first content nothing was.
  if (verdict.committed) expect([attempt.output > 0, attempt.status]).toEqual([true, 200])
  else if (typeof row.at === 'string' || row.name === 'slow headers' || row.name === 'reset')
    expect([attempt.output, attempt.status]).toEqual([0, 0])
  else if (row.at.fault?.kind === 'status') expect([attempt.output, attempt.status]).toEqual([0, verdict.status])
  else expect(attempt.status).toBe(200)
}
