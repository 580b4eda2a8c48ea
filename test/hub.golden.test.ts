// Golden files: one small translation each, in and out side by side, for reading as much as for testing.
// `UPDATE_GOLDEN=1 npx vitest run test/hub.golden.test.ts` writes the `out` of every file anew; review the difference.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { anthropicMessages } from '../src/dialects/anthropic-messages/index.ts'
import { gemini } from '../src/dialects/gemini/index.ts'
import { decodeRequest } from '../src/dialects/openai-chat/decodeRequest.ts'
import { asReply, asStream, deepFreeze, feed } from './support/hubReply.ts'

type Json = Record<string, unknown>

interface Golden {
  about: string
  /** The upstream model, for requests. */
  model?: string
  /** A request or a whole reply; a list is the events of a stream. */
  in: unknown
  out?: unknown
}

const dialects = { 'anthropic-messages': anthropicMessages.outbound!, gemini: gemini.outbound! }

/** A request of OpenAI's to a vendor's, with what was lost and the headers that go with it. */
function translateRequest(target: keyof typeof dialects, { model, in: body }: Golden): unknown {
  return dialects[target].encode!(decodeRequest(deepFreeze(body)), model ?? '')
}

/** A vendor's reply to OpenAI's; of a stream the chunks, without what is the same in all of them. */
function translateReply(source: keyof typeof dialects, { in: wire }: Golden): unknown {
  if (!Array.isArray(wire)) return JSON.parse(asReply(dialects[source].events!(deepFreeze(wire))))
  const body = wire.map((event: Json) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')
  const frames = asStream(feed(dialects[source].decodeStream!(), body, 7))
    .trimEnd()
    .split('\n\n')
  return frames.map((frame) => {
    const data = frame.slice('data: '.length)
    if (data === '[DONE]') return data
    const { choices, usage, error } = JSON.parse(data) as Json
    return error ? { error } : usage ? { choices, usage } : (choices as Json[])[0]
  })
}

const root = new URL('golden/', import.meta.url)
const cells: Record<string, (golden: Golden) => unknown> = {
  'openai-chat-anthropic-messages': (golden) => translateRequest('anthropic-messages', golden),
  'openai-chat-gemini': (golden) => translateRequest('gemini', golden),
  'anthropic-messages-openai-chat': (golden) => translateReply('anthropic-messages', golden),
  'gemini-openai-chat': (golden) => translateReply('gemini', golden),
}

for (const [cell, translate] of Object.entries(cells)) {
  describe(`golden ${cell}`, () => {
    const folder = new URL(`${cell}/`, root)
    const files = readdirSync(folder).filter((file) => file.endsWith('.json'))
    it('has files', () => expect(files.length).toBeGreaterThan(2))
    for (const file of files) {
      const path = new URL(file, folder)
      const golden = JSON.parse(readFileSync(path, 'utf8')) as Golden
      it(`${file}: ${golden.about}`, () => {
        const out = JSON.parse(JSON.stringify(translate(golden))) as unknown
        if (process.env.UPDATE_GOLDEN === '1') writeFileSync(path, `${JSON.stringify({ ...golden, out }, null, 2)}\n`)
        else expect(golden.out).toEqual(out)
      })
    }
  })
}
