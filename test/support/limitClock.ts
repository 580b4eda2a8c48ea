// A clock that stands until it is moved, and runs what falls due on the way, in order.

export interface TestClock {
  readonly now: () => number
  readonly later: (ms: number, run: () => void) => () => void
  move(ms: number): void
  timers(): number
}

export function makeClock(start = 0): TestClock {
  let at = start
  let number = 0
  const timers = new Map<number, { due: number; run: () => void }>()
  return {
    now: () => at,
    later(ms, run) {
      const id = number++
      timers.set(id, { due: at + ms, run })
      return () => void timers.delete(id)
    },
    move(ms) {
      const end = at + ms
      for (;;) {
        const [next] = [...timers]
          .filter(([, { due }]) => due <= end)
          .sort((a, b) => a[1].due - b[1].due || a[0] - b[0])
        if (!next) break
        const [id, { due, run }] = next
        timers.delete(id)
        at = Math.max(at, due)
        run()
      }
      at = end
    },
    timers: () => timers.size,
  }
}
