// The end of a turn of the event loop: what all its requests have to do is done step by step, each step for all of them.

/**
 * `opening`: requests that were read are looked at. `closing`: so are whole replies. `settling`: what is over is judged and counted.
 * `commit`: all of it is written down.
 */
export const steps = ['opening', 'closing', 'settling', 'commit'] as const
export type Step = (typeof steps)[number]

/**
 * The same code for many requests in a row is in the caches of the processor after the first one; for one request at a time, with the
 * operating system and the parsing of HTTP in between, it has to be fetched for each. (Larus and Parkes, Using Cohort Scheduling to Enhance
 * Server Performance, USENIX 2002.) Nothing waits longer for it: rows are committed once a turn anyway, after everything that came in it.
 */
export interface Turn {
  /** Runs at the end of this turn, after all steps before it and what they have put off; or of the next turn, where its step is over. */
  at(step: Step, run: () => void): void
  /** Resolves in the step, in the order of the asking. */
  reached(step: Step): Promise<void>
}

/** One per process: work that is put off in it runs with `setImmediate`. */
export function createTurn(): Turn {
  const queues: (() => void)[][] = steps.map(() => [])
  /** The steps of a turn are under way after each other; this one was the last. */
  let over = steps.length - 1
  let isDue = false

  function begin(): void {
    isDue = true
    // In one row: what is put off while they run has to wait for the next turn, and microtasks are done after each of them.
    for (let step = 0; step < steps.length; step++) setImmediate(run, step)
  }

  function run(step: number): void {
    if (step === 0) isDue = false
    over = step
    const queue = queues[step]!
    if (queue.length === 0) return
    queues[step] = []
    for (const work of queue) {
      try {
        work()
      } catch (error) {
        // As it would be told of alone: the others have nothing to do with it.
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }

  function at(step: Step, work: () => void): void {
    const place = steps.indexOf(step)
    queues[place]!.push(work)
    if (!isDue && place <= over) begin()
  }

  return { at, reached: (step) => new Promise((resolve) => at(step, resolve)) }
}
