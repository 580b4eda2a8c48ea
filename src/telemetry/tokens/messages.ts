// The texts of a chat that are counted, and the overhead of the messages around them.

/** What to count: texts apart from each other, tokens that are no text, and how much content has no text to count. */
export interface Countable {
  texts: string[]
  /** Tokens besides those of the texts. */
  overhead: number
  /** Parts that cannot be counted from here: images, audio, files, tool definitions. */
  uncounted: number
}

/** What a model puts around messages, in tokens. */
export interface ChatOverhead {
  /** Around each message, and once more around an assistant's. */
  message: number
  assistant: number
  /** Where a message has a name. */
  name: number
  /** Opens the answer. */
  priming: number
}

/** As OpenAI documents it (openai-cookbook, "How to count tokens with tiktoken"). */
const documented: ChatOverhead = { message: 3, assistant: 0, name: 1, priming: 3 }

/**
 * The overhead of a model's chats; undefined where it is not known. Reasoning models open the answer with 2 tokens instead of 3, and
 * GPT-5 names the channel of each assistant message with 2 more: OpenAI documents neither, its bills in the recordings show both.
 * o1-mini and o1-preview bill 7 more that nothing explains; open-weight models depend on the template of who runs them.
 */
export function chatOverheadOf(model: string): ChatOverhead | undefined {
  const name = model.toLowerCase().replace(/^(.*\/|openai\.|ft:)/, '')
  if (/^(o1-(mini|preview)|gpt-oss)/.test(name)) return undefined
  if (/^o\d/.test(name)) return { ...documented, priming: 2 }
  if (/^gpt-5/.test(name) && !/-chat/.test(name)) return { ...documented, priming: 2, assistant: 2 }
  return documented
}

/**
 * Takes a chat apart for counting: the tokens of each message's role, content and name, and what stands around them.
 * Accepts messages of the openai-chat wire; what is not understood counts as `uncounted`. Tool calls are not documented: their
 * names and arguments are counted as text.
 */
export function countableOf(messages: readonly unknown[], around: ChatOverhead = documented): Countable {
  const result: Countable = { texts: [], overhead: around.priming, uncounted: 0 }
  for (const message of messages) {
    if (typeof message !== 'object' || message === null) continue
    const { role, content, name, tool_calls: calls } = message as Record<string, unknown>
    result.overhead += around.message
    if (role === 'assistant') result.overhead += around.assistant
    if (typeof role === 'string') result.texts.push(role)
    if (typeof name === 'string') {
      result.texts.push(name)
      result.overhead += around.name
    }
    addContent(result, content)
    if (Array.isArray(calls)) for (const call of calls) addCall(result, call)
  }
  return result
}

function addContent(result: Countable, content: unknown): void {
  if (typeof content === 'string') result.texts.push(content)
  else if (Array.isArray(content)) {
    for (const part of content) {
      const text = (part as { text?: unknown } | null)?.text
      if (typeof text === 'string') result.texts.push(text)
      else result.uncounted++
    }
  }
}

function addCall(result: Countable, call: unknown): void {
  const made = (call as { function?: { name?: unknown; arguments?: unknown } } | null)?.function
  if (typeof made?.name === 'string') result.texts.push(made.name)
  if (typeof made?.arguments === 'string') result.texts.push(made.arguments)
  result.uncounted++
}
