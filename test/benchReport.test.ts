// What the bench's budget, its comparison and its goals make of a run's figures.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { type Figures, flatten, type LatencyRow, type PeakRow } from '../bench/figures.ts'
import { compare } from '../bench/report/comparison.ts'
import { goalSection } from '../bench/report/goals.ts'

const folder = mkdtempSync(join(tmpdir(), 'turnout-report-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const unmeasured = { p50: Number.NaN, p99: Number.NaN, p999: undefined }
const latency: LatencyRow = {
  ...{ work: 'json', contender: 'turnout', rate: 4000, samples: 0, wrong: 3, voids: ['wrong: 3 x connection lost'] },
  ...{ own: unmeasured, direct: unmeasured, added: unmeasured, firstByteAdded: unmeasured },
  ...{ addedP50: [], cpuPerRequest: [], lag: 0 },
}
const hub: PeakRow = {
  ...{
    work: 'hub-stream',
    contender: 'turnout',
    rounds: 0,
    perSecond: [],
    eventsPerSecond: [],
    ratio: [],
    cpuRatio: [],
  },
  ...{ cpuPerRequest: [700, 720, 760], cpuPerEvent: [3.5, 3.6, 3.8], twinCpuRatio: [], beyondPipe: [1, 1.2, 5] },
  ...{ roughTwin: false, roughCpu: true, firstByte: [], wrong: 0, voids: [], voidPerSecond: 1000, loadBusy: 1 },
}
const figuresOf = (part: Partial<Figures>): Figures => ({
  ...{ machine: {} as never, command: '', upstreams: '', seconds: 1, absent: {} },
  ...{ peak: [], latency: [], memory: [], start: [], ...part },
})

const fileOf = (name: string, figures: Figures): string => {
  const file = join(folder, name)
  writeFileSync(file, JSON.stringify(figures))
  return file
}

describe('the budget of the bench', () => {
  it('takes no latency that nothing measured for 0 ms, which would keep to it', () => {
    const figures = figuresOf({ latency: [latency] })
    expect(flatten(figures)).toEqual({})
    expect(flatten(JSON.parse(JSON.stringify(figures)))).toEqual({})
    const { code, text } = compare([fileOf('void.json', figures)])
    expect(text).toMatch(/json\.turnout\.addedP50 .* – +not measured/)
    expect(text).not.toContain('holds')
    expect(code).toBe(1)
  })

  it('is kept by what is within it, and broken by one figure that is not', () => {
    const start = (startMs: number) => figuresOf({ start: [{ contender: 'turnout', startMs: [startMs] }] })
    expect(compare([fileOf('fast.json', start(500))]).code).toBe(0)
    expect(compare([fileOf('slow.json', start(700))])).toMatchObject({
      code: 1,
      text: expect.stringContaining('BROKEN'),
    })
  })
})

describe('the comparison of two runs', () => {
  const run = (ratio: number) => figuresOf({ peak: [{ ...hub, work: 'json', ratio: [ratio, ratio] }] })

  it('finds ratios that are apart', () => {
    const [one, two] = [fileOf('one.json', run(0.5)), fileOf('two.json', run(0.6))]
    expect(compare([one, two])).toMatchObject({ code: 1, text: expect.stringContaining('APART') })
    expect(compare([one, two, '--within', '25']).code).toBe(0)
    const program = join(import.meta.dirname, '../bench/compare.ts')
    const { status, stdout } = spawnSync(process.execPath, ['--import', 'tsx', program, one, two], { encoding: 'utf8' })
    expect({ status, stdout }).toEqual({ status: 1, stdout: expect.stringContaining('APART') })
  })

  it('refuses a bound that is no number: nothing would be apart', () => {
    const [one, two] = [fileOf('one.json', run(0.5)), fileOf('two.json', run(0.9))]
    expect(compare([one, two, '--within', 'twenty']).code).toBe(2)
  })
})

describe('the goals', () => {
  const rowsOf = (row: PeakRow) =>
    goalSection(figuresOf({ peak: [row] })).rows.filter(([text]) => text?.includes('translated event'))

  it('mark a figure of void rounds as one, also where it is met', () => {
    expect(rowsOf(hub).map((row) => row.slice(2))).toEqual([
      ['~3.60', '~yes'],
      ['~2.10', '~yes'],
    ])
    expect(rowsOf({ ...hub, roughCpu: false }).map((row) => row.at(-1))).toEqual(['yes', 'yes'])
  })

  it('have the middle that the tables have', () => {
    const figures = figuresOf({ peak: [{ ...hub, roughCpu: false }] })
    expect(flatten(figures)['hub-stream.turnout.beyondPipe']).toBeCloseTo(2.1)
  })
})
