// Checks single content blocks that hold media, and knows all kinds of blocks there are.
import { checkChoice, checkObject, checkString, fail, isObject, type Wire } from './values.ts'

/** Blocks of tools that Anthropic runs itself are taken as they are. */
export const knownBlocks: readonly string[] = [
  'text',
  'image',
  'document',
  'search_result',
  'thinking',
  'redacted_thinking',
  'tool_use',
  'tool_result',
  'server_tool_use',
  'web_search_tool_result',
  'web_fetch_tool_result',
  'code_execution_tool_result',
  'bash_code_execution_tool_result',
  'text_editor_code_execution_tool_result',
  'tool_search_tool_result',
  'container_upload',
]

const IMAGE_TYPES = ['image/jpeg', 'image/png', 'image/gif', 'image/webp']
/** How they begin in base64. */
const IMAGE_STARTS = [
  ['image/png', 'iVBORw0KGgo'],
  ['image/jpeg', '/9j/'],
  ['image/gif', 'R0lGOD'],
  ['image/webp', 'UklGR'],
] as const
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/** Returns the base64 or the address. Throws `WireRefusal`. */
export function checkImage(block: Wire, path: string): string {
  checkObject(block, path, ['type', 'source', 'cache_control'], ['source'])
  return checkSource(block.source, `${path}.source`, { base64: IMAGE_TYPES })
}

/** Returns the base64 or the address. Throws `WireRefusal`. */
export function checkDocument(block: Wire, path: string): string {
  checkObject(block, path, ['type', 'source', 'cache_control', 'citations', 'context', 'title'], ['source'])
  if (block.title !== undefined && block.title !== null) checkString(block.title, `${path}.title`)
  return checkSource(block.source, `${path}.source`, { base64: ['application/pdf'], text: ['text/plain'] })
}

function checkSource(source: unknown, path: string, types: { base64: string[]; text?: string[] }): string {
  const type = isObject(source) ? source.type : undefined
  const tags = ['base64', 'url', ...(types.text ? ['text'] : [])]
  checkChoice(type, `${path}.type`, tags)
  const inner = `${path}.${type}`
  if (type === 'url') {
    const url = checkString(checkObject(source, inner, ['type', 'url'], ['url']).url, `${inner}.url`)
    if (!/^https?:\/\/./i.test(url)) fail(`${inner}.url`, 'Only HTTP(S) URLs are supported.')
    return url
  }
  const fields = checkObject(source, inner, ['type', 'media_type', 'data'], ['media_type', 'data'])
  checkChoice(fields.media_type, `${inner}.media_type`, (type === 'text' ? types.text : types.base64) ?? [])
  const data = checkString(fields.data, `${inner}.data`)
  // Text is told apart from bytes by nobody who compares: other vendors get it in base64.
  if (type === 'text') return Buffer.from(data).toString('base64')
  if (!BASE64.test(data)) fail(`${inner}.data`, 'Input should be valid base64')
  const [seen] = IMAGE_STARTS.find(([, start]) => data.startsWith(start)) ?? []
  if (seen !== undefined && types.base64.includes(seen) && seen !== fields.media_type) {
    const told = `The image was specified using the ${fields.media_type} media type, but the image appears to be a ${seen} image`
    fail(`${path}.base64`, told)
  }
  return data
}
