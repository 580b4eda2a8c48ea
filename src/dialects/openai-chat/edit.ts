// The named edits of the identity lane, outwards, on the bytes of one JSON document: usage taken out, "stop", calls and thoughts repaired.
import { asObject } from '../field.ts'
import { applySplices, type Fields, removeFields, type Splice, scanElements, scanFields, setField } from '../splice.ts'

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
  const splices: Splice[] = []
  for (const { fields, choice } of choicesIn(json)) {
    const finish = fields.byName.get('finish_reason')
    if (!finish || json.toString('latin1', finish.valueStart, finish.valueEnd) !== '"stop"') continue
    if (!isAfterToolCall(choice)) continue
    splices.push({ start: finish.valueStart, end: finish.valueEnd, bytes: Buffer.from('"tool_calls"') })
  }
  return splices.length === 0 ? undefined : applySplices(json, splices)
}

/**
 * The document with a `type` in tool calls that have none, and in a stream's with an `index`. Mistral's replies leave them out; OpenAI's
 * SDKs throw at a call without a type or pass over it, and put the pieces of a stream's calls together by their index.
 *
 * @param begun how many calls each choice of a stream has begun; counts on
 * @returns undefined when nothing was changed
 */
export function withTypedCalls(json: Buffer, begun: Map<number, number>): Buffer | undefined {
  const splices: Splice[] = []
  for (const { fields, choice } of choicesIn(json)) {
    const delta = fields.byName.get('delta')
    const message = delta ?? fields.byName.get('message')
    const calls = message && scanFields(json, message.valueStart).byName.get('tool_calls')
    if (!calls) continue
    for (const { start } of scanElements(json, calls.valueStart)) {
      const call = scanFields(json, start)
      // Without an id it goes on with one that has begun.
      if (!call.byName.has('id')) continue
      const index = begun.get(choice) ?? 0
      begun.set(choice, index + 1)
      if (delta && !call.byName.has('index')) splices.push(setField(call, 'index', String(index)))
      if (!call.byName.has('type')) splices.push(setField(call, 'type', '"function"'))
    }
  }
  return splices.length === 0 ? undefined : applySplices(json, splices)
}

/**
 * The document with the text of a `content` that is a list of thoughts and text as `content`, and its thoughts as `reasoning_content`.
 * Mistral's models that think write such lists, where OpenAI's clients expect a text. A list with anything else in it stays.
 * Undefined when nothing was changed.
 */
export function withPlainContent(json: Buffer): Buffer | undefined {
  const splices: Splice[] = []
  for (const { fields } of choicesIn(json)) {
    const message = fields.byName.get('delta') ?? fields.byName.get('message')
    const inner = message && scanFields(json, message.valueStart)
    const content = inner?.byName.get('content')
    if (!inner || !content || json[content.valueStart] !== 0x5b) continue
    const said = readParts(JSON.parse(json.toString('utf8', content.valueStart, content.valueEnd)))
    if (!said) continue
    splices.push(setField(inner, 'content', said.text === '' ? 'null' : JSON.stringify(said.text)))
    if (said.thoughts !== '') splices.push(setField(inner, 'reasoning_content', JSON.stringify(said.thoughts)))
  }
  return splices.length === 0 ? undefined : applySplices(json, splices)
}

/** What a list of parts says; undefined when it has other parts than texts, and thoughts that are lists of texts. */
function readParts(parts: readonly unknown[]): { text: string; thoughts: string } | undefined {
  const said = { text: '', thoughts: '' }
  for (const raw of parts) {
    const part = asObject(raw)
    if (part?.type === 'text' && typeof part.text === 'string') said.text += part.text
    else if (part?.type === 'thinking' && Array.isArray(part.thinking)) {
      const inner = readParts(part.thinking)
      if (inner?.thoughts !== '') return undefined
      said.thoughts += inner.text
    } else return undefined
  }
  return said
}

/** The choices of a reply or chunk, with the number that each goes by. */
function choicesIn(json: Buffer): { fields: Fields; choice: number }[] {
  const choices = scanFields(json).byName.get('choices')
  if (!choices) return []
  return scanElements(json, choices.valueStart).map(({ start }, position) => {
    const fields = scanFields(json, start)
    const index = fields.byName.get('index')
    return { fields, choice: index ? Number(json.toString('latin1', index.valueStart, index.valueEnd)) : position }
  })
}
