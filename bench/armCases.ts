// The micro-timings of everything that a running rollout does for one request, from the choice of its arm to the columns of its row.
import { parseConfig } from '../src/config/load.ts'
import type { StoredRollout } from '../src/config/rolloutTypes.ts'
import { UpstreamFault } from '../src/dialects/errors.ts'
import { type Assigning, assign } from '../src/gateway/arm.ts'
import { armBegan, armEnded, armFailed } from '../src/gateway/armEvents.ts'
import { rolloutFacts } from '../src/gateway/armOutcome.ts'
import type { Attempt, Call } from '../src/gateway/call.ts'
import { unitHasher } from '../src/gateway/unitHash.ts'
import type { UnitKind } from '../src/rollouts/index.ts'
import { Live } from '../src/state/rollouts/live.ts'
import { Traffic } from '../src/state/rollouts/traffic.ts'
import { benchRollout } from './benchRollout.ts'
import type { Case } from './microCases.ts'

/** What of a request says who it is. */
type Teller = (n: number) => { headers?: object; wire?: object; key?: string }

const secret = Buffer.alloc(32, 7)
const inFlight = 200

/** Texts are made anew each time, as a parser does: one that was looked for before has its hash already. */
const fresh = (texts: readonly string[]): ((n: number) => string) => {
  const bytes = texts.map((text) => Buffer.from(text))
  return (n) => bytes[n % bytes.length]!.latin1Slice()
}

const setUp = (unit: UnitKind) => {
  const { snapshot } = parseConfig(
    JSON.stringify({
      providers: { up: { kind: 'openai', apiKey: 'sk-test-upstream-0000000000' } },
      routes: { chat: { targets: ['up/gpt-4.1', 'up/gpt-4.1-mini'] } },
    }),
    { env: {}, version: 1 },
  )
  const at = Date.now()
  const state = { revision: 3, phase: 'stepping', step: 0, weightPpm: 50_000, attempt: 1, attemptRevision: 2 }
  const live = new Live({
    id: 1,
    definition: benchRollout(unit, 'up/gpt-4.1-mini'),
    specHash: '',
    seed: '5f0a7c31b2d4e689',
    origin: 'toggle',
    createdBy: 'bench',
    createdAt: at,
    state: { ...state, stepRevision: 2, attemptAt: at, since: at, cause: 'operator', reason: '', updatedAt: at },
  } as unknown as StoredRollout)
  const traffic = new Traffic()
  traffic.rebuild([live])
  const assigning: Assigning = {
    traffic,
    hashUnit: unitHasher(secret),
    random: Math.random,
  }
  return { snapshot, route: snapshot.routes.get('chat')!, moved: traffic.of('chat')!, assigning }
}

/** @param faulty every so manieth request fails on both arms alike; 0 = none */
const pass = (unit: UnitKind | undefined, tell: Teller, faulty = 0): (() => unknown) => {
  const { snapshot, route, moved, assigning } = setUp(unit ?? 'request')
  const waiting: Call[] = []
  const fault = new UpstreamFault('server_error', 'The bench says so.')
  let n = 0
  return () => {
    n++
    const { headers = {}, wire = {}, key } = tell(n)
    const call = {
      number: n,
      snapshot,
      route,
      req: { headers },
      inspected: { wire, ask: { stream: true } },
      key: key === undefined ? undefined : { name: key },
      attempts: [],
      assigned: undefined,
      outcome: 'ok',
    } as unknown as Call
    if (unit) call.assigned = assign(call, moved, assigning).assigned
    waiting.push(call)
    if (waiting.length <= inFlight) return undefined
    // Replies come in another order than requests.
    const place = (n * 31) % inFlight
    const over = waiting[place]!
    waiting[place] = waiting.pop()!
    return unit ? settle(over, faulty > 0 && n % faulty === 0 ? fault : undefined, n) : over
  }
}

function settle(call: Call, fault: UpstreamFault | undefined, n: number): unknown {
  const size = 200 + ((n * 31) % 500)
  const { first: target } = call.assigned!
  const attempt = { target, n: 1, startedAt: 0, endedAt: size, fault, facts: { finish: 'stop' } } as unknown as Attempt
  attempt.bill = { nanoUsd: size * 1000, usage: { output: size, reasoning: 0, audioOut: 0 } } as Attempt['bill']
  call.attempts.push(attempt)
  if (fault) armFailed(call, target, fault)
  else armBegan(call, attempt)
  armEnded(call)
  return rolloutFacts(call)
}

export const armCases = (): Case[] => {
  const keys = fresh(Array.from({ length: 20 }, (_, i) => `team-${i}`))
  const users = Array.from({ length: 100_000 }, (_, i) => `5d1f0c8e-77aa-4c11-9d3e-${String(i).padStart(12, '0')}`)
  const few = fresh(users.slice(0, 2000))
  const many = fresh(users)
  const system = fresh(['You are a careful assistant of a shop for bicycles. '.repeat(58).slice(0, 3000)])
  const openings = fresh(Array.from({ length: 5000 }, (_, i) => `Order ${i}: `.padEnd(500, 'where is my parcel? ')))
  const one = fresh(['bench'])
  const spoken: Teller = (n) => ({
    key: one(0),
    wire: {
      messages: [
        { role: 'system', content: system(0) },
        { role: 'user', content: openings((n * 7919) >>> 4) },
      ],
    },
  })
  const named: Teller = (n) => ({ wire: { user: few(n * 7919) } })
  const told: Teller = (n) => ({ headers: { 'x-session-id': many((n * 7919) >>> 2) } })
  const keyed: Teller = (n) => ({ key: keys(n * 7) })
  const rows: [string, UnitKind, Teller][] = [
    ['request', 'request', () => ({})],
    ['key (of 20)', 'key', keyed],
    ['user (of 2,000)', 'user', named],
    ['user (of 100,000)', 'user', (n) => ({ wire: { user: many(n * 7919) } })],
    ['conversation by header', 'conversation', told],
    ['conversation by its opening of 3.5 KB', 'conversation', spoken],
  ]
  return rows.flatMap(([what, unit, tell]): Case[] => [
    { name: `arm: a request without a rollout, as told by ${what}`, work: pass(undefined, tell) },
    { name: `arm: unit = ${what}`, work: pass(unit, tell) },
    { name: `arm: unit = ${what}, 2 % errors`, work: pass(unit, tell, 50) },
  ])
}
