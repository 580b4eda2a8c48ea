// Judges a whole JSON reply on the identity lane: a 200 may hide an error, an empty answer, or something that is no reply at all.
import { faultOfText, parseJsonText } from '../depth.ts'
import type { JudgedReply, ReplyEdits } from '../dialect.ts'
import { UpstreamFault } from '../errors.ts'
import { asObject } from '../usage.ts'
import { withPlainContent, withToolCallsFinish, withTypedCalls } from './edit.ts'
import { faultOfFinish, inBandFaultOf, tellsError } from './fault.ts'
import { choicesOf, generatedBytes, hasToolCall, learn, learnFinish, noFacts, textBytes, UsageReader } from './reply.ts'

export function whole(body: Buffer, edits: ReplyEdits): JudgedReply | UpstreamFault {
  const text = body.toString('utf8')
  let parsed: unknown
  try {
    parsed = parseJsonText(text)
  } catch {
    return faultOfText(text, 'The upstream answered 200 with a body that is not JSON.')
  }
  const wire = asObject(parsed)
  if (!wire) return new UpstreamFault('garbage', 'The upstream answered 200 with a body that is not a JSON object.')
  const choices = choicesOf(wire)
  const facts = noFacts()
  learn(facts, wire, new UsageReader())
  if (choices.length === 0) {
    const fault = tellsError(wire)
      ? inBandFaultOf(wire, body)
      : new UpstreamFault('empty', 'The upstream answered 200 without any choice.')
    // What is told is charged, whatever else went wrong.
    return facts.usage === undefined ? fault : { body, facts, fault }
  }
  let fault: UpstreamFault | undefined
  for (const choice of choices) {
    fault ??= faultOfFinish(choice)
    // Completions-style servers put the answer in `text`.
    facts.contentBytes += generatedBytes(asObject(choice.message)) + textBytes(choice.text)
    if (typeof choice.finish_reason === 'string') learnFinish(facts, choice.finish_reason)
  }
  if (fault) return { body, facts, fault }
  if (facts.contentBytes === 0 && facts.usage === undefined && (facts.finish ?? 'stop') === 'stop') {
    return new UpstreamFault('empty', 'The upstream said "stop" without any content or usage.')
  }
  // The scan of a whole body costs more than all the rest.
  if (edits.quirks.length === 0) return { body, facts }
  const called = new Set(
    choices.flatMap((choice, at) => (hasToolCall(asObject(choice.message)) ? [Number(choice.index ?? at)] : [])),
  )
  const listed = choices.some(({ message }) => Array.isArray(asObject(message)?.content))
  const plain = listed && edits.quirks.includes('listed-thoughts') ? (withPlainContent(body) ?? body) : body
  if (called.size === 0) return { body: plain, facts }
  const typed = edits.quirks.includes('untyped-tool-calls') ? (withTypedCalls(plain, new Map()) ?? plain) : plain
  if (!edits.quirks.includes('stop-after-tool-call')) return { body: typed, facts }
  const edited = withToolCallsFinish(typed, (choice) => called.has(choice))
  if (edited && facts.finish === 'stop') facts.finish = 'tool_calls'
  return { body: edited ?? typed, facts }
}
