// The named edits of the identity lane, inwards: the client's bytes with another model, the usage request and forced parameters.
import type { Inspected, RequestEdits } from '../dialect.ts'
import { applySplices, cutFields, removeFields, renameField, type Splice, scanFields, setField } from '../splice.ts'
import { prefixMessages } from './systemPrefix.ts'

/** Returns the edited copy, or the client's own buffer when there is nothing to edit. */
export function patch(inspected: Inspected, edits: RequestEdits): Buffer {
  const { raw, fields, ask } = inspected
  const splices: Splice[] = []
  if (edits.model !== ask.model) splices.push(setField(fields, 'model', JSON.stringify(edits.model)))
  if (edits.askUsage) splices.push(askUsage(inspected))
  for (const [name, value] of Object.entries(edits.params ?? {}))
    splices.push(setField(fields, name, JSON.stringify(value)))
  for (const [name, to] of Object.entries(edits.rename ?? {})) {
    const field = fields.byName.get(name)
    if (field) splices.push(renameField(field, to))
  }
  const prefix = edits.systemPrefix === undefined ? undefined : prefixMessages(inspected, edits.systemPrefix)
  if (prefix) splices.push(prefix)
  // Not as arguments, of which a call takes a hundred thousand: a request may have more to cut.
  if (edits.cut) for (const splice of cutFields(raw, fields.open, edits.cut)) splices.push(splice)
  if (edits.drop) {
    const { params = {} } = edits
    splices.push(
      ...removeFields(
        fields,
        edits.drop.filter((name) => !(name in params)),
      ),
    )
  }
  return splices.length === 0 ? raw : applySplices(raw, splices)
}

/** `stream_options` may be absent, null, or an object that holds other options, which stay as they are. */
function askUsage({ raw, fields }: Inspected): Splice {
  const options = fields.byName.get('stream_options')
  if (options && raw[options.valueStart] === 0x7b)
    return setField(scanFields(raw, options.valueStart), 'include_usage', 'true')
  return setField(fields, 'stream_options', '{"include_usage":true}')
}
