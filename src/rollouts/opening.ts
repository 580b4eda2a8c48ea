// How a conversation begins: the system text and the first message of the user, in whichever wire format it is.

/** Both cut at the same number of characters. */
export interface Opening {
  readonly system: string
  readonly user: string
}

/** A long system prompt is the same for everybody; what is cut off it could not tell conversations apart. */
const most = 4096
/** Of a picture or a file: enough to tell it from another. */
const mostOfMedia = 256

type Json = Readonly<Record<string, unknown>>

/**
 * Looks at no more than it needs: its cost does not grow with the conversation. Undefined when there is no user's message.
 * The fields: `messages` (OpenAI's chat, Anthropic), `input` and `instructions` (OpenAI's responses), `contents` and
 * `systemInstruction` (Gemini), `system` (Anthropic).
 */
export function readOpening(wire: unknown): Opening | undefined {
  if (typeof wire !== 'object' || wire === null) return undefined
  const body = wire as Json
  const instruction = (body.systemInstruction ?? body.system_instruction) as Json | undefined
  let system = textOf(body.system ?? body.instructions ?? instruction?.parts)
  if (typeof body.input === 'string') return { system, user: body.input.slice(0, most) }
  const messages = body.messages ?? body.input ?? body.contents
  if (!Array.isArray(messages)) return undefined
  for (const message of messages as Json[]) {
    if (typeof message !== 'object' || message === null) continue
    const content = message.content ?? message.parts
    if (message.role === 'system' || message.role === 'developer') system = (system + textOf(content)).slice(0, most)
    else if (message.role === 'user' || (message.role === undefined && message.parts)) {
      return { system, user: textOf(content) }
    }
  }
  return undefined
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content.slice(0, most)
  if (!Array.isArray(content)) return ''
  let text = ''
  for (const part of content as unknown[]) {
    if (text.length >= most) break
    text += typeof part === 'string' ? part : partText(part, 0)
  }
  return text.slice(0, most)
}

/** The text of a part; of one without text, the beginnings of the strings in it. */
function partText(part: unknown, depth: number): string {
  if (typeof part === 'string') return part.slice(0, mostOfMedia)
  if (typeof part !== 'object' || part === null || depth > 3) return ''
  const { text } = part as Json
  if (typeof text === 'string') return text
  let found = ''
  for (const [name, value] of Object.entries(part)) {
    if (found.length >= most) break
    // Clients move this mark along as the conversation grows.
    if (name !== 'cache_control') found += partText(value, depth + 1)
  }
  return found
}
