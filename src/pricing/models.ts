// Our own facts about models, laid over the price base: capabilities, limits, rough ability, service-tier factors, corrections.
//
// Keys are `provider/model` or a model alone; `*` stands for any run of characters. All entries that match a model are merged, the most
// exact first: an exact name beats a pattern, `provider/model` beats a model alone, a longer pattern beats a shorter one.
// Prices are USD per million tokens. An entry that names no `input` price corrects single classes of the price base; one that does
// replaces it. Every price or factor here names its source in a comment: change none without one.
// It is code, not YAML, because reading it as YAML took a tenth of the start.

/** Day of the last review. */
export const overlayVersion = '2026-11-23'

export const overlayModels = {
  // ---------------------------------------------------------------- service tiers, by vendor
  // OpenAI: batch and flex are half the list price (platform.openai.com/docs/pricing, tables "Batch" and "Flex").
  // Priority differs by model (same page, table "Priority"): only models whose factor is the same for every class are listed below;
  // others stay unknown rather than wrong.
  'openai/*': { serviceTiers: { batch: 0.5, flex: 0.5 } },
  'openai/gpt-5': { serviceTiers: { priority: 2 } },
  'openai/gpt-5.1': { serviceTiers: { priority: 2 } },
  'openai/gpt-5.2': { serviceTiers: { priority: 2 } },
  'openai/gpt-5-mini': { serviceTiers: { priority: 1.8 } },
  'openai/gpt-4.1': { serviceTiers: { priority: 1.75 } },
  'openai/gpt-4.1-mini': { serviceTiers: { priority: 1.75 } },
  'openai/gpt-4.1-nano': { serviceTiers: { priority: 2 } },
  'openai/gpt-4o': { serviceTiers: { priority: 1.7 } },
  'openai/o3': { serviceTiers: { priority: 1.75 } },
  // Azure: global batch is half the list price (azure.microsoft.com/pricing/details/cognitive-services/openai-service).
  'azure/*': { serviceTiers: { batch: 0.5 } },
  // Anthropic: batches cost half, caching included (docs.anthropic.com/en/docs/about-claude/pricing, "Batch processing").
  // `priority` is bought in advance by contract: no price per token is right for it, so it stays unknown unless configured.
  // Inference in the US alone costs 1.1 times as much in every class (same page, "Data residency pricing"). Models before Opus 4.6 do not
  // offer it.
  // A thousand web searches cost 10 USD with every model (same page, "Web search tool").
  'anthropic/*': { serviceTiers: { batch: 0.5, us: 1.1 }, webSearch: 0.01 },
  'anthropic/claude-3*': { serviceTiers: { us: 1 } },
  'anthropic/claude-opus-4': { serviceTiers: { us: 1 } },
  'anthropic/claude-opus-4@*': { serviceTiers: { us: 1 } },
  'anthropic/claude-opus-4-0*': { serviceTiers: { us: 1 } },
  'anthropic/claude-opus-4-2025*': { serviceTiers: { us: 1 } },
  'anthropic/claude-opus-4-1*': { serviceTiers: { us: 1 } },
  'anthropic/claude-opus-4-5*': { serviceTiers: { us: 1 } },
  'anthropic/claude-sonnet-4': { serviceTiers: { us: 1 } },
  'anthropic/claude-sonnet-4@*': { serviceTiers: { us: 1 } },
  'anthropic/claude-sonnet-4-0*': { serviceTiers: { us: 1 } },
  'anthropic/claude-sonnet-4-2025*': { serviceTiers: { us: 1 } },
  'anthropic/claude-sonnet-4-5*': { serviceTiers: { us: 1 } },
  'anthropic/claude-haiku-4-5*': { serviceTiers: { us: 1 } },
  // Fast mode: 30 and 150 USD, caching in proportion (same page, "Fast mode pricing"). Of other models it is not known.
  'anthropic/claude-opus-4-6': { serviceTiers: { fast: 6 } },
  // Gemini: batch mode costs half (ai.google.dev/gemini-api/docs/pricing).
  'gemini/*': { serviceTiers: { batch: 0.5 } },
  // Mistral: batch inference costs half (docs.mistral.ai, "Batch Inference").
  'mistral/*': { serviceTiers: { batch: 0.5 } },
  // Groq: batch costs half; flex costs the list price with higher limits (console.groq.com/docs/flex-processing, /docs/batch).
  'groq/*': { serviceTiers: { batch: 0.5, flex: 1 } },

  // ---------------------------------------------------------------- corrections
  // The base has only the text prices of these two (platform.openai.com/docs/pricing, "Audio tokens").
  'openai/gpt-4o-audio-preview*': { audioIn: 40, audioOut: 80 },
  'openai/gpt-4o-mini-audio-preview*': { audioIn: 10, audioOut: 20 },

  // ---------------------------------------------------------------- OpenAI
  '*gpt-6*': {
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'vision', 'pdf', 'reasoning', 'promptCache'],
    tier: 'frontier',
  },
  '*gpt-6-luna*': {
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'vision', 'pdf', 'reasoning', 'promptCache'],
    tier: 'medium',
  },
  '*gpt-5*': {
    maxOutput: 128000,
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'vision', 'pdf', 'reasoning', 'promptCache'],
    tier: 'frontier',
  },
  '*gpt-5*-mini*': { tier: 'medium' },
  '*gpt-5*-nano*': { tier: 'small' },
  '*gpt-5.6-luna*': { tier: 'medium' },
  '*gpt-5*-chat*': {
    maxOutput: 16384,
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'vision', 'promptCache'],
  },
  '*gpt-4.1*': {
    contextWindow: 1047576,
    maxOutput: 32768,
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'vision', 'pdf', 'promptCache'],
    tier: 'large',
  },
  '*gpt-4.1-mini*': { tier: 'medium' },
  '*gpt-4.1-nano*': { tier: 'small' },
  '*gpt-4o*': {
    contextWindow: 128000,
    maxOutput: 16384,
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'vision', 'pdf', 'promptCache'],
    tier: 'large',
  },
  '*gpt-4o-mini*': { tier: 'small' },
  '*gpt-4o-audio*': { capabilities: ['tools', 'audioIn', 'audioOut'] },
  '*gpt-4o-mini-audio*': { capabilities: ['tools', 'audioIn', 'audioOut'] },
  '*gpt-audio*': { maxOutput: 16384, capabilities: ['tools', 'audioIn', 'audioOut'], tier: 'large' },
  '*gpt-4-turbo*': {
    contextWindow: 128000,
    maxOutput: 4096,
    capabilities: ['tools', 'parallelTools', 'vision'],
    tier: 'large',
  },
  'gpt-4': { contextWindow: 8192, maxOutput: 8192, capabilities: ['tools'], tier: 'large' },
  '*gpt-3.5-turbo*': { contextWindow: 16385, maxOutput: 4096, capabilities: ['tools', 'parallelTools'], tier: 'small' },
  '*gpt-oss-120b*': { contextWindow: 131072, capabilities: ['tools', 'jsonSchema', 'reasoning'], tier: 'medium' },
  '*gpt-oss-20b*': { contextWindow: 131072, capabilities: ['tools', 'jsonSchema', 'reasoning'], tier: 'small' },
  o1: {
    contextWindow: 200000,
    maxOutput: 100000,
    capabilities: ['tools', 'jsonSchema', 'vision', 'reasoning'],
    tier: 'large',
  },
  o3: {
    contextWindow: 200000,
    maxOutput: 100000,
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'vision', 'pdf', 'reasoning', 'promptCache'],
    tier: 'frontier',
  },
  'o3-mini': {
    contextWindow: 200000,
    maxOutput: 100000,
    capabilities: ['tools', 'jsonSchema', 'reasoning'],
    tier: 'medium',
  },
  'o4-mini': {
    contextWindow: 200000,
    maxOutput: 100000,
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'vision', 'pdf', 'reasoning', 'promptCache'],
    tier: 'medium',
  },
  'text-embedding-3-large': { contextWindow: 8192, capabilities: ['embeddings'] },
  'text-embedding-3-small': { contextWindow: 8192, capabilities: ['embeddings'] },
  'text-embedding-ada-002': { contextWindow: 8192, capabilities: ['embeddings'] },

  // ---------------------------------------------------------------- Anthropic (also through Bedrock, Vertex, OpenRouter)
  '*claude-*opus*': {
    capabilities: ['tools', 'parallelTools', 'vision', 'pdf', 'reasoning', 'promptCache'],
    tier: 'frontier',
  },
  '*claude-*sonnet*': {
    capabilities: ['tools', 'parallelTools', 'vision', 'pdf', 'reasoning', 'promptCache'],
    tier: 'large',
  },
  '*claude-*haiku*': {
    capabilities: ['tools', 'parallelTools', 'vision', 'pdf', 'reasoning', 'promptCache'],
    tier: 'small',
  },
  '*claude-fable-*': {
    capabilities: ['tools', 'parallelTools', 'vision', 'pdf', 'reasoning', 'promptCache'],
    tier: 'frontier',
  },
  '*claude-opus-4-6*': { maxOutput: 128000 },
  '*claude-opus-4-5*': { contextWindow: 200000, maxOutput: 64000 },
  '*claude-opus-4-1*': { contextWindow: 200000, maxOutput: 32000 },
  '*claude-opus-4-2025*': { contextWindow: 200000, maxOutput: 32000 },
  '*claude-sonnet-4*': { maxOutput: 64000 },
  '*claude-haiku-4-5*': { contextWindow: 200000, maxOutput: 64000 },
  '*claude-3-7-sonnet*': { contextWindow: 200000, maxOutput: 64000 },
  '*claude-3-5-sonnet*': {
    contextWindow: 200000,
    maxOutput: 8192,
    capabilities: ['tools', 'parallelTools', 'vision', 'pdf', 'promptCache'],
  },
  '*claude-3-5-haiku*': {
    contextWindow: 200000,
    maxOutput: 8192,
    capabilities: ['tools', 'parallelTools', 'vision', 'pdf', 'promptCache'],
  },
  '*claude-3-opus*': {
    contextWindow: 200000,
    maxOutput: 4096,
    capabilities: ['tools', 'parallelTools', 'vision', 'promptCache'],
  },
  '*claude-3-haiku*': {
    contextWindow: 200000,
    maxOutput: 4096,
    capabilities: ['tools', 'parallelTools', 'vision', 'promptCache'],
  },

  // ---------------------------------------------------------------- Gemini (limits as its model list states them)
  '*gemini-3*': {
    contextWindow: 1048576,
    maxOutput: 65536,
    capabilities: [
      'tools',
      'parallelTools',
      'jsonSchema',
      'vision',
      'pdf',
      'audioIn',
      'video',
      'reasoning',
      'promptCache',
    ],
    tier: 'large',
  },
  '*gemini-3-pro*': { tier: 'frontier' },
  '*gemini-3.1-pro*': { tier: 'frontier' },
  '*gemini-3.1-flash-lite*': { tier: 'small' },
  '*gemini-3.5-flash-lite*': { tier: 'small' },
  '*gemini-3-pro-image*': {
    contextWindow: 131072,
    maxOutput: 32768,
    capabilities: ['vision', 'imageOut', 'reasoning'],
  },
  '*gemini-3.1-flash-image*': {
    contextWindow: 65536,
    maxOutput: 65536,
    capabilities: ['vision', 'imageOut', 'reasoning'],
  },
  '*gemini-3.1-flash-lite-image*': { contextWindow: 65536, maxOutput: 65536, capabilities: ['vision', 'imageOut'] },
  '*gemini-2.5-pro*': {
    contextWindow: 1048576,
    maxOutput: 65536,
    capabilities: [
      'tools',
      'parallelTools',
      'jsonSchema',
      'vision',
      'pdf',
      'audioIn',
      'video',
      'reasoning',
      'promptCache',
    ],
    tier: 'large',
  },
  '*gemini-2.5-flash*': {
    contextWindow: 1048576,
    maxOutput: 65536,
    capabilities: [
      'tools',
      'parallelTools',
      'jsonSchema',
      'vision',
      'pdf',
      'audioIn',
      'video',
      'reasoning',
      'promptCache',
    ],
    tier: 'medium',
  },
  '*gemini-2.5-flash-lite*': { tier: 'small' },
  '*gemini-2.5-flash-image*': { contextWindow: 32768, maxOutput: 32768, capabilities: ['vision', 'imageOut'] },
  '*gemini-2.0-flash*': {
    contextWindow: 1048576,
    maxOutput: 8192,
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'vision', 'pdf', 'audioIn', 'video', 'promptCache'],
    tier: 'small',
  },
  '*gemini-embedding*': { capabilities: ['embeddings'] },

  // ---------------------------------------------------------------- others
  '*mistral-large*': { contextWindow: 131072, capabilities: ['tools', 'parallelTools', 'jsonSchema'], tier: 'large' },
  '*mistral-medium*': {
    contextWindow: 131072,
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'vision'],
    tier: 'medium',
  },
  '*mistral-small*': {
    contextWindow: 131072,
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'vision'],
    tier: 'small',
  },
  '*codestral*': { capabilities: ['tools', 'parallelTools', 'jsonSchema'], tier: 'medium' },
  '*deepseek-v4*': { capabilities: ['tools', 'parallelTools', 'reasoning', 'promptCache'], tier: 'large' },
  'deepseek-chat': { capabilities: ['tools', 'parallelTools', 'promptCache'], tier: 'large' },
  'deepseek-reasoner': { capabilities: ['tools', 'reasoning', 'promptCache'], tier: 'large' },
  '*deepseek-r1*': { capabilities: ['reasoning'], tier: 'large' },
  '*grok-4*': {
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'vision', 'reasoning', 'promptCache'],
    tier: 'frontier',
  },
  '*grok-3*': { contextWindow: 131072, capabilities: ['tools', 'parallelTools', 'jsonSchema'], tier: 'large' },
  '*grok-3-mini*': {
    contextWindow: 131072,
    capabilities: ['tools', 'parallelTools', 'jsonSchema', 'reasoning'],
    tier: 'small',
  },
  '*llama-4-maverick*': { capabilities: ['tools', 'vision'], tier: 'medium' },
  '*llama-4-scout*': { capabilities: ['tools', 'vision'], tier: 'small' },
  '*llama-3.3-70b*': { contextWindow: 131072, capabilities: ['tools'], tier: 'medium' },
  '*llama-3.1-8b*': { contextWindow: 131072, capabilities: ['tools'], tier: 'small' },
}
