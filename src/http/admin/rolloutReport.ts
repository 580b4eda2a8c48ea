// GET /admin/rollouts/{name}/report: the account of a rollout, as JSON or as a page to be filed.
import * as z from 'zod'
import { isRunning } from '../../rollouts/machine.ts'
import { historyOf, stableThen } from '../../state/rollouts/history.ts'
import { writeHistory } from '../../state/rollouts/historyText.ts'
import { findRollout, presentRollout, rolloutsOf } from './rolloutDesk.ts'
import { reportShape } from './rolloutShapes.ts'
import { defineRoute } from './route.ts'

const query = z.strictObject({
  format: z.enum(['json', 'markdown'], { error: 'expected json or markdown' }).optional(),
})

export const showReport = defineRoute({
  method: 'GET',
  path: '/rollouts/:name/report',
  role: 'viewer',
  summary:
    'What ran, when, each step, the evidence at the end, and the decision in plain words; `format=markdown` for a page.',
  answers: ['application/json', 'text/markdown'],
  query,
  reply: reportShape,
  async answer({ params, query: { format }, deps }) {
    const live = findRollout(params.name!, deps)
    const rollouts = rolloutsOf(deps)
    const { name, ...shown } = presentRollout(live, deps)
    const events = rollouts.events(live)
    const heading = {
      rollout: name,
      ...shown,
      // Of what is over the account stays as it was.
      stable: (isRunning(live.state) ? undefined : stableThen(events)) ?? shown.stable,
      created_at: new Date(live.createdAt).toISOString(),
      created_by: live.createdBy,
      chain: rollouts.chains.findBreak(live.id) ?? 'unbroken',
    }
    const history = historyOf(live, events, Date.now())
    if (format !== 'markdown') return { json: { object: 'rollout_report', ...heading, ...history } }
    return {
      streamed: {
        contentType: 'text/markdown; charset=utf-8',
        fileName: `${name.replace(/[^\w.-]+/g, '-')}.md`,
        pieces: one(writeHistory(heading, history)),
      },
    }
  },
})

async function* one(text: string): AsyncGenerator<string> {
  yield text
}
