// Writes the cost into the `usage` of a reply, for clients that asked for it: `usage.cost` in USD, `usage.cost_details` beside it.
import type { ReplyCost } from '../dialect.ts'
import { applySplices, scanFields, setField } from '../splice.ts'
import { framesOf, readFrame, writeFrame } from '../sse.ts'

/**
 * @param ending a whole JSON reply, or the last frames of a stream
 * @returns the bytes with the cost in the last usage object, unchanged where there is none
 */
export function addCost(ending: Buffer, stream: boolean, cost: ReplyCost): Buffer {
  if (!stream) return addToJson(ending, cost) ?? ending
  const frames = framesOf(ending)
  for (let at = frames.length - 1; at >= 0; at--) {
    const { data } = readFrame(frames[at]!)
    if (!data?.startsWith('{')) continue
    const edited = addToJson(Buffer.from(data), cost)
    if (!edited) continue
    frames[at] = writeFrame(edited.toString('utf8'))
    break
  }
  return Buffer.concat(frames)
}

function addToJson(json: Buffer, cost: ReplyCost): Buffer | undefined {
  const usage = scanFields(json).byName.get('usage')
  if (!usage || json[usage.valueStart] !== 0x7b) return undefined
  const fields = scanFields(json, usage.valueStart)
  // The number is written as the exact decimal: a float would round it.
  const details = JSON.stringify({
    currency: 'USD',
    price_source: cost.source,
    price_version: cost.version,
    attempts: cost.attempts,
  })
  const cut = [setField(fields, 'cost', cost.usd ?? 'null'), setField(fields, 'cost_details', details)]
  return applySplices(json, cut)
}
