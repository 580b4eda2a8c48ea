// Variables in parsed scalars: what is replaced, what never is, and that no value changes the structure.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: such references are what is tested.

import { describe, expect, test } from 'vitest'
import { readDocument } from '../src/config/document.ts'
import { type Env, interpolate } from '../src/config/interpolation.ts'
import { parseConfig } from '../src/config/load.ts'
import { ConfigError } from '../src/config/problem.ts'
import fc from './support/seededCheck.ts'

describe('one scalar', () => {
  const env: Env = { A: 'one', B: 'two', EMPTY: '', TRICK: '${A}' }
  test.each([
    ['${A}', 'one', true],
    ['x${A}y${B}', 'xoneytwo', false],
    ['${EMPTY}', '', true],
    ['${EMPTY:-d}', 'd', true],
    ['${NONE:-d}', 'd', true],
    ['${NONE:-}', '', true],
    ['${A:-d}', 'one', true],
    ['${NONE:-${B}}', 'two', true],
    ['${NONE:-${ALSO:-${A}}!}', 'one!', true],
    ['${A:-${UNSET}}', 'one', true],
    ['$${A}', '${A}', false],
    ['$$${A}', '$${A}', false],
    ['$A {A} $ {A} $', '$A {A} $ {A} $', false],
    ['${TRICK}', '${A}', true],
    ['${NONE:-a:-b}', 'a:-b', true],
    ['}${A}{', '}one{', false],
  ])('%s', (text, value, whole) => {
    expect(interpolate(text, env)).toEqual({ value, whole, missing: [], fault: undefined })
  })

  test.each(['${}', '${1A}', '${A B}', '${A', '${A:d}', '${A:-', '${A-b}'])('%s is told of', (text) => {
    expect(interpolate(text, env).fault).toEqual(expect.any(String))
  })

  test('every missing variable is named', () => {
    expect(interpolate('${X} ${Y} ${X:-${Z}}', env).missing).toEqual(['X', 'Y', 'Z'])
  })
})

describe('in a document', () => {
  const data = (text: string, env: Env) => readDocument(text, env).document.data

  test.each([
    'a: b',
    '\n- x\n',
    '{ z: 1 }',
    '" # \' }',
    '*alias',
    '&anchor',
    '!!int 3',
    '${OTHER}',
    '[1, 2]',
    '~',
    'true',
    '- a\n- b\nkey: value',
    '\u0000\u2028',
  ])('a value %j stays one piece of text', (value) => {
    const text = 'plain: ${V}\nquoted: "${V}"\nflow: { one: ${V}, list: [${V}, b] }\nblock: |\n  x ${V}\nlast: 1\n'
    expect(data(text, { V: value, OTHER: 'no' })).toEqual({
      plain: value,
      quoted: value,
      flow: { one: value, list: [value, 'b'] },
      block: `x ${value}\n`,
      last: 1,
    })
  })

  test('any value whatever', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        expect(data('a: { b: ${V} }\nc: ["x${V}"]\nd: ${V:-e}', { V: value })).toEqual({
          a: { b: value },
          c: [`x${value}`],
          d: value === '' ? 'e' : value,
        })
      }),
      { seed: 7, numRuns: 500 },
    )
  })

  test('references in flow collections need no quotes, defaults with commas, colons and references included', () => {
    const text = '{ a: ${A}, b: [${B:-x, y}, ${C:-http://h:1/v1}, ${D:-${E:-[z]}}], c: $${A} }'
    expect(data(text, { A: '1' })).toEqual({ a: '1', b: ['x, y', 'http://h:1/v1', '[z]'], c: '${A}' })
  })

  test('keys and comments are left alone', () => {
    const { document, problems } = readDocument('# ${NONE}\n${A}: 1 # ${NONE}\n"${B}": 2\n', { A: 'x' })
    expect(problems).toEqual([])
    expect(document.data).toEqual({ '${A}': 1, '${B}': 2 })
  })

  test('places stay true beside references', () => {
    const { document } = readDocument('a: [${A}, ${A:-,}]\nb: ${A}\n', { A: 'long value, longer than the name' })
    expect(document.locate(['b'])).toEqual({ line: 2, column: 4 })
    expect(document.locate(['a', 1])).toEqual({ line: 1, column: 11 })
    const flow = readDocument('a: { x: ${A}, y: 5 }\n', { A: 'long value, longer than the name' }).document
    expect(flow.locate(['a', 'y'])).toEqual({ line: 1, column: 18 })
  })

  test('anchors, aliases and merge keys are interpolated once and located where they are written', () => {
    const text = 'base: &b { k: ${A}, l: 2 }\nuse: { <<: *b, m: 3 }\nsame: *b\n'
    const { document } = readDocument(text, { A: '$${B} ${B}', B: 'no' })
    const k = '$${B} ${B}'
    expect(document.data).toEqual({ base: { k, l: 2 }, use: { k, l: 2, m: 3 }, same: { k, l: 2 } })
    expect(document.locate(['use', 'l'])).toEqual({ line: 1, column: 24 })
    expect(document.locate(['same', 'k'])).toEqual({ line: 1, column: 15 })
    expect(document.origin(['use', 'k'])).toBe('variable')
  })

  test('a text that holds the private characters is read as it is', () => {
    expect(data('a: "\uF8D0${A}\uF8D6"', { A: 'x' })).toEqual({ a: '\uF8D0x\uF8D6' })
  })
})

describe('numbers and booleans from variables', () => {
  const yaml = (port: string) => `
server: { port: ${port} }
directModels: \${DIRECT}
providers: { openai: }
targets: { t: { provider: openai, model: "\${MODEL}", timeouts: { idle: \${IDLE}, total: \${TOTAL} } } }
routes: { r: t }
`
  const env = { PORT_: '4321', DIRECT: 'true', MODEL: '42', IDLE: '1500', TOTAL: '2m', OPENAI_API_KEY: 'k' }
  const load = (text: string, given: Env = env) => parseConfig(text, { file: 'f.yaml', env: given, version: 1 })

  test('become what the schema wants, and text stays text', () => {
    const { snapshot } = load(yaml('${PORT_}'))
    expect(snapshot.server.port).toBe(4321)
    expect(snapshot.directModels).toBe(true)
    const target = snapshot.targets.get('t')!
    expect(target.model).toBe('42')
    expect(target.timeouts).toMatchObject({ idle: 1500, total: 120_000 })
  })

  test('also where the schema has words of its own, or takes a block as well', () => {
    const text = `
providers: { ollama: }
routes: { r: { targets: [ollama/a, ollama/b], cache: "\${CACHE}", canary: { target: ollama/c, percent: "\${SHARE}" } } }
rollouts: { m: { route: r, canary: ollama/c, steps: [{ setWeight: "\${SHARE}" }, { pause: {} }] } }
`
    const { routes, rollouts } = load(text, { CACHE: 'true', SHARE: '2.5' }).snapshot
    expect(routes.get('r')).toMatchObject({ cache: { scope: 'key' }, canary: { percent: 2.5 } })
    expect(rollouts.get('m')!.course.steps[0]).toEqual({ kind: 'weight', ppm: 25_000 })
    expect(() => load(text, { CACHE: 'on', SHARE: '2.5' })).toThrow(/expected true or false or a block of keys/)
    expect(() => load(text, { CACHE: 'false', SHARE: 'much' })).toThrow(/expected a number from 0 to 100/)
  })

  test('but only where the scalar is one variable and nothing else', () => {
    for (const port of ['"4321"', '4${PORT_}', '"${PORT_} "']) expect(() => load(yaml(port))).toThrow(ConfigError)
    expect(() => load(yaml('${PORT_}'), { ...env, PORT_: '4321x' })).toThrow(/server\.port/)
    expect(() => load(yaml('${PORT_}'), { ...env, DIRECT: 'yes' })).toThrow(/directModels/)
    expect(load(yaml('${UNSET:-5000}')).snapshot.server.port).toBe(5000)
  })

  test('a missing variable is told of once, with its place', () => {
    try {
      load(yaml('${UNSET}'), { ...env, MODEL: undefined })
      expect.unreachable()
    } catch (error) {
      expect((error as ConfigError).problems).toMatchObject([
        { path: 'server.port', line: 2, column: 17, message: expect.stringContaining('UNSET') },
        { path: 'targets.t.model', line: 5, message: expect.stringContaining('MODEL') },
      ])
    }
  })
})
