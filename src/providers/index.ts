// The list of provider kinds: a new one is its file and one line here.
import { anthropic } from './anthropic.ts'
import { azure } from './azure.ts'
import { deepseek } from './deepseek.ts'
import { fireworks } from './fireworks.ts'
import { gemini } from './gemini.ts'
import { groq } from './groq.ts'
import { mistral } from './mistral.ts'
import { ollama } from './ollama.ts'
import { openai } from './openai.ts'
import { openaiCompatible } from './openai-compatible.ts'
import { openrouter } from './openrouter.ts'
import type { ProviderKind } from './provider.ts'
import { together } from './together.ts'
import { vllm } from './vllm.ts'
import { xai } from './xai.ts'

/** Every known kind by name, in the order in which providers found in the environment are listed. */
export const providerKinds: ReadonlyMap<string, ProviderKind> = new Map(
  [
    openai,
    azure,
    anthropic,
    gemini,
    openrouter,
    groq,
    mistral,
    deepseek,
    together,
    fireworks,
    xai,
    ollama,
    vllm,
    openaiCompatible,
  ].map((kind) => [kind.name, kind]),
)
