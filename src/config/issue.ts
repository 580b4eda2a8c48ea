// Turns the schema's issues into flat faults with a path each, in words that say what to write instead.
import type * as z from 'zod'
import type { Path } from './problem.ts'

export interface SchemaFault {
  path: Path
  message: string
  /** The type that was wanted, where a value had the wrong one. */
  expected: string | undefined
  /** The fault is the key itself. */
  atKey: boolean
}

type Issue = z.core.$ZodIssue

/** Every fault of one failed parse. Of a union only the branch that the value was meant for speaks. */
export function faultsOf(issues: readonly Issue[]): SchemaFault[] {
  const told = new Map<string, SchemaFault>()
  for (const fault of issues.flatMap((issue) => faultsIn(issue, []))) {
    // Of what is said twice of one value (a whole number that is too large for two reasons) the last, which is the narrowest.
    const what = /^expected at (?:most|least) /.exec(fault.message)?.[0] ?? fault.message
    told.set(JSON.stringify([fault.path, what]), fault)
  }
  return [...told.values()]
}

function faultsIn(issue: Issue, above: Path): SchemaFault[] {
  const path = [...above, ...issue.path] as Path
  // A schema's own words are better than what follows from a type or a list.
  if ((issue.code === 'invalid_type' || issue.code === 'invalid_value') && !issue.message.startsWith('Invalid '))
    return [{ path, message: issue.message, expected: expectedBy(issue), atKey: false }]
  switch (issue.code) {
    case 'unrecognized_keys': {
      // One line per key: see `strict` in schema.ts.
      const lines = issue.message.split('\n')
      return issue.keys.map((key, index) => ({
        path: [...path, key],
        message: lines[index] ?? `unknown key "${key}"`,
        expected: undefined,
        atKey: true,
      }))
    }
    case 'invalid_key':
      return [{ path, message: issue.issues[0]?.message ?? issue.message, expected: undefined, atKey: true }]
    case 'invalid_union': {
      const meant = issue.errors
        .filter((branch) => !branch.some((inner) => inner.code === 'invalid_type' && inner.path.length === 0))
        .sort((a, b) => a.length - b.length)[0]
      if (meant) return meant.flatMap((inner) => faultsIn(inner, path))
      const message = issue.message.startsWith('Invalid ') ? describeUnion(issue) : issue.message
      return [{ path, message, expected: scalarOf(issue), atKey: false }]
    }
    case 'too_small':
    case 'too_big':
      return [{ path, message: describeSize(issue), expected: undefined, atKey: false }]
    case 'invalid_type':
      return [{ path, message: describeType(issue), expected: issue.expected, atKey: false }]
    case 'invalid_value':
      return [{ path, message: `expected one of ${issue.values.join(', ')}`, expected: undefined, atKey: false }]
    default:
      return [{ path, message: issue.message, expected: undefined, atKey: false }]
  }
}

const expectedBy = (issue: Issue | undefined): string | undefined =>
  issue?.code === 'invalid_type' ? issue.expected : undefined

/** The number or the switch that it may be in place of a block. */
const scalarOf = ({ errors }: z.core.$ZodIssueInvalidUnion): string | undefined =>
  errors.map(([first]) => expectedBy(first)).find((type) => type === 'number' || type === 'boolean')

const nouns: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a block of keys',
  record: 'a block of keys',
}

/** What a list, a text or a number must not go beyond. A schema's own words stand. */
function describeSize(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): string {
  if (!/^Too (?:small|big)/.test(issue.message)) return issue.message
  const isSmall = issue.code === 'too_small'
  const bound = isSmall ? issue.minimum : issue.maximum
  const words = sizes[issue.origin] ?? ''
  if (isSmall && words !== '' && Number(bound) === 1) return 'may not be empty'
  const border = issue.inclusive === false ? (isSmall ? 'more than' : 'less than') : isSmall ? 'at least' : 'at most'
  return `expected ${border} ${bound}${words}`
}

const sizes: Record<string, string> = { string: ' characters', array: ' entries', map: ' entries', set: ' entries' }

/** None of its branches knows the type: what each would take. */
function describeUnion({ errors }: z.core.$ZodIssueInvalidUnion): string {
  const wanted = errors.flatMap(([first]) =>
    first?.code === 'invalid_type' ? [nouns[first.expected] ?? first.expected] : [],
  )
  return wanted.length === 0 ? 'is none of what is expected here' : `expected ${[...new Set(wanted)].join(' or ')}`
}

function describeType(issue: z.core.$ZodIssueInvalidType): string {
  const wanted = nouns[issue.expected] ?? issue.expected
  const received = /received (\w+)$/.exec(issue.message)?.[1]
  if (received === 'undefined') return `is required: expected ${wanted}`
  if (issue.expected === 'string' && (received === 'number' || received === 'boolean')) {
    return 'expected text: put it in quotes'
  }
  return `expected ${wanted}`
}
