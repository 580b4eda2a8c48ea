// The dialects there are, by name. A new dialect is one folder and one line here.
import { anthropicMessages } from './anthropic-messages/index.ts'
import type { Dialect, DialectName } from './dialect.ts'
import { gemini } from './gemini/index.ts'
import { openaiChat } from './openai-chat/index.ts'

export const dialects: ReadonlyMap<DialectName, Dialect> = new Map(
  [openaiChat, anthropicMessages, gemini].map((dialect) => [dialect.name, dialect]),
)
