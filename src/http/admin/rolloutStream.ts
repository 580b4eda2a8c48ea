// GET /admin/rollouts/stream: where rollouts stand, and every change of them as it happens, as server-sent events.
import * as z from 'zod'
import { Refusal } from '../../dialects/errors.ts'
import type { Rollouts, Transition } from '../../state/rollouts/rollouts.ts'
import { presentRollout, rolloutsOf } from './rolloutDesk.ts'
import { type AdminDeps, defineRoute } from './route.ts'

/** At most so many at once: each holds a connection. */
const MAX_STREAMS = 32
/** Changes that a slow reader may be behind before its stream ends; it finds the state as it is when it comes again. */
const MAX_BEHIND = 256
/** Milliseconds of silence after which a comment shows life, and finds out who is gone. */
const HEARTBEAT = 10_000

const open = new WeakMap<Rollouts, { count: number }>()

export const streamRollouts = defineRoute({
  method: 'GET',
  path: '/rollouts/stream',
  role: 'viewer',
  summary:
    'Server-sent events: a `rollout` for each that there is, then a `transition` for every change. Ends after `seconds`, if given, and when the gateway drains.',
  answers: ['text/event-stream'],
  query: z.strictObject({
    seconds: z.coerce.number({ error: 'expected a number of seconds' }).min(0).max(86_400).optional(),
  }),
  async answer({ query: { seconds }, isStillIn, deps }) {
    const rollouts = rolloutsOf(deps)
    const streams = open.get(rollouts) ?? { count: 0 }
    open.set(rollouts, streams)
    if (streams.count >= MAX_STREAMS)
      throw new Refusal('not_available', `There are ${MAX_STREAMS} streams of rollouts already.`)
    return {
      streamed: { contentType: 'text/event-stream', pieces: changes(rollouts, deps, seconds, streams, isStillIn) },
    }
  },
})

async function* changes(
  rollouts: Rollouts,
  deps: AdminDeps,
  seconds: number | undefined,
  streams: { count: number },
  isStillIn: () => Promise<boolean>,
): AsyncGenerator<string> {
  const waiting: Transition[] = []
  let wake = (): void => {}
  const end = seconds === undefined ? Number.POSITIVE_INFINITY : Date.now() + seconds * 1000
  const unwatch = rollouts.watch((transition) => {
    waiting.push(transition)
    wake()
  })
  streams.count++
  try {
    const all = rollouts.list()
    yield all.map((live) => frame('rollout', live.state.revision, presentRollout(live, deps))).join('') ||
      ': no rollouts\n\n'
    while (Date.now() < end && !rollouts.closing.aborted) {
      if (waiting.length > MAX_BEHIND) return
      const next = waiting.shift()
      if (next) {
        if (!(await isStillIn())) return
        yield presentChange(next, deps)
        continue
      }
      const woken = await new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => resolve(false), Math.min(HEARTBEAT, end - Date.now()))
        wake = () => {
          clearTimeout(timer)
          resolve(true)
        }
        rollouts.closing.addEventListener('abort', wake, { once: true })
      })
      rollouts.closing.removeEventListener('abort', wake)
      if (woken) continue
      if (!(await isStillIn())) return
      yield ': still here\n\n'
    }
  } finally {
    unwatch()
    streams.count--
  }
}

function presentChange({ live, event }: Transition, deps: AdminDeps): string {
  const { verb, from, to, actor, at } = event
  const change = { verb, from: from === '' ? null : from, to, actor, at: new Date(at).toISOString() }
  return frame('transition', event.revision, { ...presentRollout(live, deps), change })
}

const frame = (event: string, id: number, data: object): string =>
  `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`
