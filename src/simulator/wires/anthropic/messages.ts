// Checks the turns of a message request and gathers what the reply depends on.
import { Conversation, type Side } from '../../conversation.ts'
import { isOurs, sign } from '../../signature.ts'
import { checkDocument, checkImage, knownBlocks } from './blocks.ts'
import { checkBoolean, checkChoice, checkList, checkObject, checkString, fail, isObject, type Wire } from './values.ts'

export interface TurnRules {
  declaresTools: boolean
  needsThoughts: boolean
}

const ID = /^[a-zA-Z0-9_-]+$/

/** Throws `WireRefusal` for turns that Anthropic would turn down: unanswered calls, empty text, thoughts that are not its own. */
export function readMessages(list: readonly unknown[], system: unknown, rules: TurnRules): Conversation {
  if (list.length === 0) fail('messages', 'at least one message is required')
  const reader = new TurnReader(rules)
  reader.readSystem(system)
  list.forEach((message, i) => {
    reader.take(message, i, i === list.length - 1)
  })
  return reader.finish(list.length)
}

class TurnReader {
  readonly #conversation = new Conversation()
  readonly #rules: TurnRules
  /** Calls of the turn before that wait for their results. */
  #open = new Map<string, { name: string; order: number }>()
  /** The ids of all calls. */
  readonly #ids = new Set<string>()
  #last: Side | undefined
  /** Where the assistant's last message begins with something else than a thought. */
  #thoughtless: string | undefined
  /** One of the messages of its turn begins with a thought: without interleaved thinking the first alone. Tool results go on with a turn. */
  #thoughtful = false

  constructor(rules: TurnRules) {
    this.#rules = rules
  }

  readSystem(system: unknown): void {
    if (system === undefined) return
    if (typeof system === 'string') return this.#conversation.instruct(system)
    checkList(system, 'system').forEach((item, i) => {
      const path = `system.${i}`
      const block = checkObject(item, path, ['type', 'text', 'cache_control', 'citations'], ['type', 'text'])
      checkChoice(block.type, `${path}.type`, ['text'])
      this.#conversation.instruct(checkText(block.text, path))
    })
  }

  take(message: unknown, i: number, isLast: boolean): void {
    const path = `messages.${i}`
    const { role, content } = checkObject(message, path, ['role', 'content'], ['role', 'content'])
    const side = checkChoice(role, `${path}.role`, ['user', 'assistant']) as Side
    if (i === 0 && side !== 'user') fail('messages', 'first message must use the "user" role')
    const blocks =
      typeof content === 'string' ? [{ type: 'text', text: content }] : checkList(content, `${path}.content`)
    if (blocks.length === 0 && !(isLast && side === 'assistant')) {
      fail(
        '',
        `messages.${i}: all messages must have non-empty content except for the optional final assistant message`,
      )
    }
    checkSays(blocks)
    if (side === 'user') this.#checkResults(blocks, i, isLast)
    else if (this.#last === 'assistant') this.#closeCalls(i - 1)
    if (side === 'assistant') this.#thoughtless = undefined
    blocks.forEach((block, k) => {
      this.#takeBlock(side, block, `${path}.content.${k}`, k === 0)
    })
    if (isLast && side === 'assistant') this.#checkThoughts('text')
    const end = blocks.at(-1)
    if (side === 'assistant' && isObject(end) && (end.type === 'thinking' || end.type === 'redacted_thinking'))
      fail(path, `The final block in an assistant message cannot be \`${end.type}\`.`)
    if (isLast && side === 'assistant' && isObject(end) && typeof end.text === 'string' && /\s$/.test(end.text)) {
      fail('messages', 'final assistant content cannot end with trailing whitespace')
    }
    this.#last = side
  }

  finish(messages: number): Conversation {
    this.#closeCalls(messages - 1)
    return this.#conversation
  }

  /** The results of a turn's calls stand at the head of the next, and none is missing. */
  #checkResults(blocks: readonly unknown[], i: number, isLast: boolean): void {
    const heads = blocks.findIndex((block) => !isObject(block) || block.type !== 'tool_result')
    const leading = (heads === -1 ? blocks : blocks.slice(0, heads)) as Wire[]
    const answered = new Set(leading.map((block) => block.tool_use_id))
    const missing = [...this.#open.keys()].filter((id) => !answered.has(id))
    this.#closeCalls(i - 1, missing)
    if (isLast && this.#open.size > 0 && !this.#thoughtful) this.#checkThoughts('tool_use')
    if (leading.length === 0) this.#thoughtful = false
  }

  #checkThoughts(found: string): void {
    if (!this.#rules.needsThoughts || this.#thoughtless === undefined) return
    fail(
      this.#thoughtless,
      `Expected \`thinking\` or \`redacted_thinking\`, but found \`${found}\`. When \`thinking\` is enabled, a final \`assistant\` message must start with a thinking block.`,
    )
  }

  #closeCalls(i: number, missing: readonly string[] = [...this.#open.keys()]): void {
    if (missing.length === 0) return
    fail(
      `messages.${i}`,
      `\`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${missing.join(', ').slice(0, 500)}. ` +
        'Each `tool_use` block must have a corresponding `tool_result` block in the next message.',
    )
  }

  #takeBlock(side: Side, block: unknown, path: string, isFirst: boolean): void {
    if (!isObject(block)) fail(path, 'Input should be a valid dictionary')
    const type = checkChoice(block.type, `${path}.type`, knownBlocks)
    const inner = `${path}.${type}`
    if (side === 'assistant' && isFirst) {
      if (type === 'thinking' || type === 'redacted_thinking') this.#thoughtful = true
      else this.#thoughtless = inner
    }
    switch (type) {
      case 'text':
        checkObject(block, inner, ['type', 'text', 'cache_control', 'citations'], ['text'])
        return this.#conversation.say(side, checkText(block.text, inner))
      case 'image':
        return this.#conversation.see(side, 'images', checkImage(block, inner))
      case 'document':
        return this.#conversation.see(side, 'files', checkDocument(block, inner))
      case 'thinking':
      case 'redacted_thinking':
        if (side !== 'assistant') fail(path, `\`${type}\` blocks may only be in \`assistant\` messages`)
        return checkThought(block, path)
      case 'tool_use':
        if (side !== 'assistant') fail(path, '`tool_use` blocks can only be in `assistant` messages')
        return this.#takeCall(block, inner)
      case 'tool_result':
        if (side !== 'user') fail(path, '`tool_result` blocks can only be in `user` messages')
        return this.#takeResult(block, path, inner)
    }
  }

  #takeCall(block: Wire, path: string): void {
    if (!this.#rules.declaresTools) fail('', 'Requests which include `tool_use` blocks must define tools.')
    checkObject(block, path, ['type', 'id', 'name', 'input', 'cache_control', 'caller'], ['id', 'name', 'input'])
    const id = checkId(block.id, `${path}.id`)
    const name = checkString(block.name, `${path}.name`)
    if (name === '' || name.length > 200) fail(`${path}.name`, 'String should have 1 to 200 characters')
    if (!isObject(block.input)) fail(`${path}.input`, 'Input should be a valid dictionary')
    if (this.#ids.has(id)) fail('messages', '`tool_use` ids must be unique')
    this.#ids.add(id)
    this.#open.set(id, { name, order: this.#conversation.call(name, block.input) })
  }

  #takeResult(block: Wire, path: string, inner: string): void {
    checkObject(block, inner, ['type', 'tool_use_id', 'content', 'is_error', 'cache_control'], ['tool_use_id'])
    const id = checkId(block.tool_use_id, `${inner}.tool_use_id`)
    if (block.is_error !== undefined) checkBoolean(block.is_error, `${inner}.is_error`)
    const call = this.#open.get(id)
    if (!call) {
      fail(
        path,
        `unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${id.slice(0, 100)}. ` +
          'Each `tool_result` block must have a corresponding `tool_use` block in the previous message.',
      )
    }
    this.#open.delete(id)
    this.#conversation.answer(call.order, call.name, this.#resultText(block.content, inner))
  }

  #resultText(content: unknown, path: string): string {
    if (content === undefined || typeof content === 'string') return content ?? ''
    return checkList(content, `${path}.content`)
      .map((item, i) => {
        const at = `${path}.content.${i}`
        const type = isObject(item) ? item.type : undefined
        checkChoice(type, `${at}.type`, ['text', 'image', 'document', 'search_result'])
        const block = item as Wire
        if (type === 'text') return checkText(block.text, at)
        if (type === 'image') checkImage(block, at)
        if (type === 'document') checkDocument(block, at)
        return ''
      })
      .join('')
  }
}

/** White space is taken beside a call or other text, but not alone. */
function checkSays(blocks: readonly unknown[]): void {
  const blank = (block: unknown) =>
    isObject(block) && block.type === 'text' && typeof block.text === 'string' && /^\s+$/.test(block.text)
  if (blocks.length > 0 && blocks.every(blank)) fail('messages', 'text content blocks must contain non-whitespace text')
}

function checkText(text: unknown, path: string): string {
  const said = checkString(text, `${path}.text`)
  if (said === '') fail('messages', 'text content blocks must be non-empty')
  return said
}

function checkId(id: unknown, path: string): string {
  const text = checkString(id, path)
  if (!ID.test(text)) fail(path, "String should match pattern '^[a-zA-Z0-9_-]+$'")
  return text
}

/** Thoughts come back as they were given, or not at all. */
function checkThought(block: Wire, path: string): void {
  if (block.type === 'redacted_thinking') {
    const { data } = checkObject(block, `${path}.redacted_thinking`, ['type', 'data'], ['data'])
    if (!isOurs(checkString(data, `${path}.redacted_thinking.data`), 'anthropic'))
      fail(path, 'Invalid `data` in `redacted_thinking` block')
    return
  }
  const inner = `${path}.thinking`
  checkObject(block, inner, ['type', 'thinking', 'signature'], ['thinking', 'signature'])
  const thinking = checkString(block.thinking, `${inner}.thinking`)
  if (checkString(block.signature, `${inner}.signature`) !== sign('anthropic', thinking))
    fail(path, 'Invalid `signature` in `thinking` block')
}
