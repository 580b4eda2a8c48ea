// The dialects there are, by name. A new dialect is one folder and one line here.
import type { Dialect, DialectName } from './dialect.ts'
import { openaiChat } from './openai-chat/index.ts'

export const dialects: ReadonlyMap<DialectName, Dialect> = new Map([[openaiChat.name, openaiChat]])
