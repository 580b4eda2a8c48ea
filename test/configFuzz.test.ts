// Whatever text a configuration file holds, loading ends with a snapshot or with a ConfigError that points somewhere in it.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: such references are part of what is tried.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { ConfigError } from '../src/config/problem.ts'
import { resolveModel } from '../src/config/resolve.ts'
import fc from './support/seededCheck.ts'

const example = readFileSync(new URL('../examples/production.yaml', import.meta.url), 'utf8')
const lines = example.split('\n')
const pieces = [
  '${X}',
  '${',
  '}',
  ': ',
  '- ',
  '{',
  '[',
  ']',
  '*a',
  '&a ',
  '!x ',
  '"',
  "'",
  '|',
  '\t',
  '__proto__',
  'null',
  '1e999',
  '~',
  '<<',
  '\u0000',
  '#',
  '$${',
  '\n',
]

function loads(text: string): 'loaded' | 'refused' {
  try {
    const { snapshot } = parseConfig(text, { file: 'f.yaml', env: { X: 'x' }, version: 1 })
    resolveModel(snapshot, 'gpt-4o')
    return 'loaded'
  } catch (error) {
    if (!(error instanceof ConfigError))
      throw new Error(`not a ConfigError for ${JSON.stringify(text)}`, { cause: error })
    expect(error.problems.length).toBeGreaterThan(0)
    const last = text.split(/\r\n|\n|\r/).length
    for (const { line, column, message } of error.problems) {
      expect(line).toBeLessThanOrEqual(last)
      expect(line === 0).toBe(column === 0)
      expect(message).not.toBe('')
    }
    return 'refused'
  }
}

test('a mutated example', () => {
  const edit = fc.record({
    line: fc.nat(lines.length - 1),
    at: fc.nat(40),
    cut: fc.nat(12),
    put: fc.constantFrom('', ...pieces),
  })
  const seen = { loaded: 0, refused: 0 }
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
      const text = [...lines]
      for (const { line, at, cut, put } of edits) {
        text[line] = text[line]!.slice(0, at) + put + text[line]!.slice(at + cut)
      }
      seen[loads(text.join('\n'))]++
    }),
    { seed: 3, numRuns: 400 },
  )
  expect(seen.refused).toBeGreaterThan(25)
})

test('any JSON value at any of the known places', () => {
  const path = fc.constantFrom(
    'server',
    'log',
    'dataDir',
    'providers',
    'targets',
    'routes',
    'keys',
    'directModels',
    '__proto__',
  )
  fc.assert(
    fc.property(fc.dictionary(path, fc.jsonValue({ maxDepth: 4 })), (document) => {
      loads(JSON.stringify(document))
    }),
    { seed: 5, numRuns: 400 },
  )
})

test('names that mean something to JavaScript are names like any other, or refused', () => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    const text = `providers: { ollama: , vllm: }\nroutes:\n  ${name}: [ollama/x, vllm/y]\n  other: [ollama/x, vllm/y]\n`
    if (loads(text) === 'refused') continue
    const { snapshot } = parseConfig(text, { file: 'f.yaml', env: {}, version: 1 })
    expect([...snapshot.routes.keys()], name).toEqual([name, 'other'])
  }
})

test('deep nesting is refused, not crashed on', () => {
  expect(loads(`params: ${'['.repeat(20_000)}`)).toBe('refused')
  expect(loads(`params: ${'['.repeat(3000)}${']'.repeat(3000)}`)).toBe('refused')
})
