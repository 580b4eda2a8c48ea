// Between the last byte of a whole reply and the moment it is judged: what becomes of it when the call ends just then.
import type { Dispatcher } from 'undici'
import { describe, expect, test } from 'vitest'
import type { Outbound, ReplyFacts } from '../src/dialects/dialect.ts'
import { UpstreamFault } from '../src/dialects/errors.ts'
import { Exchange, type ExchangeOptions } from '../src/gateway/exchange.ts'
import type { Lane } from '../src/gateway/lane.ts'

const facts = { contentBytes: 4 } as ReplyFacts

/** Milliseconds. */
const IDLE = 50

const setUp = (whole: Lane['whole'] = (body) => ({ body, facts })) => {
  const judging: (() => void)[] = []
  const aborted: unknown[] = []
  const controller = { abort: (error: unknown) => aborted.push(error) } as unknown as Dispatcher.DispatchController
  const options: ExchangeOptions = {
    lane: { whole } as Lane,
    target: {} as ExchangeOptions['target'],
    outbound: {} as Outbound,
    stream: false,
    timeouts: { firstToken: 60_000, idle: IDLE },
    commitAfter: 1_000,
    maxReplyBytes: 1_000,
    later: (judge) => judging.push(judge),
  }
  const exchange = new Exchange(options)
  exchange.onRequestStart(controller)
  exchange.onResponseStart(controller, 200, { 'content-type': 'application/json' })
  exchange.onResponseData(controller, Buffer.from('{"a":1}'))
  const end = () => exchange.onResponseEnd()
  const judge = () => {
    for (const one of judging.splice(0)) one()
  }
  return { exchange, end, judge, aborted }
}

describe('a whole reply', () => {
  test('is judged later, and ended when its last byte came', async () => {
    const { exchange, end, judge } = setUp()
    end()
    const { endedAt } = exchange
    expect(endedAt).toBeLessThanOrEqual(performance.now())
    expect(exchange.ended).toBe(false)
    judge()
    await exchange.good
    expect(exchange.body?.toString()).toBe('{"a":1}')
    expect(exchange.facts).toBe(facts)
    expect(exchange.endedAt).toBe(endedAt)
  })

  test('says what it used although its client has left before', () => {
    const { exchange, end, judge } = setUp()
    end()
    exchange.abort()
    expect(exchange.facts).toBe(facts)
    expect(exchange.ended).toBe(true)
    judge()
    expect(exchange.fault).toBeUndefined()
  })

  test('stands although the call was to be given up: by an abort of its rollout, or a deadline', async () => {
    const { exchange, end, judge, aborted } = setUp()
    end()
    exchange.fail(new UpstreamFault('withdrawn', 'too late'))
    await exchange.good
    expect(exchange.fault).toBeUndefined()
    expect(aborted).toEqual([])
    judge()
    expect(exchange.facts).toBe(facts)
  })

  test('is not idle: a deadline that was missed by a stall of our own does not count any more', async () => {
    const { exchange, end, judge } = setUp()
    const ended = new Promise<void>((resolve) => {
      // As long as the deadline, and so right after it in the same turn.
      setTimeout(() => {
        // Behind the check that the deadline has put off to the end of this turn.
        setImmediate(() => {
          judge()
          resolve()
        })
        end()
      }, IDLE)
    })
    // The loop stands still beyond the deadline: its timer runs first, and what came in time is read only then.
    const until = performance.now() + 4 * IDLE
    while (performance.now() < until);
    await ended
    await exchange.good
    expect(exchange.fault).toBeUndefined()
  })

  test('that cannot be read fails its own call and nothing else', async () => {
    const { exchange, end, judge } = setUp(() => {
      throw new RangeError('Maximum call stack size exceeded')
    })
    end()
    expect(judge).not.toThrow()
    await expect(exchange.good).rejects.toMatchObject({ kind: 'garbage' })
  })
})

describe('a stream that floods', () => {
  const setUpStream = () => {
    const asked: string[] = []
    const controller = {
      pause: () => asked.push('pause'),
      resume: () => asked.push('resume'),
      abort: () => asked.push('abort'),
    } as unknown as Dispatcher.DispatchController
    const stream = { ready: [], held: [], good: true, facts, progress: 0, unfinished: 0, push() {} }
    const exchange = new Exchange({
      lane: { stream: () => stream as unknown } as Lane,
      target: {} as ExchangeOptions['target'],
      outbound: {} as Outbound,
      stream: true,
      timeouts: { firstToken: 60_000, idle: 60_000 },
      commitAfter: 1_000,
      maxReplyBytes: 1_000,
      later() {},
    })
    exchange.onRequestStart(controller)
    exchange.onResponseStart(controller, 200, { 'content-type': 'text/event-stream' })
    /** One read of the socket, and the end of the turn. */
    const read = async (...sizes: number[]) => {
      for (const size of sizes) exchange.onResponseData(controller, Buffer.alloc(size))
      await Promise.resolve()
    }
    return { exchange, asked, read }
  }
  const turn = () => new Promise((resolve) => setImmediate(resolve))

  test('lets others have their turn after each full read, and a usual one goes on', async () => {
    const { exchange, asked, read } = setUpStream()
    await read(100, 200)
    expect(asked).toEqual([])
    await read(40_000, 25_000)
    await read(65_000)
    expect(asked).toEqual(['pause'])
    await turn()
    expect(asked).toEqual(['pause', 'resume'])
    exchange.abort()
  })

  test('stays where its client holds it back', async () => {
    const { exchange, asked, read } = setUpStream()
    await read(65_000)
    exchange.pause()
    await turn()
    expect(asked).toEqual(['pause', 'pause'])
    exchange.resume()
    expect(asked).toEqual(['pause', 'pause', 'resume'])
    exchange.abort()
  })
})
