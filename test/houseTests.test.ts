// Tests do not fail by chance: what they draw has a seed, and property tests draw through one module that gives them theirs.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const folder = fileURLToPath(new URL('./', import.meta.url))
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
  (name) => name.endsWith('.ts') && !name.includes('houseTests'),
)
const filesWith = (pattern: RegExp, but: RegExp): string[] =>
  files.filter((name) => !but.test(name) && pattern.test(readFileSync(folder + name, 'utf8')))

it('property tests take fast-check from support/seededCheck.ts', () => {
  expect(files.length).toBeGreaterThan(150)
  expect(filesWith(/from 'fast-check'/, /seededCheck/)).toEqual([])
})

it('no test draws without a seed: support/draws.ts has the same numbers in every run', () => {
  // Storms of the soak run for hours, and are to meet something else each time.
  expect(filesWith(/Math\.random\(/, /^soak\//)).toEqual([])
})
