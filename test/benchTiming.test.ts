// What the bench's micro-timings call, and how often.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it, vi } from 'vitest'
import { timeFunction } from '../bench/measure/timing.ts'
import { createLog } from '../src/telemetry/log.ts'

const folder = mkdtempSync(join(tmpdir(), 'turnout-timing-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

it('no line of a log that is timed is dropped: that would be another work', async () => {
  const file = join(folder, 'log.txt')
  const log = createLog({ level: 'info', file })
  const line = {
    ...{
      id: 'req_1',
      route: 'chat',
      model: 'chat',
      target: 'up/a',
      provider: 'up',
      servedModel: 'a',
      lane: 'identity',
    },
    ...{ dialect: 'openai-chat', stream: false, status: 200, outcome: 'ok', attempts: 1, durationMs: 3.2, config: 1 },
  } as const
  let calls = 0
  const work = () => {
    calls++
    log.request(line)
  }
  await timeFunction(work, { rest: log.flush })
  await log.flush()
  expect(calls).toBeGreaterThan(50_000)
  expect(log.dropped).toBe(0)
  expect(readFileSync(file, 'latin1').split('\n')).toHaveLength(calls + 1)
})

it('what rests take is not the time of the calls', async () => {
  let now = 0
  let rests = 0
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now)
  const work = () => {
    now += 0.02
  }
  const rest = async () => {
    rests++
    now += 1000
  }
  const timing = await timeFunction(work, { rest, per: 2 })
  clock.mockRestore()
  expect(timing.micros).toBeCloseTo(10)
  expect(timing.spread).toBeCloseTo(0)
  expect(rests).toBeGreaterThan(15)
})
