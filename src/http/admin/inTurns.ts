// Goes through what may be thousands of items without holding up the requests that are served meanwhile.
import { setImmediate as nextTurn } from 'node:timers/promises'

/** Items looked at in one turn of the event loop. */
const perTurn = 100

/** What `map` makes of each item, a hundred in one turn of the event loop. */
export async function inTurns<Item, Made>(items: Iterable<Item>, map: (item: Item) => Made): Promise<Made[]> {
  const made: Made[] = []
  for (const item of items) {
    if (made.length > 0 && made.length % perTurn === 0) await nextTurn()
    made.push(map(item))
  }
  return made
}
