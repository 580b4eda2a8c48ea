// docs/resilience.md shows the failure table that the gateway decides by.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { parseConfig } from '../src/config/load.ts'
import { parseScript } from '../src/simulator/script.ts'
import { faultTable } from './support/faultTable.ts'
import { withFailureTable } from './support/resilienceDoc.ts'

const page = readFileSync(new URL('../docs/resilience.md', import.meta.url), 'utf8')

describe('docs/resilience.md', () => {
  it('has the failure table of today (npx tsx test/support/writeResilienceDoc.ts)', () => {
    expect(page).toBe(withFailureTable(page))
  })

  it('counts the faults of the matrix as they are', () => {
    expect(page).toContain(`${faultTable.length} faults ×`)
    expect(page).toContain(`${faultTable.length * 12} cells`)
  })

  it('rehearses with a configuration and with scripts that are valid', () => {
    const [, rehearsal] = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block]) => block!)
    expect([...parseConfig(rehearsal!, { env: {}, version: 1 }).snapshot.routes.keys()]).toEqual(['chat'])
    expect(() => parse(page.match(/```yaml\n([\s\S]*?)```/)![1]!)).not.toThrow()
    const scripts = [...page.matchAll(/(?:`|')(\{(?:"tokens": 12, )?"fault": .*?\}\})(?:`|')/g)].map(
      ([, text]) => text!,
    )
    expect(scripts.length).toBeGreaterThan(5)
    for (const text of scripts) expect(() => parseScript(JSON.parse(text))).not.toThrow()
  })
})
