// Puts the chunk with the usage into a stream that is whole, or takes it out: clients get it that say `stream_options.include_usage`.
import type { ToldOfUsage } from '../dialect.ts'
import { parseJson, writeJson } from '../exactJson.ts'
import { asObject, type Json } from '../field.ts'
import { framesOf, readFrame, writeFrame } from '../sse.ts'
import { writeUsage } from './usage.ts'

/** @param stream a whole one, or a part of it that is cut between two frames */
export function withoutUsageChunk(stream: Buffer): Buffer {
  const frames = framesOf(stream)
  const others = frames.filter((frame) => !isUsageChunk(frame))
  return others.length === frames.length ? stream : Buffer.concat(others)
}

/**
 * The same stream where it tells of the usage already, or there is none to tell of.
 * @param stream a whole one, or its ending
 */
export function withUsageChunk(stream: Buffer, { id, model, usage }: ToldOfUsage): Buffer {
  if (usage === undefined) return stream
  const frames = framesOf(stream)
  const chunks = frames.map(chunkOf)
  if (chunks.some((chunk) => asObject(chunk?.usage))) return stream
  const last = chunks.findLastIndex((chunk) => chunk !== undefined)
  // An ending is [DONE] alone where not all answers were finished that had been asked for, or none was said to be.
  const like = chunks[last] ?? { id, object: 'chat.completion.chunk', created: Math.floor(Date.now() / 1000), model }
  const { object, created, service_tier, system_fingerprint } = like
  const told = {
    id: like.id,
    object,
    created,
    model: like.model,
    service_tier,
    system_fingerprint,
    choices: [],
    usage: writeUsage(usage),
  }
  return Buffer.concat(frames.toSpliced(last + 1, 0, writeFrame(writeJson(told))))
}

function chunkOf(frame: Buffer): Json | undefined {
  const { data } = readFrame(frame)
  return data?.startsWith('{') ? asObject(parseJson(data)) : undefined
}

function isUsageChunk(frame: Buffer): boolean {
  // Most chunks have a choice, and need not be parsed.
  if (!/"choices"\s*:\s*\[\s*\]/.test(frame.latin1Slice())) return false
  const chunk = chunkOf(frame)
  return asObject(chunk?.usage) !== undefined && Array.isArray(chunk!.choices) && chunk!.choices.length === 0
}
