// Names of models and providers: the spellings under which a price may be filed.

const suffixes = [
  /-\d{4}-\d{2}-\d{2}$/, // OpenAI: gpt-4o-2024-08-06
  /[-@]20\d{6}$/, // Anthropic and Vertex: claude-sonnet-4-5-20250929, claude-sonnet-4-5@20250929
  /-latest$/,
  /-preview-\d{2}-\d{4}$/, // Gemini: gemini-2.5-flash-preview-09-2025
  /-\d{3}$/, // Gemini: gemini-2.0-flash-001
]

/**
 * The names to look a model up by, most exact first: as given in lower case, without a resource prefix, without a date or revision.
 * Bounded: never more than four.
 */
export function modelCandidates(model: string): string[] {
  const given = model.toLowerCase().trim()
  const bare = given.replace(/^models\//, '').replace(/^publishers\/[^/]+\/models\//, '')
  const names = [given, bare]
  const suffix = suffixes.find((pattern) => pattern.test(bare))
  if (suffix) names.push(bare.replace(suffix, ''))
  return [...new Set(names)].filter((name) => name.length > 0)
}

/** One provider kind under the names that price sources use for it. */
interface ProviderNames {
  genai: readonly string[]
  litellm: readonly string[]
  modelsDev: readonly string[]
}

const same = (name: string): ProviderNames => ({ genai: [name], litellm: [name], modelsDev: [name] })

const known: Readonly<Record<string, ProviderNames>> = {
  openai: { genai: ['openai'], litellm: ['openai', 'text-completion-openai'], modelsDev: ['openai'] },
  azure: { genai: ['azure'], litellm: ['azure', 'azure_ai', 'azure_text'], modelsDev: ['azure'] },
  anthropic: same('anthropic'),
  gemini: { genai: ['google'], litellm: ['gemini'], modelsDev: ['google'] },
  vertex: {
    genai: ['google'],
    litellm: ['vertex_ai', 'vertex_ai-language-models', 'vertex_ai-anthropic_models'],
    modelsDev: ['google-vertex', 'google-vertex-anthropic'],
  },
  bedrock: { genai: ['aws'], litellm: ['bedrock', 'bedrock_converse'], modelsDev: ['amazon-bedrock'] },
  mistral: same('mistral'),
  groq: same('groq'),
  deepseek: same('deepseek'),
  cerebras: same('cerebras'),
  perplexity: same('perplexity'),
  openrouter: same('openrouter'),
  minimax: same('minimax'),
  xai: { genai: ['x-ai'], litellm: ['xai'], modelsDev: ['xai'] },
  together: { genai: ['together'], litellm: ['together_ai'], modelsDev: ['togetherai'] },
  fireworks: {
    genai: ['fireworks'],
    litellm: ['fireworks_ai', 'fireworks_ai-embedding-models'],
    modelsDev: ['fireworks-ai'],
  },
  cohere: { genai: ['cohere'], litellm: ['cohere', 'cohere_chat'], modelsDev: ['cohere'] },
  moonshot: { genai: ['moonshotai'], litellm: ['moonshot'], modelsDev: ['moonshotai'] },
  zai: { genai: ['zai'], litellm: ['zai'], modelsDev: ['zai'] },
}

/** Other words that people use for a provider kind. */
const synonyms: Readonly<Record<string, string>> = {
  google: 'gemini',
  'azure-openai': 'azure',
  aws: 'bedrock',
  'amazon-bedrock': 'bedrock',
  'vertex-ai': 'vertex',
  'x-ai': 'xai',
  togetherai: 'together',
  'fireworks-ai': 'fireworks',
  moonshotai: 'moonshot',
}

/** Our word for a provider kind. */
export function kindName(provider: string): string {
  const name = provider.toLowerCase()
  return synonyms[name] ?? name
}

/** The provider id of the price base for a kind; its own name where we know no other. */
export function genaiProvider(provider: string): string {
  const kind = kindName(provider)
  return known[kind]?.genai[0] ?? kind
}

/** Our kind for a provider name of LiteLLM's or models.dev's file; undefined where we know no such provider. */
export function kindOfSource(format: 'litellm' | 'modelsDev', name: string): string | undefined {
  return sourceKinds[format].get(name.toLowerCase())
}

const sourceKinds = {
  litellm: new Map(
    Object.entries(known).flatMap(([kind, names]) => names.litellm.map((name) => [name, kind] as const)),
  ),
  modelsDev: new Map(
    Object.entries(known).flatMap(([kind, names]) => names.modelsDev.map((name) => [name, kind] as const)),
  ),
}

/** `openai/gpt-4o` in its parts where the first is a provider we know; undefined for a model alone. */
export function splitModel(name: string): { provider: string; model: string } | undefined {
  const slash = name.indexOf('/')
  if (slash <= 0) return undefined
  const provider = kindName(name.slice(0, slash))
  return provider in known ? { provider, model: name.slice(slash + 1) } : undefined
}

/** The first provider kind for which `sells` holds: makers of models before those who resell them. */
export function firstSeller(sells: (provider: string) => boolean): string | undefined {
  return ['openai', 'anthropic', 'gemini', ...Object.keys(known)].find(sells)
}
