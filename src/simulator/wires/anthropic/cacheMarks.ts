// Counts the blocks that are to be cached: there may be four.
import { checkChoice, checkObject, fail, isObject, type Wire } from './values.ts'

const MAX_MARKS = 4

/** Checks every `cache_control` of a request whose structure is known to be right. Throws `WireRefusal`. */
export function countCacheMarks(body: Wire): void {
  const turns = body.messages as Wire[]
  const places = [
    { list: [body], at: '' },
    { list: body.tools, at: 'tools' },
    { list: body.system, at: 'system' },
    ...turns.flatMap(({ content }, i) => {
      const inner = Array.isArray(content) ? (content as Wire[]) : []
      return [
        { list: inner, at: `messages.${i}.content` },
        ...inner.map((block, k) => ({ list: block.content, at: `messages.${i}.content.${k}.content` })),
      ]
    }),
  ]
  let marks = 0
  for (const { list, at } of places) {
    if (!Array.isArray(list)) continue
    list.forEach((item: unknown, i) => {
      const mark = isObject(item) ? item.cache_control : undefined
      if (mark === undefined || mark === null) return
      checkMark(mark, at === '' ? 'cache_control' : `${at}.${i}.cache_control`)
      marks++
    })
  }
  if (marks > MAX_MARKS)
    fail('', `A maximum of ${MAX_MARKS} blocks with cache_control may be provided. Found ${marks}.`)
}

function checkMark(mark: unknown, path: string): void {
  const { type, ttl } = checkObject(mark, path, ['type', 'ttl'], ['type'])
  checkChoice(type, `${path}.type`, ['ephemeral'])
  if (ttl !== undefined) checkChoice(ttl, `${path}.ttl`, ['5m', '1h'])
}
