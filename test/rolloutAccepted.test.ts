// What an operator has gone on after does not pause again: also not after a restart, for it follows from the events.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { bitOf } from '../src/rollouts/index.ts'
import type { Live } from '../src/state/rollouts/live.ts'
import { Rollouts } from '../src/state/rollouts/rollouts.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { openRollouts } from '../src/store/rollouts.ts'

const { snapshot } = parseConfig(
  `
providers: { up: { kind: openai, apiKey: sk-test-upstream-0000000000 } }
routes: { chat: up/old }
rollouts:
  move:
    route: chat
    canary: up/new
    assign: { unit: request }
    steps: [ { setWeight: 50 }, { pause: { duration: 1h } }, { setWeight: 60 }, { pause: { duration: 1h } } ]
    guards:
      abort: [ { metric: late_error } ]
      signal: [ { metric: truncated, maxRatio: 1 }, { metric: refused, maxRatio: 1 } ]
`,
  { env: {}, version: 1 },
)
const by = { actor: 'test', reason: 'test' }

let folder: string
let store: Store
let rollouts: Rollouts
let live: Live
let troubles: string[]

/** As after the death of a process: memory is gone, and the evidence comes again from elsewhere. */
const open = (): void => {
  const trouble = (text: string) => void troubles.push(text)
  rollouts = new Rollouts({ keeper: openRollouts(store), snapshot: () => snapshot, trouble })
  live = rollouts.find('move')!
}

beforeEach(async () => {
  troubles = []
  folder = mkdtempSync(join(tmpdir(), 'turnout-accepted-'))
  store = openStore({ file: join(folder, 'turnout.db') })
  open()
  await rollouts.create(snapshot.rollouts.get('move')!, { ...by, origin: 'file' })
  await rollouts.command('move', { ...by, verb: 'start', cause: 'operator' })
  open()
})
afterEach(async () => {
  await rollouts.close()
  store.close()
  rmSync(folder, { recursive: true })
})

/** So many replies of either arm in turn; those of the canary are bad. */
function serve(metric: 'truncated' | 'refused', requests = 40): void {
  const { evidence } = live.trial!
  for (let n = 0; n < requests; n++) {
    const now = Date.now()
    const ticket = evidence.admit({ now, bucket: n % 2 === 0 ? 0 : 2 ** 32 - 1, weightPpm: 500_000 })
    evidence.begin(ticket, now, undefined)
    evidence.end(ticket, now, { bits: ticket.canary ? bitOf(metric) : 0 })
  }
}

/** What the clock leads to. */
async function tick(): Promise<string> {
  rollouts.tick()
  await rollouts.settled()
  return live.state.phase
}
const resume = (): Promise<Live> => rollouts.command('move', { ...by, verb: 'resume', cause: 'operator' })

describe('a cause of a pause', () => {
  it('pauses once, and after a restart not again', async () => {
    serve('truncated')
    expect(await tick()).toBe('paused')
    expect(live.state).toMatchObject({ cause: 'signal', reason: expect.stringMatching(/^truncated: /) })
    await resume()
    expect(await tick()).toBe('stepping')
    open()
    expect(live.trial!.accepted.causes).toEqual(['truncated'])
    serve('truncated')
    expect(await tick()).toBe('stepping')
    // Another one does.
    serve('refused')
    expect(await tick()).toBe('paused')
    expect(live.state.reason).toMatch(/^refused: /)
  })

  it('is remembered where the restart comes before the operator', async () => {
    serve('truncated')
    expect(await tick()).toBe('paused')
    open()
    serve('truncated')
    expect(live.trial!.accepted.causes).toEqual([])
    await resume()
    expect(live.trial!.accepted.causes).toEqual(['truncated'])
    expect(await tick()).toBe('stepping')
  })

  it('that somebody has overtaken is no trouble', async () => {
    serve('truncated')
    const paused = rollouts.command('move', { ...by, verb: 'pause', cause: 'operator' })
    expect(await tick()).toBe('paused')
    await paused
    expect([live.state.cause, troubles]).toEqual(['operator', []])
    // It is found again as soon as it goes on.
    await resume()
    expect([await tick(), live.state.cause]).toEqual(['paused', 'signal'])
  })

  it('is none where somebody paused by hand', async () => {
    await rollouts.command('move', { ...by, verb: 'pause', cause: 'operator' })
    await resume()
    open()
    expect(live.trial!.accepted.causes).toEqual([])
    serve('truncated')
    expect(await tick()).toBe('paused')
  })

  it('of an assignment at fault is remembered, too', async () => {
    // All of the canary's: not the half that it was given.
    const lean = (): void => {
      for (let n = 0; n < 60; n++) {
        const ticket = live.trial!.evidence.admit({ now: Date.now(), bucket: 0, weightPpm: 500_000 })
        live.trial!.evidence.begin(ticket, Date.now(), undefined)
        live.trial!.evidence.end(ticket, Date.now(), { bits: 0 })
      }
    }
    lean()
    expect(await tick()).toBe('paused')
    expect(live.state.cause).toBe('srm')
    await rollouts.command('move', { ...by, verb: 'promote', cause: 'operator' })
    expect(live.state).toMatchObject({ phase: 'stepping', weightPpm: 600_000 })
    open()
    lean()
    expect(await tick()).toBe('stepping')
  })

  it('counts for its attempt alone', async () => {
    serve('truncated')
    await tick()
    await resume()
    await rollouts.command('move', { ...by, verb: 'abort', cause: 'operator' })
    await rollouts.command('move', { ...by, verb: 'retry', cause: 'operator' })
    expect(live.trial!.accepted.causes).toEqual([])
    open()
    expect(live.trial!.accepted.causes).toEqual([])
    serve('truncated')
    expect(await tick()).toBe('paused')
  })
})
