// A tool call's arguments as the object that some vendors want in place of text.
import { Refusal } from './errors.ts'
import { parseJson } from './exactJson.ts'
import { asObject, type Json } from './field.ts'

/**
 * Models write nothing for tools without parameters: empty text is an empty object. `path` names the call in the client's request.
 * @throws Refusal `invalid_tool_arguments` for text that is not a JSON object
 */
export function inputOf(text: string, path: string): Json {
  if (text.trim() === '') return {}
  let input: unknown
  try {
    input = parseJson(text)
  } catch {
    input = undefined
  }
  const object = asObject(input)
  if (object) return object
  throw new Refusal('invalid_tool_arguments', `Invalid '${path}': expected a string that holds a JSON object.`, path)
}
