// The wires that the simulator speaks; the first one whose paths match answers.
import { anthropic } from './anthropic/index.ts'
import { gemini } from './gemini/index.ts'
import { openaiChat } from './openai-chat/index.ts'
import type { Wire } from './wire.ts'

// OpenAI's comes last: its `GET /v1/models` is Anthropic's too, who is known by a header.
export const wires: readonly Wire[] = [anthropic, gemini, openaiChat]

/** Answers where no wire claims the path: unknown paths get its error shape. */
export const defaultWire: Wire = openaiChat

/** Headers that some answer depends on. */
export const headerNames: readonly string[] = [...new Set(wires.flatMap((wire) => wire.headerNames ?? []))]
