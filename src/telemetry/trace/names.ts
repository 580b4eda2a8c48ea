// What attributes of spans are called: OpenTelemetry's names for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/), and ours.

export const names = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  responseModel: 'gen_ai.response.model',
  responseId: 'gen_ai.response.id',
  finishReasons: 'gen_ai.response.finish_reasons',
  /** Cached tokens included. */
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  cacheReadTokens: 'gen_ai.usage.cache_read.input_tokens',
  cacheWriteTokens: 'gen_ai.usage.cache_creation.input_tokens',
  errorType: 'error.type',
  status: 'http.response.status_code',
  serverAddress: 'server.address',
  user: 'enduser.pseudo.id',
  request: 'turnout.request.id',
  route: 'turnout.route',
  key: 'turnout.key',
  team: 'turnout.team',
  dialect: 'turnout.dialect',
  stream: 'turnout.stream',
  outcome: 'turnout.outcome',
  config: 'turnout.config.version',
  rollout: 'turnout.rollout',
  arm: 'turnout.rollout.arm',
  target: 'turnout.target',
  lane: 'turnout.lane',
  attempt: 'turnout.attempt',
  reason: 'turnout.attempt.reason',
  /** Milliseconds from the start of the span. */
  firstToken: 'turnout.first_token_ms',
  /** Integer nano-USD. */
  cost: 'turnout.cost.nano_usd',
} as const

/** Our kinds of provider as OpenTelemetry calls them; the others go by their own names. */
const providers: Readonly<Record<string, string>> = {
  azure: 'azure.ai.openai',
  gemini: 'gcp.gemini',
  vertex: 'gcp.vertex_ai',
  bedrock: 'aws.bedrock',
  mistral: 'mistral_ai',
  xai: 'x_ai',
}

export const providerName = (kind: string): string => providers[kind] ?? kind
