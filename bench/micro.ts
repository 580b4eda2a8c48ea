// Times single functions of the hot path in process: where a change of one of them shows first.
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parseConfig } from '../src/config/load.ts'
import { resolveModel } from '../src/config/resolve.ts'
import { hasIdentityLane } from '../src/dialects/dialect.ts'
import { dialects } from '../src/dialects/index.ts'
import { scanFields } from '../src/dialects/splice.ts'
import { FrameSplitter } from '../src/dialects/sse.ts'
import { createLog } from '../src/telemetry/log.ts'
import { createMetrics } from '../src/telemetry/metrics.ts'
import { armCases } from './armCases.ts'
import { budgetCases } from './budgetCases.ts'
import { cacheCases } from './cacheCases.ts'
import { foldCases } from './foldCases.ts'
import { makeFolder } from './folders.ts'
import { keyCases } from './keyCases.ts'
import { limitCases } from './limitCases.ts'
import { pinSelf, readMachine } from './machine.ts'
import { timeFunction } from './measure/timing.ts'
import { type Case, survivalCases, translateCases } from './microCases.ts'
import { showNumber } from './report/sections.ts'
import { showTable } from './report/terminal.ts'
import { rolloutCases } from './rolloutCases.ts'
import { settleCases } from './settleCases.ts'
import { makeBody, makeFrames, makeReply } from './wire.ts'

const { values } = parseArgs({ options: { only: { type: 'string', multiple: true, default: [] } } })

const dialect = dialects.get('openai-chat')!
const { inbound, outbound } = dialect
if (!inbound || !outbound || !hasIdentityLane(outbound)) throw new Error('openai-chat has no identity lane')
const limits = { maxDepth: 128, maxMessages: 10_000 }
const edits = { stripUsage: false, choices: 1, quirks: [] }
const model = 'bench-model-2025-08-07'

const bodies = [1, 100, 400].map((kilobytes) => ({ kilobytes, body: makeBody('bench-small', kilobytes * 1024) }))
const streamBody = inbound.inspect(makeBody('bench-fast', 1024, { includeUsage: false }), limits)
const replies = [820, 8192].map((bytes) => makeReply(bytes))
const asked = Buffer.concat(makeFrames(200, true))
const plain = Buffer.concat(makeFrames(200, false))

/** A stream cut as a busy socket gives it: ten events a piece. */
const pieces = (stream: Buffer): Buffer[] => {
  const size = Math.ceil(stream.length / 20)
  return Array.from({ length: 20 }, (_, i) => stream.subarray(i * size, (i + 1) * size))
}
const split = (parts: readonly Buffer[], each: (buffer: Buffer, start: number, end: number) => void) => {
  const splitter = new FrameSplitter()
  for (const part of parts) splitter.split(part, each)
}
const tap = (parts: readonly Buffer[], stripUsage: boolean) => {
  const one = outbound.tap({ ...edits, stripUsage })
  split(parts, (buffer, start, end) => one.take(buffer, start, end))
  return one
}

const { snapshot } = parseConfig(
  JSON.stringify({
    providers: { up: { kind: 'openai', apiKey: 'sk-test-upstream-0000000000' } },
    routes: Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`route-${i}`, `up/${model}`])),
    keys: Array.from({ length: 100 }, (_, i) => ({ name: `key-${i}`, key: `sk-test-other-key-number-${i}` })),
  }),
  { env: {}, version: 1 },
)
const metrics = createMetrics()
const log = createLog({ level: 'info', file: join(makeFolder('micro'), 'log.txt') })

const cases: Case[] = [
  ...bodies.flatMap(({ kilobytes, body }): Case[] => {
    const inspected = inbound.inspect(body, limits)
    return [
      { name: `JSON.parse of a ${kilobytes} KB request: the floor`, work: () => JSON.parse(body.toString()) },
      { name: `inspect ${kilobytes} KB`, work: () => inbound.inspect(body, limits) },
      { name: `  of it: scan for top-level fields, ${kilobytes} KB`, work: () => scanFields(body, 0, limits.maxDepth) },
      {
        name: `patch (splice model) ${kilobytes} KB`,
        work: () => outbound.patch(inspected, { model, askUsage: false }),
      },
    ]
  }),
  { name: 'patch (model and usage) 1 KB', work: () => outbound.patch(streamBody, { model, askUsage: true }) },
  ...replies.map(
    (reply): Case => ({
      name: `judge a whole reply of ${reply.length} bytes`,
      work: () => outbound.whole(reply, edits),
    }),
  ),
  { name: 'split frames, per event', work: () => split(pieces(plain), () => {}), per: 200 },
  { name: 'split and tap, per event', work: () => tap(pieces(plain), false), per: 200 },
  { name: 'split and tap with "usage":null passed, per event', work: () => tap(pieces(asked), false), per: 200 },
  { name: 'split and tap with usage stripped, per event', work: () => tap(pieces(asked), true), per: 200 },
  ...keyCases(snapshot),
  { name: 'route lookup among 200', work: () => resolveModel(snapshot, 'route-150') },
  {
    name: 'metrics of one request',
    work: () => {
      metrics.requestStarted()
      metrics.attemptEnded({ target: 'up/a', outcome: 'ok', durationMs: 3 })
      metrics.requestEnded({
        route: 'route-1',
        target: 'up/a',
        status: 200,
        outcome: 'ok',
        durationMs: 3,
        overheadMs: 0.2,
        stream: false,
      })
    },
  },
  {
    // The write itself is not in it: that is made beside the event loop, for 64 lines at once.
    name: 'one log line, up to its write',
    rest: log.flush,
    work: () =>
      log.request({
        id: '0123456789abcdef',
        route: 'route-1',
        model: 'route-1',
        target: 'up/a',
        provider: 'up',
        servedModel: model,
        dialect: 'openai-chat',
        lane: 'identity',
        stream: false,
        status: 200,
        outcome: 'ok',
        attempts: 1,
        durationMs: 3.21,
        overheadMs: 0.2,
        inputTokens: 200,
        outputTokens: 90,
        finish: 'stop',
        config: 1,
        key: 'bench',
      }),
  },
  ...settleCases(),
  ...survivalCases(),
  ...rolloutCases(),
  ...armCases(),
  ...(await foldCases()),
  ...cacheCases(),
  ...limitCases(),
  ...budgetCases(),
  ...translateCases(),
]

pinSelf(readMachine())
const rows: string[][] = []
for (const { name, work, per, rest } of cases) {
  if (values.only.length > 0 && !values.only.some((part) => name.includes(part))) continue
  const timing = await timeFunction(work, { per, rest })
  rows.push([name, showNumber(timing.micros), `±${Math.round(timing.spread * 100)}%`])
}
console.log(showTable({ title: 'single functions, in process', header: ['what', 'µs', 'half range'], rows, notes: [] }))
metrics.close()
await log.flush()
