// The reference in docs/configuration.md names every key, variable and kind that there is, with the default that is used.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { configJsonSchema } from '../src/config/jsonSchema.ts'
import { foreignFields } from '../src/providers/history.ts'
import { providerKinds } from '../src/providers/index.ts'
import { metrics } from '../src/rollouts/index.ts'

const text = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8')
const rows = text.split('\n').filter((line) => line.startsWith('| `'))

interface Field {
  name: string
  fallback: unknown
}

/** Every key of the schema with its default, however deep. */
function fieldsIn(node: unknown): Field[] {
  if (typeof node !== 'object' || node === null) return []
  const { properties } = node as { properties?: Record<string, { default?: unknown }> }
  const own = Object.entries(properties ?? {}).map(([name, field]) => ({ name, fallback: field.default }))
  return [...own, ...Object.values(node).flatMap(fieldsIn)]
}

describe('docs/configuration.md', () => {
  const fields = fieldsIn(configJsonSchema())
  const sections = Object.keys(configJsonSchema().properties as object)

  test('has a row or a heading for every key', () => {
    expect(fields.length).toBeGreaterThan(40)
    for (const section of sections) expect(text).toContain(`### \`${section}\``)
    for (const { name } of fields) {
      if (!sections.includes(name))
        expect(
          rows.some((row) => row.startsWith(`| \`${name}\` |`)),
          name,
        ).toBe(true)
    }
  })

  test('speaks of no key or value that there is not', () => {
    const ofOthers = ['generationConfig', 'systemInstruction', 'generateContent', 'terminationGracePeriodSeconds']
    const words = [...text.matchAll(/`([a-z]+[A-Z]\w*)`/g)].map(([, word]) => word!)
    const schema = JSON.stringify(configJsonSchema())
    expect(words.filter((word) => !ofOthers.includes(word) && !schema.includes(`"${word}"`))).toEqual([])
  })

  test('states the defaults that the schema states', () => {
    for (const { name, fallback } of fields) {
      if (fallback === undefined || sections.includes(name)) continue
      expect(
        rows.some((row) => row.startsWith(`| \`${name}\` | \`${String(fallback)}\` |`)),
        `${name}: ${fallback}`,
      ).toBe(true)
    }
  })

  test('names what a guard may look at, and nothing else', () => {
    const row = rows.find((line) => line.startsWith('| `metric` |'))!
    const [, , , meaning] = row.split('|')
    expect([...meaning!.matchAll(/`(\w+)`/g)].map(([, name]) => name).sort()).toEqual([...metrics].sort())
  })

  test('names every kind of provider and every variable that it reads', () => {
    for (const { name, keyEnv, baseUrlEnv = [], apiVersionEnv = [] } of providerKinds.values()) {
      const row = rows.find((line) => line.startsWith(`| \`${name}\` |`) && line.split('|').length === 6)
      expect(row, name).toBeDefined()
      for (const variable of [...keyEnv, ...baseUrlEnv, ...apiVersionEnv]) expect(row).toContain(`\`${variable}\``)
    }
  })

  test('shows which kind of vendor refuses which field of a message', () => {
    const models = { openai: 'gpt-5', azure: 'gpt-5', mistral: 'mistral-large', groq: 'llama' }
    const refused = Object.entries(models).map(([kind, model]) => providerKinds.get(kind)!.refuses!(model).fields)
    const shown = rows.filter((row) => /(left out|stays?) \|$/.test(row)).map((row) => row.split('|').slice(1, -1))
    for (const field of foreignFields.filter((name) => name !== 'index')) {
      const row = shown.find(([names]) => names!.includes(`\`${field}\``))!
      const [ofOpenAI, ...others] = row.slice(1).map((cell) => cell.includes('left out'))
      expect([field, ofOpenAI, ofOpenAI, ...others]).toEqual([field, ...refused.map((list) => list.includes(field))])
    }
  })

  test('holds YAML that can be read', () => {
    const blocks = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block]) => block!)
    expect(blocks.length).toBeGreaterThan(2)
    for (const block of blocks) expect(() => parse(block)).not.toThrow()
  })
})
