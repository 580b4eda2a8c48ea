// What kind of file bytes are, by how they begin: clients often write another type into a data URL, and some vendors refuse that.

/** Types that say nothing. */
const vague: ReadonlySet<string> = new Set(['', 'application/octet-stream', 'binary/octet-stream', 'image', 'image/*'])

/**
 * The type of a data URL's content. OpenAI looks at the bytes and not at the type; Anthropic refuses an image that "was specified using the
 * image/jpeg media type, but … appears to be a image/png image", Google one of no type. Of other kinds than images the type is believed.
 */
export function mediaTypeOf(base64: string, told: string): string {
  const isImage = told.startsWith('image/')
  if (!isImage && !vague.has(told)) return told
  const head = Buffer.from(base64.slice(0, 24), 'base64').toString('latin1')
  const found = starts.find(({ pattern }) => pattern.test(head))?.type
  if (found !== undefined && (vague.has(told) || found.startsWith('image/'))) return found
  return told || 'application/octet-stream'
}

const starts: readonly { pattern: RegExp; type: string }[] = [
  { pattern: /^\x89PNG\r\n/, type: 'image/png' },
  { pattern: /^\xff\xd8\xff/, type: 'image/jpeg' },
  { pattern: /^GIF8[79]a/, type: 'image/gif' },
  { pattern: /^RIFF[\s\S]{4}WEBP/, type: 'image/webp' },
  { pattern: /^%PDF-/, type: 'application/pdf' },
]
