// The named edits of the identity lane, outwards, on the bytes of one JSON document: usage taken out, "stop" repaired.
import { applySplices, removeFields, type Splice, scanElements, scanFields } from '../splice.ts'

/** The document without its top-level `usage`, which we asked for and the client did not. Undefined when there is none. */
export function withoutUsage(json: Buffer): Buffer | undefined {
  const splices = removeFields(scanFields(json), ['usage'])
  return splices.length > 0 ? applySplices(json, splices) : undefined
}

/**
 * The document with `finish_reason: "stop"` as `"tool_calls"` in the choices named. Ollama says "stop" after a tool call, and
 * agents that loop on `tool_calls` end too early. Undefined when nothing was changed.
 */
export function withToolCallsFinish(json: Buffer, isAfterToolCall: (choice: number) => boolean): Buffer | undefined {
  const choices = scanFields(json).byName.get('choices')
  if (!choices) return undefined
  const splices: Splice[] = []
  scanElements(json, choices.valueStart).forEach(({ start }, position) => {
    const fields = scanFields(json, start)
    const finish = fields.byName.get('finish_reason')
    if (!finish || json.toString('latin1', finish.valueStart, finish.valueEnd) !== '"stop"') return
    const index = fields.byName.get('index')
    const choice = index ? Number(json.toString('latin1', index.valueStart, index.valueEnd)) : position
    if (!isAfterToolCall(choice)) return
    splices.push({ start: finish.valueStart, end: finish.valueEnd, bytes: Buffer.from('"tool_calls"') })
  })
  return splices.length === 0 ? undefined : applySplices(json, splices)
}
