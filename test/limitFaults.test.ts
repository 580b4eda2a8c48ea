// Case C32 in the fault matrix: every way to fail × JSON and stream × three kinds of upstream × alone, with a fallback, and with a client
// that leaves, each on a route with one slot. The slot is there again afterwards.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Simulator, startSimulator } from '../src/simulator/index.ts'
import { ask, CHAT } from './support/chatBodies.ts'
import { post, send } from './support/exchange.ts'
import { type FaultRow, faultTable, type WireName, wireNames } from './support/faultTable.ts'
import { type NowhereServers, startNowhere, vendorAt } from './support/faultyVendors.ts'
import { startGateway, type TestGateway } from './support/gateway.ts'

const enough = { connect: '10s', firstToken: '10s', idle: '10s', total: '15s' }

interface Cell {
  row: FaultRow
  wire: WireName
  name: string
}

const cells: Cell[] = wireNames.flatMap((wire) =>
  faultTable.map((row, index) => ({ row, wire, name: `${wire}-${index}` })),
)
const setups = ['one', 'two'] as const

let simulator: Simulator
let nowhere: NowhereServers
let gateway: TestGateway

beforeAll(async () => {
  nowhere = await startNowhere()
  simulator = await startSimulator({
    scripts: Object.fromEntries(cells.map(({ name, row }) => [name, typeof row.at === 'string' ? {} : row.at])),
  })
  gateway = await startGateway({
    providers: Object.fromEntries(
      wireNames.flatMap((wire) =>
        Object.entries({ ...nowhere.urls, vendor: simulator.url }).map(([at, url]) => [
          `${wire}-${at}`,
          vendorAt(wire, url),
        ]),
      ),
    ),
    // Every request gets as far as the fault: no breaker, one try.
    breaker: { failures: 1_000_000, percent: 100, volume: 1_000_000, unhealthyFor: '1ms', openFor: '1ms' },
    targets: Object.fromEntries(
      cells.map(({ name, row, wire }) => [
        name,
        {
          provider: `${wire}-${typeof row.at === 'string' ? row.at : 'vendor'}`,
          model: name,
          timeouts: { ...enough, ...row.timeouts },
        },
      ]),
    ),
    routes: Object.fromEntries(
      cells.flatMap(({ name, wire }) =>
        setups.map((setup) => [
          `${name}-${setup}`,
          { targets: setup === 'one' ? [name] : [name, `${wire}-vendor/sim-fast`], timeouts: enough },
        ]),
      ),
    ),
    limits: { slots: { per: 'route', concurrency: 1 } },
  })
}, 300_000)

afterAll(async () => {
  await gateway?.close()
  await simulator?.close()
  await nowhere?.close()
})

const statesOf = (route: string): number => {
  const { snapshot, limits } = gateway.turnout
  const [state] = limits.states([{ setting: snapshot.limits[0]!, entity: route }])
  return state!.limit - state!.remaining
}

for (const wire of wireNames) {
  describe(`${wire} upstream`, () => {
    const own = cells.filter((cell) => cell.wire === wire)
    it.concurrent.each(own.map((cell) => [cell.row.name, cell] as const))('C32 %s', async (_fault, { name }) => {
      for (const setup of setups) {
        const route = `${name}-${setup}`
        for (const stream of [false, true]) {
          const reply = await post(gateway.url + CHAT, ask(route, { stream, max_tokens: 100 }))
          expect(reply.headers['x-turnout-error']).not.toBe('rate_limit_exceeded')
          expect(reply.complete).toBe(true)
          expect(statesOf(route)).toBe(0)
        }
        let answered = false
        const left = send('POST', gateway.url + CHAT, ask(route, { stream: true, max_tokens: 100 }))
        void left.done.then(() => {
          answered = true
        })
        // Leaves as soon as it is in, if it is not answered before.
        while (statesOf(route) === 0 && !answered) await new Promise((resolve) => setImmediate(resolve))
        left.request.destroy()
        await left.done
        const again = await leaving(route)
        expect(again.headers['x-turnout-error']).not.toBe('rate_limit_exceeded')
        expect(statesOf(route)).toBe(0)
      }
    })
  })
}

/** The gateway learns that its client has left a moment after the client does. */
async function leaving(route: string) {
  while (statesOf(route) > 0) await new Promise((resolve) => setImmediate(resolve))
  return post(gateway.url + CHAT, ask(route, { max_tokens: 100 }))
}

describe('afterwards', () => {
  it('C32 no slot is in use and nobody waits', () => {
    // With a limit of slots alone, what is remembered are slots in use.
    expect(gateway.turnout.limits.size).toEqual({ entities: 0, waiting: 0 })
    expect(gateway.metrics.inFlight).toBe(0)
    expect(gateway.lines.filter(({ limit }) => limit !== undefined)).toEqual([])
    expect(gateway.lines.filter(({ outcome }) => outcome === 'client_disconnected').length).toBeGreaterThan(0)
    expect(gateway.notes.filter((note) => JSON.stringify(note).includes('fault of the gateway'))).toEqual([])
  })
})
