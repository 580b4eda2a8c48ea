// Checks the contents of a generateContent request and gathers what the reply depends on.
import { Conversation, type MediaKind, type Side } from '../../conversation.ts'
import { isOurs, sign } from '../../signature.ts'
import type { Family } from './family.ts'
import { checkObject, fail, failType, isObject, optional, type Wire } from './values.ts'

const PART = [
  'text',
  'thought',
  'thoughtSignature',
  'inlineData',
  'fileData',
  'functionCall',
  'functionResponse',
  'executableCode',
  'codeExecutionResult',
  'toolCall',
  'toolResponse',
  'videoMetadata',
  'mediaResolution',
  'partMetadata',
]
/** One of these makes a part. */
const DATA = PART.filter(
  (name) => !/^(thought|thoughtSignature|videoMetadata|mediaResolution|partMetadata)$/.test(name),
)
/** Values that Google documents for calls whose signature is lost (its page "Thought signatures"). */
const STAND_INS = ['skip_thought_signature_validator', 'context_engineering_is_the_way_to_go']
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/

interface OpenCall {
  id: string | undefined
  name: string
  order: number
}

/** Throws `WireRefusal` for contents that Google would turn down: unanswered calls, calls without their signatures. */
export function readContents(body: Wire, family: Family): Conversation {
  const { contents, systemInstruction } = body
  if (contents !== undefined && !Array.isArray(contents)) failType('contents', 'TYPE_MESSAGE')
  if (contents === undefined || contents.length === 0) {
    fail('* GenerateContentRequest.contents: contents is not specified')
  }
  const reader = new ContentReader(family)
  if (systemInstruction !== undefined) reader.readSystem(systemInstruction)
  const list = contents.map((content: unknown, i) => readContent(content, `contents[${i}]`))
  const asking = list.findLastIndex(
    ({ role, parts }) => role === 'user' && parts.some((part) => part.functionResponse === undefined),
  )
  list.forEach((content, i) => {
    reader.take(content, i, i > asking)
  })
  return reader.finish()
}

interface Content {
  role: string
  parts: Wire[]
}

function readContent(value: unknown, path: string): Content {
  const content = checkObject(value, path, ['role', 'parts'])
  const role = optional.string(content, 'role', path) ?? 'user'
  if (role !== 'user' && role !== 'model') fail('Please use a valid role: user, model.')
  const { parts } = content
  if (parts !== undefined && !Array.isArray(parts)) failType(`${path}.parts`, 'TYPE_MESSAGE')
  if (parts === undefined || parts.length === 0) {
    fail(`* GenerateContentRequest.${path}.parts: contents.parts must not be empty.`)
  }
  return { role, parts: parts.map((part: unknown, i) => readPart(part, `${path}.parts[${i}]`)) }
}

function readPart(value: unknown, path: string): Wire {
  const part = checkObject(value, path, PART)
  const kinds = DATA.filter((name) => part[name] !== undefined)
  if (kinds.length !== 1) {
    fail(`* GenerateContentRequest.${path}.data: required oneof field 'data' must have one initialized field`)
  }
  optional.string(part, 'text', path)
  optional.boolean(part, 'thought', path)
  const signature = optional.string(part, 'thoughtSignature', path)
  if (signature !== undefined && !STAND_INS.includes(signature) && !isOurs(signature, 'gemini')) {
    fail('Corrupted thought signature.')
  }
  return part
}

class ContentReader {
  readonly #conversation = new Conversation()
  readonly #family: Family
  /** Calls of the content before that wait for their results. */
  #open: OpenCall[] = []
  #last: string | undefined

  constructor(family: Family) {
    this.#family = family
  }

  readSystem(value: unknown): void {
    const path = 'system_instruction'
    const { parts } = checkObject(value, path, ['role', 'parts'])
    if (!Array.isArray(parts)) failType(`${path}.parts`, 'TYPE_MESSAGE')
    parts.forEach((item: unknown, i) => {
      const { text } = readPart(item, `${path}.parts[${i}]`)
      if (text === undefined) fail('System instruction only supports text.')
      this.#conversation.instruct(text as string)
    })
  }

  /** `isCurrent`: after the last question, where signatures are asked for. */
  take({ role, parts }: Content, i: number, isCurrent: boolean): void {
    const results = parts.filter((part) => part.functionResponse !== undefined)
    if (results.length !== this.#open.length) {
      fail(
        'Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.',
      )
    }
    const calls = parts.filter((part) => part.functionCall !== undefined)
    if (calls.length > 0 && (role !== 'model' || this.#last !== 'user')) {
      fail(
        'Please ensure that function call turn comes immediately after a user turn or after a function response turn.',
      )
    }
    const side: Side = role === 'model' ? 'assistant' : 'user'
    parts.forEach((part, k) => {
      this.#takePart(side, part, `contents[${i}].parts[${k}]`)
    })
    if (isCurrent && this.#family.needsSignatures && calls.length > 0) this.#checkSigned(calls[0] as Wire, i)
    this.#last = role
  }

  finish(): Conversation {
    if (this.#open.length > 0) {
      fail(
        'Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.',
      )
    }
    return this.#conversation
  }

  #checkSigned(first: Wire, i: number): void {
    if (first.thoughtSignature !== undefined) return
    const { name } = first.functionCall as Wire
    fail(
      'Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing ' +
        `thought_signature may lead to degraded model performance. Additional data, function call \`default_api:${String(name).slice(0, 64)}\` , position ${i + 1}.`,
    )
  }

  #takePart(side: Side, part: Wire, path: string): void {
    if (part.text !== undefined) {
      if (part.thought !== true) this.#conversation.say(side, part.text as string)
    } else if (part.inlineData !== undefined) this.#takeData(side, part.inlineData, `${path}.inline_data`)
    else if (part.fileData !== undefined) this.#takeFile(side, part.fileData, `${path}.file_data`)
    else if (part.functionCall !== undefined) this.#takeCall(part, `${path}.function_call`)
    else if (part.functionResponse !== undefined) this.#takeResult(part.functionResponse, `${path}.function_response`)
  }

  #takeData(side: Side, value: unknown, path: string): void {
    const blob = checkObject(value, path, ['mimeType', 'data'])
    const mime = optional.string(blob, 'mimeType', path)
    const data = optional.string(blob, 'data', path) ?? ''
    if (!mime) fail('Unable to process input: a mime type is needed.')
    if (!BASE64.test(data)) failType(`${path}.data`, 'TYPE_BYTES')
    this.#conversation.see(side, kindOf(mime), data)
  }

  #takeFile(side: Side, value: unknown, path: string): void {
    const file = checkObject(value, path, ['mimeType', 'fileUri'])
    const uri = optional.string(file, 'fileUri', path)
    if (!uri) fail(`* GenerateContentRequest.${path}.file_uri: must not be empty`)
    this.#conversation.see(side, kindOf(optional.string(file, 'mimeType', path) ?? ''), uri)
  }

  #takeCall(part: Wire, path: string): void {
    const call = checkObject(part.functionCall, path, ['id', 'name', 'args'])
    const name = optional.string(call, 'name', path)
    if (!name) fail(`* GenerateContentRequest.${path}.name: Name cannot be empty.`)
    const args = call.args ?? {}
    if (!isObject(args)) failType(`${path}.args`, 'TYPE_STRUCT')
    const id = optional.string(call, 'id', path)
    const signature = part.thoughtSignature as string | undefined
    // A signature belongs to the call that it came with.
    if (signature !== undefined && !STAND_INS.includes(signature) && signature !== signCall(name, args)) {
      fail('Thought signature is not valid.')
    }
    this.#open.push({ id, name, order: this.#conversation.call(name, args) })
  }

  #takeResult(value: unknown, path: string): void {
    const result = checkObject(value, path, ['id', 'name', 'response', 'scheduling', 'parts', 'willContinue'])
    const name = optional.string(result, 'name', path)
    const id = optional.string(result, 'id', path)
    if (!name) fail(`* GenerateContentRequest.${path}.name: Name cannot be empty.`)
    if (!isObject(result.response)) failType(`${path}.response`, 'TYPE_STRUCT')
    // Without ids the order tells which call is answered.
    const at = id === undefined ? 0 : this.#open.findIndex((call) => call.id === id)
    const call = this.#open[at]
    if (!call || call.name !== name) fail('Please ensure that function responses match the function calls before them.')
    this.#open.splice(at, 1)
    this.#conversation.answer(call.order, name, textOf(result.response))
  }
}

/** The signature that a call gets. */
export const signCall = (name: string, args: unknown): string => sign('gemini', name, JSON.stringify(args))

function kindOf(mime: string): MediaKind {
  if (mime.startsWith('image/')) return 'images'
  return mime.startsWith('audio/') ? 'audio' : 'files'
}

/** Google names `output` and `error` as the keys of a result; anything else is taken as a whole. */
function textOf(response: Wire): string {
  const said = response.output ?? response.error ?? response.result
  return typeof said === 'string' ? said : JSON.stringify(said ?? response)
}
