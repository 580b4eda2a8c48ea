// Where the bench keeps cores awake, and where it does not say so.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { canStayAwake, keepAwake } from '../bench/awake.ts'
import { spend } from '../bench/measure/window.ts'

const folder = mkdtempSync(join(tmpdir(), 'turnout-awake-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('cores of the bench', () => {
  it('are not said to stay awake where the kernel has no file for that, and none is made', async () => {
    const absent = join(folder, 'absent')
    expect(canStayAwake(absent)).toBe(false)
    expect(await keepAwake(async () => 'done', absent)).toBe('done')
    expect(existsSync(absent)).toBe(false)
  })

  it('are kept awake by no latency at all, in binary', async () => {
    const file = join(folder, 'latency')
    writeFileSync(file, '')
    expect(canStayAwake(file)).toBe(true)
    expect([...(await keepAwake(async () => readFileSync(file), file))]).toEqual([0, 0, 0, 0])
  })
})

describe('patience', () => {
  it('pays once for time that was spent within time that is spent', async () => {
    let now = 0
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now)
    const patience = { seconds: 100 }
    await spend(patience, async () => {
      now += 5_000
      await spend(patience, async () => {
        now += 20_000
      })
      expect(patience.seconds).toBe(80)
    })
    clock.mockRestore()
    expect(patience.seconds).toBe(75)
  })
})
