// The matrix of OpenAI chat requests: every parameter alone, its interesting values, and typical combinations.

type Json = Record<string, unknown>

export interface MatrixCase {
  /** The parameter, as the client writes it; the first column of the documentation. */
  param: string
  /** What of it, where there are several cases of one parameter. */
  about: string
  body: Json
}

const user = { role: 'user', content: 'Hello' }
const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const pdf = 'JVBERi0xLjQKJSVFT0YK'
const wav = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA='

/** The request that every case is laid over. */
export const baseRequest: Json = { model: 'route', messages: [user] }

const weather: Json = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Current weather',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
      additionalProperties: false,
    },
  },
}
const clock: Json = { type: 'function', function: { name: 'get_time' } }
const person = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
}

const say = (...content: Json[]): Json => ({
  messages: [{ role: 'user', content: [{ type: 'text', text: 'Look' }, ...content] }],
})
const tool = (parameters: unknown, more: Json = {}): Json => ({
  tools: [{ type: 'function', function: { name: 'f', parameters, ...more } }],
})
const call = (id: string, name: string, args: string, more: Json = {}): Json => ({
  id,
  type: 'function',
  function: { name, arguments: args },
  ...more,
})
const toolTurn = (assistant: Json = {}, result: unknown = '21 °C'): Json => ({
  messages: [
    user,
    { role: 'assistant', content: null, tool_calls: [call('call_1', 'get_weather', '{"city":"Oslo"}')], ...assistant },
    { role: 'tool', tool_call_id: 'call_1', content: result },
  ],
  tools: [weather],
})
const schema = (inner: unknown, more: Json = {}): Json => ({
  response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: inner, strict: true, ...more } },
})

const claude = 'anthropic-claude-v1'
const google = 'google-gemini-v1'
const signed = (format: string): Json => ({
  reasoning_content: 'Thinking.',
  reasoning_details: [{ type: 'reasoning.text', text: 'Thinking.', signature: 'c2ln', format, index: 0 }],
})

/** `[parameter, about, body]`. */
const rows: [string, string, Json][] = [
  // Plain values.
  ['messages', 'one user message', {}],
  ['stream', 'true', { stream: true }],
  ['stream', 'false', { stream: false }],
  ['stream_options', 'include_usage', { stream: true, stream_options: { include_usage: true } }],
  ['stream_options', 'include_obfuscation: false', { stream: true, stream_options: { include_obfuscation: false } }],
  ['stream_options', 'include_obfuscation: true', { stream: true, stream_options: { include_obfuscation: true } }],
  ['max_tokens', '100', { max_tokens: 100 }],
  ['max_tokens', 'more than there are', { max_tokens: 10_000_000 }],
  ['max_completion_tokens', '100', { max_completion_tokens: 100 }],
  ['max_completion_tokens', 'beside max_tokens', { max_completion_tokens: 100, max_tokens: 200 }],
  ['temperature', '0', { temperature: 0 }],
  ['temperature', '0.5', { temperature: 0.5 }],
  ['temperature', '1', { temperature: 1 }],
  ['temperature', '1.7', { temperature: 1.7 }],
  ['top_p', '0.9', { top_p: 0.9 }],
  ['top_p', '1', { top_p: 1 }],
  ['top_p', 'beside temperature', { top_p: 0.9, temperature: 0.5 }],
  ['top_p', 'beside temperature 1', { top_p: 0.9, temperature: 1 }],
  ['top_k', '40', { top_k: 40 }],
  ['frequency_penalty', '0', { frequency_penalty: 0 }],
  ['frequency_penalty', '0.5', { frequency_penalty: 0.5 }],
  ['presence_penalty', '0.5', { presence_penalty: 0.5 }],
  ['stop', 'a string', { stop: 'END' }],
  ['stop', 'a list', { stop: ['END', 'STOP'] }],
  ['stop', 'white space', { stop: ['\n', 'END'] }],
  ['stop', 'seven', { stop: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] }],
  ['seed', '7', { seed: 7 }],
  ['seed', 'beyond 32 bits', { seed: 9_007_199_254_740_991 }],
  ['n', '1', { n: 1 }],
  ['n', '3', { n: 3 }],
  ['n', '20', { n: 20 }],
  ['logprobs', 'true', { logprobs: true }],
  ['logprobs', 'false', { logprobs: false }],
  ['top_logprobs', '3', { logprobs: true, top_logprobs: 3 }],
  ['top_logprobs', 'without logprobs', { top_logprobs: 3 }],
  ['logit_bias', 'one token', { logit_bias: { 50256: -100 } }],
  ['logit_bias', 'empty', { logit_bias: {} }],
  ['user', 'an id', { user: 'user-17' }],
  ['user', 'too long', { user: 'u'.repeat(600) }],
  ['safety_identifier', 'an id', { safety_identifier: 'abc123' }],
  ['metadata', 'one field', { metadata: { team: 'search' } }],
  ['metadata', 'user_id', { metadata: { user_id: 'user-17' } }],
  ['service_tier', 'auto', { service_tier: 'auto' }],
  ['service_tier', 'default', { service_tier: 'default' }],
  ['service_tier', 'flex', { service_tier: 'flex' }],
  ['service_tier', 'priority', { service_tier: 'priority' }],
  ['store', 'false', { store: false }],
  ['store', 'true', { store: true }],
  ['prediction', 'content', { prediction: { type: 'content', content: 'Hello' } }],
  ['prompt_cache_key', 'a key', { prompt_cache_key: 'k' }],
  ['prompt_cache_retention', '24h', { prompt_cache_retention: '24h' }],
  ['verbosity', 'medium', { verbosity: 'medium' }],
  ['verbosity', 'low', { verbosity: 'low' }],
  ['modalities', 'text', { modalities: ['text'] }],
  ['modalities', 'text and audio', { modalities: ['text', 'audio'], audio: { voice: 'alloy', format: 'wav' } }],
  ['moderation', 'a model', { moderation: { model: 'omni-moderation-latest' } }],
  ['web_search_options', 'plain', { web_search_options: {} }],
  ['web_search_options', 'size', { web_search_options: { search_context_size: 'low' } }],
  [
    'web_search_options',
    'location',
    { web_search_options: { user_location: { type: 'approximate', approximate: { city: 'Utrecht', country: 'NL' } } } },
  ],
  ['web_search_options', 'beside functions', { web_search_options: {}, tools: [weather] }],
  [
    'web_search_options',
    'beside a function of that name',
    { web_search_options: {}, tools: [{ type: 'function', function: { name: 'web_search' } }] },
  ],
  ['min_p', 'an extension of other servers', { min_p: 0.1 }],
  // How much to think.
  ...['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'].map((effort): [string, string, Json] => [
    'reasoning_effort',
    effort,
    { reasoning_effort: effort },
  ]),
  ['reasoning_effort', 'with temperature', { reasoning_effort: 'high', temperature: 0.3 }],
  ['reasoning_effort', 'with top_p 0.5', { reasoning_effort: 'high', top_p: 0.5 }],
  ['reasoning_effort', 'with top_k', { reasoning_effort: 'high', top_k: 10 }],
  ['reasoning_effort', 'with a small max_tokens', { reasoning_effort: 'high', max_tokens: 500 }],
  ['reasoning_effort', 'with max_tokens 2000', { reasoning_effort: 'high', max_tokens: 2000 }],
  ['reasoning_effort', 'with a forced tool', { reasoning_effort: 'low', tools: [weather], tool_choice: 'required' }],
  [
    'reasoning_effort',
    'with an answer that is begun',
    { reasoning_effort: 'low', messages: [user, { role: 'assistant', content: 'The answer is' }] },
  ],
  ['reasoning_effort', 'an unknown word', { reasoning_effort: 'heroic' }],
  ['reasoning', 'effort', { reasoning: { effort: 'high' } }],
  ['reasoning', 'max_tokens', { reasoning: { max_tokens: 3000 } }],
  ['reasoning', 'max_tokens beyond all', { reasoning: { max_tokens: 900_000 } }],
  ['reasoning', 'enabled', { reasoning: { enabled: true } }],
  ['reasoning', 'enabled: false', { reasoning: { enabled: false } }],
  ['reasoning', 'exclude', { reasoning: { effort: 'low', exclude: true } }],
  ['thinking', 'enabled with a budget', { thinking: { type: 'enabled', budget_tokens: 2048 } }],
  ['thinking', 'adaptive', { thinking: { type: 'adaptive' } }],
  ['thinking', 'disabled', { thinking: { type: 'disabled' } }],
  // Tools.
  ['tools', 'one function', { tools: [weather] }],
  ['tools', 'without parameters', { tools: [clock] }],
  ['tools', 'strict', { tools: [{ ...weather, function: { ...(weather.function as Json), strict: true } }] }],
  [
    'tools',
    'strict with a schema that cannot be',
    tool({ type: 'object', properties: { n: { type: 'integer', minimum: 1 } } }, { strict: true }),
  ],
  ['tools', 'schema without a type', tool({ properties: { a: { type: 'string' } } })],
  [
    'tools',
    'schema with $ref',
    tool({ type: 'object', properties: { p: { $ref: '#/$defs/P' } }, $defs: { P: { type: 'string' } } }),
  ],
  [
    'tools',
    'schema that contains itself',
    tool({
      type: 'object',
      properties: { root: { $ref: '#/$defs/N' } },
      $defs: { N: { type: 'object', properties: { next: { $ref: '#/$defs/N' } } } },
    }),
  ],
  ['tools', 'schema with a nullable type', tool({ type: 'object', properties: { a: { type: ['string', 'null'] } } })],
  ['tools', 'schema with several types', tool({ type: 'object', properties: { a: { type: ['string', 'integer'] } } })],
  [
    'tools',
    'schema with const',
    tool({ type: 'object', properties: { a: { const: 'x' }, b: { const: 3 }, c: { const: true } } }),
  ],
  [
    'tools',
    'schema with enum',
    tool({ type: 'object', properties: { a: { type: 'string', enum: ['x', 'y'] }, b: { enum: [1, 2, null] } } }),
  ],
  [
    'tools',
    'schema with an enum that has an empty text',
    tool({ type: 'object', properties: { a: { type: 'string', enum: ['', 'x'] } } }),
  ],
  [
    'tools',
    'schema with anyOf null',
    tool({ type: 'object', properties: { a: { anyOf: [{ type: 'string' }, { type: 'null' }] } } }),
  ],
  [
    'tools',
    'schema with oneOf',
    tool({ type: 'object', properties: { a: { oneOf: [{ type: 'string' }, { type: 'number' }] } } }),
  ],
  [
    'tools',
    'schema with allOf',
    tool({ type: 'object', allOf: [{ properties: { a: { type: 'string' } }, required: ['a'] }] }),
  ],
  [
    'tools',
    'schema with bounds',
    tool({
      type: 'object',
      properties: {
        s: { type: 'string', minLength: 1, maxLength: 9, pattern: '^a', format: 'email' },
        n: { type: 'number', minimum: 0, exclusiveMaximum: 9, multipleOf: 3 },
        l: { type: 'array', minItems: 1, maxItems: 3, uniqueItems: true },
      },
    }),
  ],
  [
    'tools',
    'schema with tuples',
    tool({
      type: 'object',
      properties: { a: { type: 'array', prefixItems: [{ type: 'number' }, { type: 'string' }] } },
    }),
  ],
  [
    'tools',
    'schema with patternProperties',
    tool({ type: 'object', properties: { a: { type: 'object', patternProperties: { '^x': {} } } } }),
  ],
  ['tools', 'cache_control', { tools: [{ ...weather, cache_control: { type: 'ephemeral', ttl: '1h' } }] }],
  ['tools', 'custom', { tools: [{ type: 'custom', custom: { name: 'sql', description: 'Runs SQL' } }] }],
  ['tools', 'a tool of Anthropic', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }],
  ['tools', 'a tool of Google', { tools: [{ type: 'google_search' }] }],
  [
    'tools',
    'many',
    { tools: [weather, clock, ...(tool({ type: 'object', properties: { q: { type: 'string' } } }).tools as Json[])] },
  ],
  ['tool_choice', 'auto', { tools: [weather], tool_choice: 'auto' }],
  ['tool_choice', 'none', { tools: [weather], tool_choice: 'none' }],
  ['tool_choice', 'required', { tools: [weather], tool_choice: 'required' }],
  [
    'tool_choice',
    'named',
    { tools: [weather, clock], tool_choice: { type: 'function', function: { name: 'get_time' } } },
  ],
  [
    'tool_choice',
    'allowed_tools',
    {
      tools: [weather, clock],
      tool_choice: {
        type: 'allowed_tools',
        allowed_tools: { mode: 'required', tools: [{ type: 'function', function: { name: 'get_time' } }] },
      },
    },
  ],
  ['tool_choice', 'required without tools', { tool_choice: 'required' }],
  ['parallel_tool_calls', 'true', { tools: [weather], parallel_tool_calls: true }],
  ['parallel_tool_calls', 'false', { tools: [weather], parallel_tool_calls: false }],
  [
    'parallel_tool_calls',
    'false and required',
    { tools: [weather], tool_choice: 'required', parallel_tool_calls: false },
  ],
  ['functions', 'deprecated', { functions: [weather.function as Json] }],
  [
    'function_call',
    'deprecated, named',
    { functions: [weather.function as Json], function_call: { name: 'get_weather' } },
  ],
  // Answer formats.
  ['response_format', 'text', { response_format: { type: 'text' } }],
  ['response_format', 'json_object', { response_format: { type: 'json_object' } }],
  ['response_format', 'json_object with a schema', { response_format: { type: 'json_object', schema: person } }],
  ['response_format', 'json_schema', schema(person)],
  ['response_format', 'json_schema that is open', schema({ type: 'object', properties: { a: { type: 'string' } } })],
  [
    'response_format',
    'json_schema with bounds',
    schema({ ...person, properties: { age: { type: 'integer', minimum: 0 } }, required: ['age'] }),
  ],
  [
    'response_format',
    'json_schema with $defs',
    schema({
      type: 'object',
      properties: { p: { $ref: '#/$defs/P' } },
      required: ['p'],
      additionalProperties: false,
      $defs: { P: person },
    }),
  ],
  [
    'response_format',
    'json_schema with a map',
    schema({ type: 'object', properties: { m: { type: 'object', additionalProperties: { type: 'number' } } } }),
  ],
  [
    'response_format',
    'json_schema that contains itself',
    schema({ type: 'object', properties: { next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } } }),
  ],
  [
    'response_format',
    'json_schema of a list of maps',
    schema({ type: 'array', items: { type: 'object', additionalProperties: { type: 'number' } } }),
  ],
  ['response_format', 'json_schema with tools', { ...schema(person), tools: [weather] }],
  [
    'response_format',
    'json_schema with a required tool',
    { ...schema(person), tools: [weather], tool_choice: 'required' },
  ],
  ['response_format', 'json_object with tools', { response_format: { type: 'json_object' }, tools: [weather] }],
  // Messages.
  ['messages', 'system', { messages: [{ role: 'system', content: 'Be brief.' }, user] }],
  ['messages', 'developer', { messages: [{ role: 'developer', content: 'Be brief.' }, user] }],
  [
    'messages',
    'several system messages',
    {
      messages: [
        { role: 'system', content: 'A' },
        {
          role: 'developer',
          content: [
            { type: 'text', text: 'B' },
            { type: 'text', text: 'C' },
          ],
        },
        user,
      ],
    },
  ],
  [
    'messages',
    'a later system message',
    { messages: [user, { role: 'assistant', content: 'Hi' }, { role: 'system', content: 'Now in French.' }, user] },
  ],
  ['messages', 'only system', { messages: [{ role: 'system', content: 'Tell a joke.' }] }],
  ['messages', 'assistant first', { messages: [{ role: 'assistant', content: 'Welcome!' }, user] }],
  ['messages', 'assistant last', { messages: [user, { role: 'assistant', content: 'The answer is ' }] }],
  ['messages', 'two users in a row', { messages: [user, { role: 'user', content: 'Anyone?' }] }],
  ['messages', 'empty user message', { messages: [{ role: 'user', content: '' }, user] }],
  ['messages', 'empty assistant message', { messages: [user, { role: 'assistant', content: '' }, user] }],
  ['messages', 'a message of white space', { messages: [user, { role: 'assistant', content: '\n\n' }, user] }],
  ['messages', 'name', { messages: [{ role: 'user', name: 'Ada', content: 'Hello' }] }],
  ['messages', 'refusal', { messages: [user, { role: 'assistant', content: null, refusal: 'No.' }, user] }],
  [
    'messages',
    'annotations',
    {
      messages: [
        user,
        {
          role: 'assistant',
          content: 'Hi',
          annotations: [
            {
              type: 'url_citation',
              url_citation: { url: 'https://example.com', title: 'E', start_index: 0, end_index: 2 },
            },
          ],
        },
        user,
      ],
    },
  ],
  ['messages', 'a tool turn', toolTurn()],
  ['messages', 'a tool turn with text', toolTurn({ content: 'Let me look.' })],
  ['messages', 'a tool turn without tools', { ...toolTurn(), tools: undefined }],
  ['messages', 'a tool turn, then the user', { ...toolTurn(), messages: [...(toolTurn().messages as Json[]), user] }],
  [
    'messages',
    'a tool result in parts',
    toolTurn({}, [
      { type: 'text', text: '21' },
      { type: 'text', text: '°C' },
    ]),
  ],
  ['messages', 'an empty tool result', toolTurn({}, '')],
  ['messages', 'a tool result with $ref', toolTurn({}, '{"$ref":"#/a","type":["x","null"]}')],
  [
    'messages',
    'parallel calls, answers out of order',
    {
      tools: [weather, clock],
      messages: [
        user,
        {
          role: 'assistant',
          content: null,
          tool_calls: [call('a', 'get_weather', '{"city":"Oslo"}'), call('b', 'get_time', '')],
        },
        { role: 'tool', tool_call_id: 'b', content: '12:00' },
        { role: 'tool', tool_call_id: 'a', content: '21 °C' },
      ],
    },
  ],
  [
    'messages',
    'call ids with dots',
    {
      ...toolTurn(),
      messages: [
        user,
        { role: 'assistant', tool_calls: [call('functions.f:0', 'get_weather', '{}')] },
        { role: 'tool', tool_call_id: 'functions.f:0', content: 'x' },
      ],
    },
  ],
  ['messages', 'malformed tool arguments', toolTurn({ tool_calls: [call('call_1', 'get_weather', '{"city":')] })],
  ['messages', 'tool arguments that are a list', toolTurn({ tool_calls: [call('call_1', 'get_weather', '[1]')] })],
  [
    'messages',
    'deprecated function messages',
    {
      functions: [weather.function],
      messages: [
        user,
        { role: 'assistant', content: null, function_call: { name: 'get_weather', arguments: '{}' } },
        { role: 'function', name: 'get_weather', content: '21' },
      ],
    },
  ],
  [
    'messages',
    'cache_control on a message',
    { messages: [{ role: 'system', content: 'Long', cache_control: { type: 'ephemeral', ttl: '1h' } }, user] },
  ],
  [
    'messages',
    'cache_control on a call',
    toolTurn({
      tool_calls: [call('call_1', 'get_weather', '{"city":"Oslo"}', { cache_control: { type: 'ephemeral' } })],
    }),
  ],
  [
    'messages',
    'cache_control on a tool’s answer',
    {
      ...toolTurn(),
      messages: (toolTurn().messages as Json[]).map((message) =>
        message.role === 'tool' ? { ...message, cache_control: { type: 'ephemeral', ttl: '1h' } } : message,
      ),
    },
  ],
  [
    'messages',
    'cache_control on a part',
    { messages: [{ role: 'user', content: [{ type: 'text', text: 'Long', cache_control: { type: 'ephemeral' } }] }] },
  ],
  [
    'messages',
    'prompt_cache_breakpoint',
    {
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Long', prompt_cache_breakpoint: { mode: 'explicit' } }] },
      ],
    },
  ],
  [
    'messages',
    'six cache marks',
    {
      messages: [
        {
          role: 'user',
          content: [1, 2, 3, 4, 5, 6].map((n) => ({
            type: 'text',
            text: `${n}`,
            cache_control: { type: 'ephemeral' },
          })),
        },
      ],
    },
  ],
  ['cache_control', 'top level', { cache_control: { type: 'ephemeral' } }],
  ['messages', 'text in several parts', say({ type: 'text', text: 'B' }, { type: 'text', text: 'C' })],
  ['image_url', 'address', say({ type: 'image_url', image_url: { url: 'https://example.com/cat.png' } })],
  ['image_url', 'address without an ending', say({ type: 'image_url', image_url: { url: 'https://example.com/cat' } })],
  [
    'image_url',
    'detail',
    say({ type: 'image_url', image_url: { url: 'https://example.com/cat.png', detail: 'high' } }),
  ],
  ['image_url', 'data URL', say({ type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } })],
  [
    'image_url',
    'data URL of another type',
    say({ type: 'image_url', image_url: { url: `data:image/bmp;base64,Qk0aAAAAAAAAAA==` } }),
  ],
  ['file', 'PDF', say({ type: 'file', file: { filename: 'a.pdf', file_data: `data:application/pdf;base64,${pdf}` } })],
  ['file', 'PDF without a name', say({ type: 'file', file: { file_data: `data:application/pdf;base64,${pdf}` } })],
  ['file', 'PDF by address', say({ type: 'file', file: { file_data: 'https://example.com/a.pdf' } })],
  [
    'file',
    'text',
    say({ type: 'file', file: { file_data: `data:text/plain;base64,${Buffer.from('Hi').toString('base64')}` } }),
  ],
  ['file', 'another type', say({ type: 'file', file: { file_data: 'data:application/zip;base64,UEsFBg==' } })],
  ['file', 'file_id of OpenAI', say({ type: 'file', file: { file_id: 'file-abc' } })],
  ['file', 'file_id of Google', say({ type: 'file', file: { file_id: 'files/abc' } })],
  ['input_audio', 'wav', say({ type: 'input_audio', input_audio: { data: wav, format: 'wav' } })],
  ['input_audio', 'mp3', say({ type: 'input_audio', input_audio: { data: wav, format: 'mp3' } })],
  ['video_url', 'address', say({ type: 'video_url', video_url: { url: 'https://example.com/a.mp4' } })],
  ['video_url', 'YouTube', say({ type: 'video_url', video_url: { url: 'https://youtu.be/abc' } })],
  ['content', 'a part of an unknown type', say({ type: 'hologram', hologram: {} })],
  // Thoughts coming back.
  [
    'reasoning_content',
    'alone',
    { messages: [user, { role: 'assistant', content: 'Hi', reasoning_content: 'Thinking.' }, user] },
  ],
  [
    'reasoning_details',
    'signed by Anthropic',
    { messages: [user, { role: 'assistant', content: 'Hi', ...signed(claude) }, user] },
  ],
  [
    'reasoning_details',
    'and nothing said after them',
    { messages: [user, { role: 'assistant', content: '', ...signed(claude) }, user] },
  ],
  [
    'reasoning_details',
    'signed by Google',
    { messages: [user, { role: 'assistant', content: 'Hi', ...signed(google) }, user] },
  ],
  [
    'reasoning_details',
    'redacted',
    {
      messages: [
        user,
        {
          role: 'assistant',
          content: 'Hi',
          reasoning_details: [{ type: 'reasoning.encrypted', data: 'b3BhcXVl', format: claude, index: 0 }],
        },
        user,
      ],
    },
  ],
  ['reasoning_details', 'in a tool turn, thinking on', { ...toolTurn(signed(claude)), reasoning_effort: 'medium' }],
  [
    'reasoning_details',
    'before the first of two steps, thinking on',
    {
      ...toolTurn(),
      messages: [
        ...(toolTurn(signed(claude)).messages as Json[]),
        { role: 'assistant', content: null, tool_calls: [call('call_2', 'get_weather', '{"city":"Bergen"}')] },
        { role: 'tool', tool_call_id: 'call_2', content: '9 °C' },
      ],
      reasoning_effort: 'medium',
    },
  ],
  ['reasoning_details', 'lost in a tool turn, thinking on', { ...toolTurn(), reasoning_effort: 'medium' }],
  [
    'reasoning_details',
    'a function call signed by Google',
    toolTurn({
      reasoning_details: [{ type: 'reasoning.encrypted', data: 'c2ln', id: 'call_1', format: google, index: 0 }],
    }),
  ],
  [
    'extra_content',
    'a function call signed by Google',
    toolTurn({
      tool_calls: [
        call('call_1', 'get_weather', '{"city":"Oslo"}', { extra_content: { google: { thought_signature: 'c2ln' } } }),
      ],
    }),
  ],
  // Combinations as real programs send them.
  [
    'combination',
    'agent',
    {
      messages: [
        { role: 'system', content: 'You are an agent.' },
        ...(toolTurn({ content: 'Looking.' }).messages as Json[]),
      ],
      tools: [weather, clock],
      tool_choice: 'auto',
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    },
  ],
  [
    'combination',
    'extraction',
    {
      ...schema(person),
      temperature: 0,
      seed: 1,
      max_tokens: 500,
      messages: [{ role: 'system', content: 'Extract.' }, user],
    },
  ],
  [
    'combination',
    'vision',
    {
      ...say({ type: 'image_url', image_url: { url: `data:image/png;base64,${png}`, detail: 'low' } }),
      max_tokens: 300,
      temperature: 0.2,
    },
  ],
  ['combination', 'deep thought', { reasoning_effort: 'high', max_completion_tokens: 20_000, stream: true }],
  [
    'combination',
    'chat',
    { temperature: 0.7, top_p: 1, presence_penalty: 0, frequency_penalty: 0, stop: ['\n\nHuman:'], user: 'u1', n: 1 },
  ],
  [
    'combination',
    'document',
    {
      messages: [
        { role: 'system', content: [{ type: 'text', text: 'Cite.', cache_control: { type: 'ephemeral', ttl: '1h' } }] },
        {
          role: 'user',
          content: [
            { type: 'file', file: { filename: 'r.pdf', file_data: `data:application/pdf;base64,${pdf}` } },
            { type: 'text', text: 'Summarise.' },
          ],
        },
      ],
      max_tokens: 1000,
    },
  ],
  [
    'combination',
    'thinking agent',
    {
      ...toolTurn({ content: 'Hm.', ...signed(claude) }),
      reasoning_effort: 'low',
      parallel_tool_calls: false,
      stream: true,
    },
  ],
]

export const matrix: readonly MatrixCase[] = rows.map(([param, about, body]) => {
  const merged = { ...baseRequest, ...body }
  for (const name of Object.keys(merged)) if ((merged as Json)[name] === undefined) delete (merged as Json)[name]
  return { param, about, body: merged }
})

/** One model of each kind that families tell apart. */
export const models = {
  'anthropic-messages': ['claude-3-5-haiku-20241022', 'claude-sonnet-4-5', 'claude-opus-4-6', 'claude-opus-5'],
  gemini: ['gemini-1.5-flash', 'gemini-2.0-flash', 'gemini-2.5-flash', 'gemini-3-pro-preview'],
} as const
