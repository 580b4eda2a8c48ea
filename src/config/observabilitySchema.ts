// The part of the schema that says how the gateway is watched: log, traces, and who may scrape the metrics.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import * as z from 'zod'
import { defaults } from './defaults.ts'
import { block, count, duration, text } from './schemaField.ts'

const metrics = block({
  token: text(512)
    .regex(/^[\x21-\x7e]{16,}$/, { error: 'a token is at least 16 characters without spaces' })
    .optional()
    .describe(
      'What a scrape has to send as `Authorization: Bearer …`, best as `${NAME}`. Without one `/metrics` is open.',
    ),
  port: z
    .number()
    .int()
    .min(0)
    .max(65535)
    .optional()
    .describe('A port of its own for `/metrics`, which the main port then does not have.'),
  host: text(255).optional().describe("Address to bind that port to. The server's own unless given."),
})

export const logFields = {
  file: text().optional().describe('File that lines are appended to. Standard output unless given. Read at the start.'),
  format: z
    .enum(['auto', 'json', 'pretty'])
    .optional()
    .describe(
      'On standard output: `json`, `pretty` for human eyes, or `auto`: pretty on a terminal. Read at the start.',
    )
    .meta({ default: defaults.log.format }),
  user: z
    .enum(['none', 'ledger', 'rotating'])
    .optional()
    .describe(
      "The end user in the log and in traces: `none`, the `ledger`'s hash, or a hash with a `rotating` salt that is kept nowhere.",
    )
    .meta({ default: defaults.log.user }),
  userSaltTime: duration(defaults.log.userSaltTime).describe('How long a rotating salt lasts.'),
}

const trace = block({
  enabled: z.boolean().optional().describe('Whether there are traces at all.').meta({ default: true }),
  sample: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe(
      'Share of traces that is kept, from 0 to 1. Errors, slow requests, and what a client has sampled always are.',
    )
    .meta({ default: defaults.trace.sample }),
  slow: duration(defaults.trace.slow).describe('Requests that take longer are always kept.'),
  retentionHours: count(defaults.trace.retentionHours, 0, 876_000)
    .optional()
    .describe('Hours that traces stay in the database. 0 = as long as the ledger.'),
  otlp: block({
    url: z
      .url({
        protocol: /^https?$/,
        error: 'expected the http(s) address of a collector, such as http://127.0.0.1:4318/v1/traces',
      })
      .describe('Where spans are sent to, by OTLP over HTTP: `…/v1/traces` of a collector.'),
    headers: z
      .record(z.string(), z.string())
      .optional()
      .describe('Headers sent along, such as the key of a collector.'),
  })
    .optional()
    .describe('A collector of OpenTelemetry that gets every kept trace. Read at the start.'),
})

export const observabilitySections = {
  trace: trace.optional().describe('What happened in each request, step by step.'),
  metrics: metrics.optional().describe('Who may read `/metrics`, and where.'),
}
