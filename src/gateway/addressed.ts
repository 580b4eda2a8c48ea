// Requests whose address names the model, as those of Azure's clients do: the body says another name there, or none.
import { isJson } from '../dialects/json.ts'
import { applySplices, scanFields, setField } from '../dialects/splice.ts'

/**
 * The body with the model that the address names, in place of its own: at Azure the address decides. What makes a body no JSON object stays
 * in it, and a second model too, to be refused as anywhere.
 *
 * @throws Refusal for JSON that is nested deeper than `maxDepth`
 */
export function withModel(body: Buffer, model: string, maxDepth: number): Buffer {
  const fields = scanFields(body, 0, maxDepth)
  const json = JSON.stringify(model)
  const own = fields.byName.get('model')
  const said = own && body.toString('utf8', own.valueStart, own.valueEnd)
  if (fields.close === -1 || said === json || (said !== undefined && !isJson(said))) return body
  return applySplices(body, [setField(fields, 'model', json)])
}
