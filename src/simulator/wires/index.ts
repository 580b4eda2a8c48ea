// The wires that the simulator speaks; the first one whose paths match answers.
import { openaiChat } from './openai-chat/index.ts'
import type { Wire } from './wire.ts'

export const wires: readonly Wire[] = [openaiChat]

/** Answers where no wire claims the path: unknown paths get its error shape. */
export const defaultWire: Wire = openaiChat
