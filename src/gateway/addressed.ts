// Requests whose address names the model, as those of Azure's clients do: the body says another name there, or none.
import { applySplices, scanFields, setField } from '../dialects/splice.ts'

/**
 * The body with the model that the address names, in place of its own: at Azure the address decides. A body that is no JSON object, or that
 * names two models, stays as it is, to be refused as any other.
 *
 * @throws Refusal for JSON that is nested deeper than `maxDepth`
 */
export function withModel(body: Buffer, model: string, maxDepth: number): Buffer {
  const fields = scanFields(body, 0, maxDepth)
  if (fields.open === -1 || fields.duplicates.includes('model')) return body
  const json = JSON.stringify(model)
  const own = fields.byName.get('model')
  if (own && body.toString('utf8', own.valueStart, own.valueEnd) === json) return body
  return applySplices(body, [setField(fields, 'model', json)])
}
