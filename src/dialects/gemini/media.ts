// Images, audio, video and files as Gemini's parts: bytes inline, everything else by address.
import type { MediaBlock, MediaKind } from '../chat.ts'
import { Refusal } from '../errors.ts'
import { ownEntry } from '../field.ts'
import type { Losses } from '../loss.ts'
import { typeOfAddress } from '../mediaType.ts'
import type { Part } from './type.ts'

/** Hub to wire. An address needs a media type, which is taken from its ending, or assumed from its kind and reported. */
export function encodeMedia(block: MediaBlock, path: string, losses: Losses): Part {
  if (block.detail !== undefined && block.detail !== 'auto') losses.add('image_url.detail', 'unsupported')
  if (block.name !== undefined) losses.add('file.filename', 'dropped')
  const { source } = block
  if ('base64' in source)
    return { inlineData: { mimeType: ownEntry(names, source.mime) ?? source.mime, data: source.base64 } }
  if ('fileId' in source) return { fileData: { fileUri: fileUriOf(source.fileId, path) } }
  const known = source.mime ?? typeOfAddress(source.url)
  if (known === undefined) losses.add(fields[block.kind], 'approximated', `taken for ${assumed[block.kind]}`)
  return { fileData: { fileUri: source.url, mimeType: known ?? assumed[block.kind] } }
}

/** Google's names where they differ. */
const names: Readonly<Record<string, string>> = {
  'audio/mpeg': 'audio/mp3',
  'audio/x-wav': 'audio/wav',
  'image/jpg': 'image/jpeg',
}

/** The client's fields that hold an address. */
const fields: Readonly<Record<MediaKind, string>> = {
  image: 'image_url.url',
  audio: 'input_audio',
  video: 'video_url.url',
  file: 'file.file_data',
}

const assumed: Readonly<Record<MediaKind, string>> = {
  image: 'image/jpeg',
  audio: 'audio/mp3',
  video: 'video/mp4',
  file: 'application/pdf',
}

/** Only Google's own file names and addresses mean anything to Google. */
function fileUriOf(id: string, path: string): string {
  if (/^(https|gs):\/\//.test(id)) return id
  if (/^files\/[\w-]+$/.test(id)) return `https://generativelanguage.googleapis.com/v1beta/${id}`
  throw new Refusal(
    'unsupported_content',
    `Invalid '${path}': Google's API does not take a file id of another vendor.`,
    path,
  )
}
