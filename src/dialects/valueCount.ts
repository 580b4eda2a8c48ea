// Refuses JSON of more values than anybody means, before they are made: a parser takes seconds for millions of them, in which nobody is served.
import { stringEnd } from './depth.ts'
import { Refusal } from './errors.ts'

/**
 * How many values JSON text holds; counting stops beyond `most`. Each but the outermost follows an opening bracket or a comma, so that an empty
 * list counts as two. Linear.
 */
export function countValues(text: string, most: number): number {
  let values = 1
  for (let at = 0; at < text.length && values <= most; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x22) at = stringEnd(text, at)
    else if (code === 0x2c || code === 0x5b || code === 0x7b) values++
  }
  return values
}

/** Whether text of so many characters may hold more values than `most`: nearly none is looked at further. */
export const mayHoldMore = (length: number, most: number): boolean => length > 2 * most

/** @throws Refusal `too_many_values` for a body that holds more than `most`, whether it is JSON or not */
export function refuseCrowd(body: Buffer, most: number): void {
  // Whatever its encoding makes of other characters, those of the grammar are bytes.
  if (mayHoldMore(body.length, most) && countValues(body.toString('latin1'), most) > most)
    throw tooMany('The body', most)
}

export const tooMany = (what: string, most: number, param?: string): Refusal =>
  new Refusal('too_many_values', `${what} holds more than ${most} JSON values.`, param)
