// Answers that are told apart by a number from which all of them follows.
import type { AnswerRow } from '../../src/store/answerTable.ts'

/** Far enough for any test. */
const deadAt = 4_000_000_000_000

export function numberedRow(n: number, more: Partial<AnswerRow> = {}): AnswerRow {
  return {
    key: `key-${n}`.padEnd(43, 'k'),
    route: `route-${n % 3}`,
    target: `provider/model-${n % 5}`,
    owner: n % 2 === 0 ? null : `user-${n % 7}`,
    storedAt: 1_000_000 + n,
    deadAt,
    facts: JSON.stringify({ n }),
    body: bodyOf(n),
    ...more,
  }
}

/** From a few bytes to several pages. */
function bodyOf(n: number): Buffer {
  const length = 10 + ((n * 7919) % 13_000)
  return Buffer.alloc(length, `answer ${n};`)
}
