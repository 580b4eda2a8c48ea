// Checks the message list of a chat request and gathers what the reply depends on.
import type { Asked, ToolResult } from '../../asked.ts'
import { fail, isObject, type Wire } from './values.ts'

export interface Conversation {
  messages: number
  /** All text, for counting. */
  text: string
  /** All that is said with the roles: the seed of the reply. */
  digestible: string
  question: string
  media: Asked['media']
  mediaTokens: number
  audioTokens: number
  toolResults: ToolResult[]
}

// OpenAI's price list for images: 85 tokens at low detail; 765 is a 1024 x 1024 image at high detail.
const LOW_IMAGE_TOKENS = 85
const IMAGE_TOKENS = 765
const FILE_TOKENS = 500
/** Base64 characters of 16 kHz sound that make about a token; the exact number matters to nobody. */
const AUDIO_CHARACTERS_A_TOKEN = 4000

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
  return into.finish(list.length)
}

class Gathering {
  #texts: string[] = []
  #said: string[] = []
  #question = ''
  #media = { images: 0, audio: 0, files: 0 }
  #mediaTokens = 0
  #audioTokens = 0
  #results: ToolResult[] = []
  /** Tool calls of the last assistant message that wait for their results: id to name. */
  #open = new Map<string, string>()
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
    this.#said.push(role)
    const text = this.#takeContent(role, message, at)
    if (role === 'user') {
      this.#question = text
      this.#results = []
    }
    if (role === 'tool') this.#addResult(message, text)
    if (role === 'assistant') this.#takeCalls(message, at)
  }

  finish(messages: number): Conversation {
    this.#closeCalls()
    return {
      messages,
      text: this.#texts.join(''),
      digestible: this.#said.join('\n'),
      question: this.#question,
      media: this.#media,
      mediaTokens: this.#mediaTokens,
      audioTokens: this.#audioTokens,
      toolResults: this.#results,
    }
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
    if (typeof content === 'string') return this.#say(content)
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
      return this.#say(text)
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
    this.#media.images++
    this.#mediaTokens += detail === 'low' ? LOW_IMAGE_TOKENS : IMAGE_TOKENS
    this.#said.push(`image ${url.length} ${url.slice(0, 200)}`)
  }

  #takeAudio(audio: Wire, at: string): void {
    if (typeof audio.data !== 'string') fail('invalid_type', `${at}.data`, 'expected a base64 string')
    if (audio.format !== 'wav' && audio.format !== 'mp3') fail('invalid_value', `${at}.format`, 'expected wav or mp3')
    const tokens = Math.ceil(audio.data.length / AUDIO_CHARACTERS_A_TOKEN)
    this.#media.audio++
    this.#mediaTokens += tokens
    this.#audioTokens += tokens
    this.#said.push(`audio ${audio.data.length}`)
  }

  #takeFile(file: Wire, at: string): void {
    if (typeof file.file_id !== 'string' && typeof file.file_data !== 'string') {
      fail('missing_required_parameter', `${at}.file_id`, 'expected file_id or file_data')
    }
    this.#media.files++
    this.#mediaTokens += FILE_TOKENS
    this.#said.push('file', typeof file.filename === 'string' ? file.filename : '')
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
    this.#open.set(call.id, body.name)
    this.#say(`${body.name} ${body[input]}`)
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
    this.#results.push({ name: this.#open.get(id) as string, text })
    this.#open.delete(id)
  }

  /** OpenAI refuses a history whose tool calls are not all answered before anything else is said. */
  #closeCalls(): void {
    if (this.#open.size === 0) return
    fail('invalid_value', `${this.#openAt}.tool_calls`, 'each tool call must be followed by a tool message with its id')
  }

  #say(text: string): string {
    this.#texts.push(text)
    this.#said.push(text)
    return text
  }
}
