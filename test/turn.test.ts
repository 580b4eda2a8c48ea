// What is put off to the end of a turn of the event loop: its order, and what becomes of it when some of it fails.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createTurn, type Step, steps } from '../src/state/turn.ts'

/** Resolves when all steps that are due have been done, and those that they put off. */
const settled = async (): Promise<void> => {
  for (let turns = 0; turns < 4; turns++) await nextTurn()
}

test('step by step, whoever asked first', async () => {
  const turn = createTurn()
  const done: string[] = []
  for (const round of [1, 2])
    for (const step of [...steps].reverse()) turn.at(step, () => done.push(`${step} ${round}`))
  expect(done).toEqual([])
  await settled()
  expect(done).toEqual(steps.flatMap((step) => [`${step} 1`, `${step} 2`]))
})

test('what a step puts off comes in the later steps of the same turn, promises included', async () => {
  const turn = createTurn()
  const done: string[] = []
  const nextStart = () => setImmediate(() => done.push('next turn'))
  turn.at('opening', () => {
    nextStart()
    done.push('opening')
  })
  void turn.reached('opening').then(async () => {
    await null
    turn.at('commit', () => done.push('commit'))
    await turn.reached('closing')
    done.push('closing')
    await null
    turn.at('settling', () => done.push('settling'))
  })
  await settled()
  expect(done).toEqual(['opening', 'closing', 'settling', 'commit', 'next turn'])
})

test('a step that is over comes again in the next turn, before the steps after it', async () => {
  const turn = createTurn()
  const done: string[] = []
  const log = (step: Step, what: string) => turn.at(step, () => done.push(what))
  turn.at('settling', () => {
    log('opening', 'opening, later')
    log('commit', 'commit')
    log('settling', 'settling, later')
  })
  turn.at('commit', () => {
    done.push('commit, first')
    log('commit', 'commit, later')
  })
  await settled()
  expect(done).toEqual(['commit, first', 'commit', 'opening, later', 'settling, later', 'commit, later'])
})

test('many turns, at random: nothing is lost, and no step overtakes an earlier one of its turn', async () => {
  const turn = createTurn()
  let seed = 1
  const random = (most: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((seed / 2 ** 32) * most)
  }
  let asked = 0
  let done = 0
  const ask = (left: number): void => {
    asked++
    turn.at(steps[random(steps.length)]!, () => {
      done++
      for (let more = left > 0 ? random(3) : 0; more > 0; more--) ask(left - 1)
    })
  }
  for (let round = 0; round < 200; round++) {
    ask(6)
    if (random(3) === 0) await nextTurn()
  }
  for (let turns = 0; turns < 40; turns++) await nextTurn()
  expect(asked).toBeGreaterThan(1000)
  expect(done).toBe(asked)
})

test('one that throws is told of, and the others come to their turn', async () => {
  const turn = createTurn()
  const done: number[] = []
  const told: unknown[] = []
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.once('uncaughtException', (error) => told.push(error))
  try {
    turn.at('commit', () => done.push(1))
    turn.at('commit', () => {
      throw new Error('broken')
    })
    turn.at('commit', () => done.push(2))
    await settled()
  } finally {
    for (const listener of listeners) process.on('uncaughtException', listener)
  }
  expect(done).toEqual([1, 2])
  expect(told).toEqual([new Error('broken')])
})
