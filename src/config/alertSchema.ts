// The part of the schema that says when money is worth a word, and which webhooks are told.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import * as z from 'zod'
import { defaults } from './defaults.ts'
import { usd } from './limitSchema.ts'
import { count, duration, emptyRecord, id, strict, text } from './schemaField.ts'

const headerName = z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, { error: 'not a header name' })
const secret = text(512).regex(/^[\x21-\x7e]+$/, {
  error: 'a secret may hold no spaces, line breaks or non-ASCII characters',
})

const webhook = strict({
  url: text().describe('Where events are posted to. `https`, but on this machine.'),
  secret: z
    .union([secret, z.array(secret).min(1).max(4)], { error: 'expected a secret, or a list of secrets' })
    .transform((value) => (typeof value === 'string' ? [value] : value))
    .describe(
      'What bodies are signed with: at least 16 characters, or `whsec_` and base64; best as `${NAME}`. A list while it is changed.',
    ),
  headers: z
    .record(headerName, z.string().regex(/^[\t\x20-\x7e]{0,4096}$/, { error: 'not a header value' }))
    .optional()
    .describe('Headers sent with every event.'),
  timeout: duration(defaults.webhooks.timeout).describe('Longest wait for an answer.'),
  attempts: count(defaults.webhooks.attempts, 1, 20)
    .optional()
    .describe('How often an event is sent before it is given up, the first time included.'),
  retryDelay: duration(defaults.webhooks.retryDelay).describe(
    'Wait before the second attempt; three times as long before each further one, at most an hour.',
  ),
  insecure: z
    .boolean()
    .optional()
    .describe('Allow `http` to other machines: what is sent can be read on the way.')
    .meta({ default: false }),
})

const rule = strict({
  kind: z
    .enum(['spend', 'average', 'share', 'spike', 'budget'])
    .describe('What is watched: `spend`, `average`, `share`, `spike`, or `budget`.'),
  per: z
    .enum(['key', 'team', 'route', 'target'])
    .optional()
    .describe('Watch each of these by itself. Without it all are watched together.'),
  only: strict({
    key: text(256).optional().describe('Only requests of this key.'),
    team: text(256).optional().describe('Only requests of this team.'),
    route: text(256).optional().describe('Only requests on this route.'),
    target: text(384).optional().describe('Only calls of this target.'),
  })
    .optional()
    .describe('Only what has these names.'),
  window: z
    .enum(['hour', 'day'])
    .optional()
    .describe('The last 60 minutes, or the last 24 hours.')
    .meta({ default: defaults.alerts.window }),
  usd: usd.optional().describe('`spend`: US dollars in the window. `average`: US dollars a request.'),
  percent: z
    .number()
    .positive()
    .max(100)
    .optional()
    .describe('`share`: percent of all spending or requests of the window.'),
  of: z.enum(['spend', 'requests']).optional().describe('`share`: of what.').meta({ default: defaults.alerts.of }),
  target: text(384).optional().describe('`share`: the target whose share it is.'),
  route: text(256).optional().describe('`share`: the route whose share it is.'),
  times: z.number().gt(1).max(1000).optional().describe('`spike`: how many times what the same hour cost yesterday.'),
  minUsd: usd.optional().describe('`share`, `spike`: less spending than this is no matter.'),
  minRequests: count(defaults.alerts.minRequests, 1)
    .optional()
    .describe('`average`, `share` of requests: fewer requests than this say nothing.'),
  budgets: z
    .array(text(300))
    .max(100)
    .optional()
    .describe('`budget`: names of budgets. Without it all, also those of keys, teams and routes.'),
  at: z
    .array(z.literal([50, 80, 100], { error: 'expected 50, 80 or 100' }))
    .min(1)
    .optional()
    .describe('`budget`: percent of the limit.')
    .meta({ default: '[50, 80, 100]' }),
  severity: z
    .enum(['info', 'warning', 'critical'])
    .optional()
    .describe('How bad it is: told as it stands here.')
    .meta({ default: defaults.alerts.severity }),
  channels: z
    .array(id)
    .max(16)
    .optional()
    .describe('Names of webhooks. Without it all; an empty list: log and metric only.'),
  cooldown: duration(defaults.alerts.cooldown).describe(
    'How long after a message none is sent again for the same thing, whatever happens in between.',
  ),
})

/** The sections of the document. */
export const alertSections = {
  webhooks: emptyRecord(id, webhook)
    .optional()
    .describe('Who is told of events, by names of your choice: HTTP servers that get signed messages.'),
  alerts: emptyRecord(id, rule).optional().describe('Which spending is worth a word, by names of your choice.'),
}

export type WebhookFields = z.output<typeof webhook>
export type AlertFields = z.output<typeof rule>
