// Random JSON as text: every spelling that the grammar allows, with the pieces known, so that a test can say what an edit must give.
import fc from './seededCheck.ts'

/** One field as written: what its key decodes to, the key's text, the value's text. */
export interface Member {
  name: string
  key: string
  value: string
}

/** White space as the grammar allows it. */
export const space = fc.constantFrom('', '', '', ' ', '\n', '\t', '\r\n', '  \n  ')

/** Writes text as a JSON string; `dice` says of each character whether it is escaped. */
export function spell(text: string, dice: readonly number[]): string {
  let at = 0
  const written = Array.from({ length: text.length }, (_, index) => {
    const unit = text.charCodeAt(index)
    const roll = dice.length === 0 ? 0 : dice[at++ % dice.length]!
    const hex = unit.toString(16).padStart(4, '0')
    if (unit < 0x20 || (unit >= 0xd800 && unit <= 0xdfff)) return `\\u${hex}`
    if (unit === 0x22 || unit === 0x5c) return `\\${text[index]}`
    if (unit === 0x2f && roll === 2) return '\\/'
    return roll === 1 ? `\\u${roll % 2 === 0 ? hex : hex.toUpperCase()}` : text[index]!
  })
  return `"${written.join('')}"`
}

const dice = fc.array(fc.nat(6), { maxLength: 12 })

/** A text as a JSON string, escaped here and there. */
export const spelled = (text: string): fc.Arbitrary<string> => dice.map((rolls) => spell(text, rolls))

const trickyTexts = fc.constantFrom(
  ...[
    '',
    'model',
    '"model":"x"',
    '\\',
    '\\"',
    '}{][,:',
    '{"model":"inner"}',
    'ünïcödé',
    '🚂',
    '\u2028',
    'null',
    ' ',
    '\n',
  ],
)
const text = fc.oneof(trickyTexts, fc.string({ unit: 'binary', maxLength: 20 }))
const numbers = fc.constantFrom(
  ...[
    '0',
    '-0',
    '1.0',
    '12345678901234567890',
    '0.1000000000000000055511151231257827',
    '1e400',
    '-1E+2',
    '2e-7',
    '100000000000000000000000',
  ],
)

/** Names that occur at the top, and so must survive unchanged further down. */
export const commonNames = [
  'model',
  'stream',
  'stream_options',
  'messages',
  'include_usage',
  'usage',
  'temperature',
  'n',
]

/** Any JSON value as text. Nested keys bear the names of top-level fields, also twice and in other letter case. */
export const jsonValue: fc.Arbitrary<string> = fc.letrec<{ value: string; list: string; object: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(
      fc.constantFrom('true', 'false', 'null', '{}', '[]', '{ }', '[\n]'),
      numbers,
      fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
      text.chain(spelled),
    ),
    tie('list'),
    tie('object'),
  ),
  list: fc
    .array(fc.tuple(space, tie('value'), space), { maxLength: 4 })
    .map((parts) => `[${parts.map((part) => part.join('')).join(',')}]`),
  object: fc
    .array(
      fc.tuple(
        space,
        fc.oneof(fc.constantFrom(...commonNames, 'Model', 'STREAM'), text).chain(spelled),
        space,
        tie('value'),
        space,
      ),
      {
        maxLength: 4,
      },
    )
    .map((parts) => `{${parts.map(([a, key, b, value, c]) => `${a}${key}${b}:${value}${c}`).join(',')}}`),
})).value

/** One field of the given name. */
export const memberOf = (name: string, value: fc.Arbitrary<string> = jsonValue): fc.Arbitrary<Member> =>
  fc.tuple(spelled(name), value).map(([key, written]) => ({ name, key, value: written }))

/** How two keys count as one for readers that ignore case. */
export const folded = (name: string): string =>
  name.toLowerCase().toUpperCase().toLowerCase().replaceAll('\u017f', 's').replaceAll('\u212a', 'k')

/** Fields that nobody inspects, all different. */
export const otherMembers: fc.Arbitrary<Member[]> = fc
  .uniqueArray(
    fc.oneof(
      fc.constantFrom(
        'temperature',
        'seed',
        'metadata',
        'tool_choice',
        '__proto__',
        'constructor',
        'x-new',
        'usage',
        'include',
        '',
      ),
      text,
    ),
    { maxLength: 6, selector: folded },
  )
  .filter((names) => names.every((name) => !inspectedNames.has(folded(name))))
  .chain((names) => fc.tuple(...names.map((name) => memberOf(name))))

/** Every name that the gateway reads at the top: see the issue's cases on smuggling. */
export const inspectedNames: ReadonlySet<string> = new Set([
  ...[
    'model',
    'models',
    'messages',
    'stream',
    'stream_options',
    'include_usage',
    'max_tokens',
    'max_completion_tokens',
    'n',
  ],
  ...['tools', 'user', 'safety_identifier'],
])

/** The white space of an object: before each key, after each key, before each value, after each value; and around all. */
export interface Layout {
  spaces: readonly string[]
  before: string
  after: string
}

export const layout: fc.Arbitrary<Layout> = fc.record({
  spaces: fc.array(space, { minLength: 1, maxLength: 9 }),
  before: space,
  after: space,
})

/** The object's text. The white space after the last value belongs to the brace. */
export function render(members: readonly Member[], { spaces, before, after }: Layout, insert = ''): string {
  let at = 0
  const next = (): string => spaces[at++ % spaces.length]!
  const written = members.map(({ key, value }, index) => {
    const start = `${next()}${key}${next()}:${next()}${value}`
    return index === members.length - 1 ? start + insert + next() : start + next()
  })
  return `${before}{${members.length === 0 ? insert + next() : written.join(',')}}${after}`
}
