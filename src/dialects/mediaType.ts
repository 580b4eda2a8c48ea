// What kind of file bytes are, by how they begin: clients often write another type into a data URL, and some vendors refuse that. And what
// lies at an address, by its ending.
import { ownEntry } from './field.ts'

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

/** The type that an address tells of; undefined where its ending says nothing. Google reads films at YouTube. */
export function typeOfAddress(url: string): string | undefined {
  if (/^https:\/\/(www\.|m\.)?(youtube\.com\/|youtu\.be\/)/.test(url)) return 'video/mp4'
  const path = url.split(/[?#]/, 1)[0] ?? ''
  return ownEntry(endings, /\.([a-z0-9]+)$/i.exec(path)?.[1]?.toLowerCase() ?? '')
}

const endings: Readonly<Record<string, string>> = {
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  png: 'image/png',
  gif: 'image/gif',
  webp: 'image/webp',
  heic: 'image/heic',
  heif: 'image/heif',
  pdf: 'application/pdf',
  txt: 'text/plain',
  md: 'text/plain',
  csv: 'text/csv',
  html: 'text/html',
  json: 'application/json',
  mp3: 'audio/mp3',
  wav: 'audio/wav',
  ogg: 'audio/ogg',
  flac: 'audio/flac',
  aac: 'audio/aac',
  mp4: 'video/mp4',
  mov: 'video/quicktime',
  webm: 'video/webm',
  mpeg: 'video/mpeg',
}

/**
 * Whether a vendor can take what stands in an image's place for an image alone. Google reads whatever it is: a film of an hour is a million
 * tokens, and a file that lies there already goes by its own type.
 */
export function isPicture(url: string): boolean {
  if (/^data:/i.test(url)) return /^data:image\/[\w.+-]+[;,]/i.test(url)
  if (!/^https?:/i.test(url) || /^https?:\/\/(?:[\w.-]*youtu|generativelanguage\.googleapis)/i.test(url)) return false
  return typeOfAddress(url)?.startsWith('image/') ?? true
}
