// Azure OpenAI: OpenAI's models behind a resource of one's own, with the deployment in the path in all but the v1 API.
import { nothingRefused, refusedByOpenAI } from './history.ts'
import { capNameOfOpenAI, type ProviderKind, type ProviderOptions } from './provider.ts'

/** The v1 API needs no version; `preview` opts into unreleased parts of it. Everything dated is the deployments API. */
const isV1 = ({ apiVersion }: ProviderOptions) => !apiVersion || apiVersion === 'v1' || apiVersion === 'preview'
const query = ({ apiVersion }: ProviderOptions) =>
  !apiVersion || apiVersion === 'v1' ? '' : `?api-version=${encodeURIComponent(apiVersion)}`

export const azure: ProviderKind = {
  name: 'azure',
  title: 'Azure OpenAI',
  dialects: ['openai-chat'],
  baseUrlEnv: ['AZURE_OPENAI_ENDPOINT', 'AZURE_OPENAI_BASE_URL'],
  keyEnv: ['AZURE_OPENAI_API_KEY'],
  apiVersionEnv: ['AZURE_OPENAI_API_VERSION', 'OPENAI_API_VERSION'],
  keyHeader: 'api-key',
  streamUsage: 'ask',
  // `stream_options` came with 2024-09-01-preview; older versions answer 400 to it and send no usage in streams.
  streamUsageFor: (options) => (isV1(options) || options.apiVersion! >= '2024-09-01' ? 'ask' : 'never'),
  capName: capNameOfOpenAI,
  // A deployment's name says what its owner likes; other makers' models, that may read their own thoughts again, mostly keep theirs.
  refuses: (model) => (/deepseek|grok|kimi|qwen|glm|minimax|gpt-oss/i.test(model) ? nothingRefused : refusedByOpenAI),
  // A pasted call address or v1 base URL becomes the resource's address; a proxy's own path before `/openai` stays.
  normalizeBaseUrl: (url) =>
    url
      .replace(/[?#].*$/, '')
      .replace(/\/openai(\/.*)?$/, '')
      .replace(/\/+$/, ''),
  chatPath: (model, options) =>
    `/openai${isV1(options) ? '/v1' : `/deployments/${model}`}/chat/completions${query(options)}`,
  modelsPath: (options) => `/openai${isV1(options) ? '/v1' : ''}/models${query(options)}`,
}
