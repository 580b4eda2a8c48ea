// A reply as Google's stream: every event has the form of a reply and adds to the one before.
import type { Asked } from '../../asked.ts'
import { type Choice, hidesThoughts, type Reply, type ReplyUsage, tokensOfCall } from '../../reply.ts'
import type { Script } from '../../script.ts'
import type { Frame } from '../wire.ts'
import { callParts, endOf, logprobsOf, tailOf, textSignatureOf } from './reply.ts'

type Json = Record<string, unknown>

/** The events from the first token to the finish reason, one generated token an event. There is no end marker. */
export function replyFrames(reply: Reply, asked: Asked, script: Script, usage: ReplyUsage | undefined): Frame[] {
  const frames: Frame[] = []
  let generated = 0
  const push = (body: Json, tokens: number, final = false): void => {
    generated += tokens
    const told = usage && countedSoFar(usage, generated, final)
    frames.push({ data: JSON.stringify({ ...body, ...tailOf(reply, told) }), tokens, ...(final ? { final } : {}) })
  }
  if (script.blockReason !== undefined) {
    push({ promptFeedback: { blockReason: script.blockReason } }, 0, true)
    return frames
  }
  if (script.emptyChoicesFirst) push({}, 0)
  reply.choices.forEach((choice, index) => {
    for (const { part, tokens, logprobsResult } of partsOf(choice, reply.model, asked, script)) {
      push({ candidates: [{ content: { role: 'model', parts: [part] }, index, ...logprobsResult }] }, tokens)
    }
    const signature = textSignatureOf(choice, script)
    const said = choice.text.length > 0 ? { parts: [{ text: '', ...signature }] } : {}
    const last = index === reply.choices.length - 1
    push({ candidates: [{ content: { role: 'model', ...said }, finishReason: endOf(choice), index }] }, 0, last)
  })
  return frames
}

/** A frame that breaks off inside its JSON. */
export function garbageFrame(): Frame {
  return { data: '{"candidates":[{"content":{"role":"model","parts":[{"text":"half a wo', tokens: 0 }
}

interface Piece {
  part: Json
  tokens: number
  logprobsResult?: { logprobsResult: Json }
}

function partsOf(choice: Choice, model: string, asked: Asked, script: Script): Piece[] {
  const isHidden = hidesThoughts(asked, script)
  const shown = isHidden ? [] : choice.reasoning.map((text) => ({ part: { text, thought: true }, tokens: 1 }))
  const said: Piece[] = choice.text.map((text) => ({
    part: { text },
    tokens: 1,
    ...(asked.logprobs ? { logprobsResult: { logprobsResult: logprobsOf([text]) } } : {}),
  }))
  const called = callParts(choice, model, script).map((part, at) => {
    const call = choice.calls[at]
    return { part, tokens: call ? tokensOfCall(call) : 0 }
  })
  const parts: Piece[] = [...shown, ...said, ...called]
  // Hidden thoughts take their time: their tokens are due before the first part that shows.
  if (isHidden && parts[0]) parts[0] = { ...parts[0], tokens: parts[0].tokens + choice.reasoning.length }
  return parts
}

/** What a frame in the middle says of the answer: as much as was generated. The prompt is known from the first one on. */
function countedSoFar(usage: ReplyUsage, generated: number, isFinal: boolean): ReplyUsage {
  if (isFinal) return usage
  const reasoningTokens = Math.min(usage.reasoningTokens, generated)
  return { ...usage, reasoningTokens, completionTokens: Math.min(usage.completionTokens, generated), audioOutTokens: 0 }
}
