// Token usage of the gemini wire: usageMetadata to disjoint classes.
import type { Usage } from '../chat.ts'
import { asObject, countOf, partition, readCount } from '../usage.ts'

/**
 * Wire to hub: the `usageMetadata` of a reply or stream frame; undefined when it holds no count at all (first frames may carry only
 * `trafficType`). Frames are cumulative: the last one with counts wins.
 *
 * `promptTokenCount` includes `cachedContentTokenCount` but not `toolUsePromptTokenCount`; `candidatesTokenCount` excludes
 * `thoughtsTokenCount`, except where `totalTokenCount` shows that it does not. Audio is known only from the lists by modality.
 */
export function readUsage(raw: unknown): Usage | undefined {
  const usage = asObject(raw)
  if (!usage) return undefined
  const asked = readCount(usage.promptTokenCount)
  const answered = readCount(usage.candidatesTokenCount) ?? readCount(usage.responseTokenCount)
  const thought = countOf(usage, 'thoughtsTokenCount')
  if (asked === undefined && answered === undefined && thought === 0) return undefined

  const prompt = (asked ?? 0) + countOf(usage, 'toolUsePromptTokenCount')
  const cachedAudio = modality(usage.cacheTokensDetails, 'AUDIO')
  const heard = modality(usage.promptTokensDetails, 'AUDIO') + modality(usage.toolUsePromptTokensDetails, 'AUDIO')
  const cached = countOf(usage, 'cachedContentTokenCount')
  const [cacheRead, audioIn, input] = partition(prompt, cached, Math.max(0, heard - cachedAudio)) as Three

  const total = readCount(usage.totalTokenCount)
  const told = answered ?? 0
  const inclusive = thought > 0 && told >= thought && total === prompt + told
  const spoken = modality(usage.candidatesTokensDetails ?? usage.responseTokensDetails, 'AUDIO')
  const [reasoning, audioOut, output] = partition(inclusive ? told : told + thought, thought, spoken) as Three

  const result: Usage = { input, cacheRead, cacheWrite5m: 0, cacheWrite1h: 0, output, reasoning, audioIn, audioOut }
  const imageOut = Math.min(output, modality(usage.candidatesTokensDetails, 'IMAGE'))
  if (imageOut > 0) result.imageOut = imageOut
  if (cachedAudio > 0) result.cacheReadAudio = Math.min(cacheRead, cachedAudio)
  return result
}

type Three = [number, number, number]

/** Sum of one modality in a list of `{modality, tokenCount}`. */
function modality(list: unknown, name: string): number {
  if (!Array.isArray(list)) return 0
  let sum = 0
  for (const item of list) {
    const entry = asObject(item)
    if (entry?.modality === name) sum += countOf(entry, 'tokenCount')
  }
  return sum
}
