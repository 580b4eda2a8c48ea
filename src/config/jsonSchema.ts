// The JSON Schema of turnout.yaml, made from the zod schema so that editors complete and explain what the loader accepts.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import * as z from 'zod'
import { configSchema } from './schema.ts'

type Node = Record<string, unknown>

/** Where a variable may stand in place of a value: the loader turns it into a number or a boolean when one is wanted. */
const variable = { type: 'string', pattern: '\\$\\{.+\\}', description: '`${NAME}`: taken from the environment.' }
const annotations = ['description', 'default', 'examples', 'title']

/** The document that is committed as `config.schema.json`. */
export function configJsonSchema(): Node {
  const { $schema, $defs, ...made } = z.toJSONSchema(configSchema, {
    io: 'input',
    override: ({ zodSchema, jsonSchema }) => {
      // zod drops the defaults of fields that are transformed, since they are its outputs; ours are written as inputs.
      const { default: fallback, examples } = z.globalRegistry.get(zodSchema) ?? {}
      if (fallback !== undefined) (jsonSchema as Node).default = fallback
      if (examples !== undefined) (jsonSchema as Node).examples = examples
    },
  }) as Node
  allowVariables(made)
  return {
    $schema,
    title: 'Turnout configuration',
    description: 'What Turnout serves, through which providers, to whom. See docs/configuration.md.',
    ...made,
    $defs,
  }
}

/** Lets `${NAME}` pass wherever a scalar has constraints. Text without any takes it anyway, and keys are never interpolated. */
function allowVariables(node: unknown): void {
  if (Array.isArray(node)) for (const item of node) allowVariables(item)
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return
  const schema = node as Node
  const branches = schema.anyOf as Node[] | undefined
  if (branches) {
    const scalars = branches.filter(isConstrained)
    for (const branch of branches) if (!scalars.includes(branch)) allowVariables(branch)
    if (scalars.length > 0) branches.push(variable)
  } else if (isConstrained(schema)) {
    const own: Node = {}
    for (const key of Object.keys(schema)) {
      if (annotations.includes(key)) continue
      own[key] = schema[key]
      delete schema[key]
    }
    schema.anyOf = [own, variable]
  } else {
    for (const property of Object.values((schema.properties as Node | undefined) ?? {})) allowVariables(property)
    allowVariables(schema.additionalProperties)
    allowVariables(schema.items)
  }
}

const isConstrained = ({ type, enum: values, pattern, format }: Node): boolean =>
  type === 'number' ||
  type === 'integer' ||
  type === 'boolean' ||
  (type === 'string' && (values !== undefined || pattern !== undefined || format !== undefined))
