// What turnout.yaml says about being watched: who may scrape the metrics, and where.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import { z } from 'zod'
import { block, text } from './schemaField.ts'

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

export const seenSections = {
  metrics: metrics.optional().describe('Who may read `/metrics`, and where.'),
}
