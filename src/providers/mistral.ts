// Mistral: sends usage with the last chunk of every stream, and rejects parameters it does not know, `stream_options` included.
import { allFieldsBut, type Refused } from './history.ts'
import { olderCapName, type ProviderKind, withPath } from './provider.ts'

// 422 "Extra inputs are not permitted": an assistant's message has content (in parts its own thoughts, too), tool_calls (null, too, and
// their index), prefix and role alone, and only a tool's has a name; and 400 "Tool call id was … but must be a-z, A-Z, 0-9, with a length
// of 9." 422 for an unknown role, too: "Input tag 'developer' found using 'role' does not match any of the expected tags". 400 "Assistant
// message must have either content or tool_calls, but not none."
const refused: Refused = {
  fields: allFieldsBut('tool_calls', 'thinking'),
  numbersCalls: true,
  callIds: { takes: /^[a-zA-Z0-9]{9}$/, length: 9 },
  developer: true,
  mute: true,
}

/** The families of which some think; Magistral is seen to take the thoughts of any model. Of the others nobody knows what they make of them. */
const thinks = /^(?:magistral|mistral-(?:small|medium))/
const thoughtful: Refused = { ...refused, listsThoughts: true }

export const mistral: ProviderKind = {
  name: 'mistral',
  title: 'Mistral AI',
  dialects: ['openai-chat'],
  baseUrl: 'https://api.mistral.ai/v1',
  baseUrlEnv: ['MISTRAL_BASE_URL'],
  keyEnv: ['MISTRAL_API_KEY'],
  keyHeader: 'authorization',
  streamUsage: 'always',
  capName: olderCapName,
  refuses: (model) => (thinks.test(model) ? thoughtful : refused),
  quirks: ['no-stream-options', 'untyped-tool-calls', 'listed-thoughts'],
  normalizeBaseUrl: withPath('/v1'),
  modelPrefixes: ['mistral-', 'ministral-', 'magistral-', 'codestral-', 'devstral-', 'pixtral-', 'voxtral-', 'open-mi'],
  models: ['mistral-large-latest', 'mistral-medium-latest', 'mistral-small-latest', 'codestral-latest'],
}
