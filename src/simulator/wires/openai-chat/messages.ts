// Checks the message list of a chat request and gathers what the reply depends on.
import { Conversation, type Side } from '../../conversation.ts'
import { fail, isObject, type Wire } from './values.ts'

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function']
const PARTS: Readonly<Record<string, readonly string[]>> = {
  system: ['text'],
  developer: ['text'],
  tool: ['text'],
  user: ['text', 'image_url', 'input_audio', 'file'],
  assistant: ['text', 'refusal'],
}

/** Throws `WireRefusal` for lists that OpenAI would turn down, unanswered tool calls included. */
export function readMessages(list: unknown): Conversation {
  if (list === undefined) fail('missing_required_parameter', 'messages', 'is required')
  if (!Array.isArray(list)) fail('invalid_type', 'messages', 'expected an array of objects')
  if (list.length === 0) fail('invalid_value', 'messages', 'expected at least one message')
  const into = new Gathering()
  for (const [i, message] of list.entries()) into.take(message, `messages[${i}]`)
  return into.finish()
}

class Gathering {
  readonly #conversation = new Conversation()
  /** Tool calls of the last assistant message that wait for their results. */
  #open = new Map<string, { name: string; order: number }>()
  #openAt = ''

  take(message: unknown, at: string): void {
    if (!isObject(message)) fail('invalid_type', at, 'expected an object')
    const { role } = message
    if (role === undefined) fail('missing_required_parameter', `${at}.role`, 'is required')
    if (typeof role !== 'string' || !ROLES.includes(role)) {
      fail('invalid_value', `${at}.role`, `expected one of ${ROLES.join(', ')}`)
    }
    if (message.name !== undefined && message.name !== null && typeof message.name !== 'string') {
      fail('invalid_type', `${at}.name`, 'expected a string')
    }
    if (role === 'tool') this.#takeResult(message, at)
    else this.#closeCalls()
    const text = this.#takeContent(role, message, at)
    if (role === 'system' || role === 'developer') this.#conversation.instruct(text)
    else if (role === 'tool') this.#addResult(message, text)
    else if (role === 'function') this.#conversation.answer(Number.MAX_SAFE_INTEGER, String(message.name), text)
    else this.#conversation.say(role as Side, text)
    if (role === 'assistant') this.#takeCalls(message, at)
  }

  finish(): Conversation {
    this.#closeCalls()
    return this.#conversation
  }

  #takeContent(role: string, message: Wire, at: string): string {
    const { content } = message
    if (content === undefined || content === null) {
      const calls = message.tool_calls ?? message.function_call ?? message.refusal ?? message.audio
      if (role === 'function' || (role === 'assistant' && calls !== undefined && calls !== null)) return ''
      fail(
        content === null ? 'invalid_type' : 'missing_required_parameter',
        `${at}.content`,
        'expected a string or an array',
      )
    }
    if (typeof content === 'string') return content
    if (!Array.isArray(content)) fail('invalid_type', `${at}.content`, 'expected a string or an array of objects')
    if (content.length === 0) fail('invalid_value', `${at}.content`, 'expected at least one part')
    return content.map((part, i) => this.#takePart(role, part, `${at}.content[${i}]`)).join('')
  }

  #takePart(role: string, part: unknown, at: string): string {
    if (!isObject(part)) fail('invalid_type', at, 'expected an object')
    const { type } = part
    const allowed = PARTS[role] ?? []
    if (type === undefined) fail('missing_required_parameter', `${at}.type`, 'is required')
    if (typeof type !== 'string' || !allowed.includes(type)) {
      fail('invalid_value', `${at}.type`, `expected one of ${allowed.join(', ')}`)
    }
    if (type === 'text' || type === 'refusal') {
      const text = part[type]
      if (typeof text !== 'string')
        fail(text === undefined ? 'missing_required_parameter' : 'invalid_type', `${at}.${type}`, 'expected a string')
      return text
    }
    const body = part[type]
    if (!isObject(body))
      fail(body === undefined ? 'missing_required_parameter' : 'invalid_type', `${at}.${type}`, 'expected an object')
    if (type === 'image_url') this.#takeImage(body, `${at}.image_url`)
    else if (type === 'input_audio') this.#takeAudio(body, `${at}.input_audio`)
    else this.#takeFile(body, `${at}.file`)
    return ''
  }

  #takeImage(image: Wire, at: string): void {
    const { url, detail } = image
    if (typeof url !== 'string') fail('invalid_type', `${at}.url`, 'expected a string')
    if (!/^(https?:\/\/.|data:image\/[\w.+-]+;base64,)/i.test(url)) {
      fail('invalid_value', `${at}.url`, 'expected an http(s) URL or a base64 data URL of an image')
    }
    if (detail !== undefined && detail !== null && !['auto', 'low', 'high', 'original'].includes(detail as string)) {
      fail('invalid_value', `${at}.detail`, 'expected auto, low, high or original')
    }
    this.#conversation.see('user', 'images', bytesOf(url), detail === 'low')
  }

  #takeAudio(audio: Wire, at: string): void {
    if (typeof audio.data !== 'string') fail('invalid_type', `${at}.data`, 'expected a base64 string')
    if (audio.format !== 'wav' && audio.format !== 'mp3') fail('invalid_value', `${at}.format`, 'expected wav or mp3')
    this.#conversation.see('user', 'audio', audio.data)
  }

  #takeFile(file: Wire, at: string): void {
    if (typeof file.file_id !== 'string' && typeof file.file_data !== 'string') {
      fail('missing_required_parameter', `${at}.file_id`, 'expected file_id or file_data')
    }
    this.#conversation.see('user', 'files', bytesOf((file.file_data ?? file.file_id) as string))
  }

  #takeCalls(message: Wire, at: string): void {
    const calls = message.tool_calls
    if (calls === undefined || calls === null) return
    if (!Array.isArray(calls)) fail('invalid_type', `${at}.tool_calls`, 'expected an array of objects')
    if (calls.length === 0) fail('invalid_value', `${at}.tool_calls`, 'expected at least one call')
    for (const [i, call] of calls.entries()) this.#takeCall(call, `${at}.tool_calls[${i}]`)
    this.#openAt = at
  }

  #takeCall(call: unknown, at: string): void {
    if (!isObject(call)) fail('invalid_type', at, 'expected an object')
    if (typeof call.id !== 'string') fail('missing_required_parameter', `${at}.id`, 'expected a string')
    if (call.type !== 'function' && call.type !== 'custom')
      fail('invalid_value', `${at}.type`, 'expected function or custom')
    const body = call[call.type]
    if (!isObject(body)) fail('missing_required_parameter', `${at}.${call.type}`, 'expected an object')
    if (typeof body.name !== 'string')
      fail('missing_required_parameter', `${at}.${call.type}.name`, 'expected a string')
    const input = call.type === 'function' ? 'arguments' : 'input'
    if (typeof body[input] !== 'string') fail('invalid_type', `${at}.${call.type}.${input}`, 'expected a string')
    this.#open.set(call.id, { name: body.name, order: this.#conversation.call(body.name, body[input]) })
  }

  #takeResult(message: Wire, at: string): void {
    const id = message.tool_call_id
    if (typeof id !== 'string') fail('missing_required_parameter', `${at}.tool_call_id`, 'expected a string')
    if (!this.#open.has(id)) {
      fail(
        'invalid_value',
        `${at}.role`,
        "a message with role 'tool' must answer a tool call of the assistant message before it",
      )
    }
  }

  #addResult(message: Wire, text: string): void {
    const id = message.tool_call_id as string
    const call = this.#open.get(id) as { name: string; order: number }
    this.#conversation.answer(call.order, call.name, text)
    this.#open.delete(id)
  }

  /** OpenAI refuses a history whose tool calls are not all answered before anything else is said. */
  #closeCalls(): void {
    if (this.#open.size === 0) return
    fail('invalid_value', `${this.#openAt}.tool_calls`, 'each tool call must be followed by a tool message with its id')
  }
}

/** The base64 of a data URL: other vendors get it without the head. */
const bytesOf = (url: string): string => url.replace(/^data:[^,]*;base64,/i, '')
