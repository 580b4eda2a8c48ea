// Puts the chunk with the usage into a stream that is whole, or takes it out: clients get it that say `stream_options.include_usage`.
import type { Usage } from '../chat.ts'
import { parseJson, writeJson } from '../exactJson.ts'
import { asObject, type Json } from '../field.ts'
import { framesOf, readFrame, writeFrame } from '../sse.ts'
import { writeUsage } from './usage.ts'

export function withoutUsageChunk(stream: Buffer): Buffer {
  return Buffer.concat(framesOf(stream).filter((frame) => !isUsageChunk(chunkOf(frame))))
}

/** The same stream where it tells of the usage already. */
export function withUsageChunk(stream: Buffer, usage: Usage): Buffer {
  const frames = framesOf(stream)
  const chunks = frames.map(chunkOf)
  const last = chunks.findLastIndex((chunk) => chunk !== undefined)
  if (last === -1 || chunks.some((chunk) => asObject(chunk?.usage))) return stream
  const { id, object, created, model, service_tier, system_fingerprint } = chunks[last]!
  const told = { id, object, created, model, service_tier, system_fingerprint, choices: [], usage: writeUsage(usage) }
  return Buffer.concat(frames.toSpliced(last + 1, 0, writeFrame(writeJson(told))))
}

function chunkOf(frame: Buffer): Json | undefined {
  const { data } = readFrame(frame)
  return data?.startsWith('{') ? asObject(parseJson(data)) : undefined
}

const isUsageChunk = (chunk: Json | undefined): boolean =>
  asObject(chunk?.usage) !== undefined && Array.isArray(chunk!.choices) && chunk!.choices.length === 0
