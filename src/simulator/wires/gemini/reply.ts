// A whole reply as Google's GenerateContentResponse.
import type { Asked } from '../../asked.ts'
import { type Choice, hidesThoughts, type Reply, type ReplyCall, type ReplyUsage } from '../../reply.ts'
import type { Script } from '../../script.ts'
import { sign } from '../../signature.ts'
import { signCall } from './contents.ts'
import { familyOf } from './family.ts'

type Json = Record<string, unknown>

/** The JSON body; a list of one where a stream was asked for without its framing. */
export function wholeReply(reply: Reply, asked: Asked, script: Script, usage: ReplyUsage | undefined): string {
  const body = { ...answerOf(reply, asked, script), ...tailOf(reply, usage) }
  return JSON.stringify(asked.asList ? [body] : body)
}

function answerOf(reply: Reply, asked: Asked, script: Script): Json {
  if (script.blockReason !== undefined) return { promptFeedback: { blockReason: script.blockReason } }
  const candidates = reply.choices.map((choice, index) => {
    const parts: Json[] = []
    const signature = textSignatureOf(choice, script)
    if (choice.reasoning.length > 0 && !hidesThoughts(asked, script))
      parts.push({ text: choice.reasoning.join(''), thought: true })
    if (choice.text.length > 0) parts.push({ text: choice.text.join(''), ...signature })
    parts.push(...callParts(choice, reply.model, script))
    return {
      content: { role: 'model', ...(parts.length > 0 ? { parts } : {}) },
      finishReason: endOf(choice),
      index,
      ...(asked.logprobs ? { logprobsResult: logprobsOf(choice.text) } : {}),
    }
  })
  return { candidates }
}

/** What stands at the end of a reply and of every frame of a stream. */
export function tailOf(reply: Reply, usage: ReplyUsage | undefined): Json {
  return {
    ...(usage ? { usageMetadata: usageOf(usage) } : {}),
    modelVersion: reply.model,
    responseId: reply.id,
  }
}

/** Google's counts: the prompt includes what came from a cache, thoughts stand beside the answer. */
function usageOf(usage: ReplyUsage): Json {
  const { promptTokens, completionTokens, reasoningTokens, cachedTokens, audioInTokens, audioOutTokens } = usage
  const candidates = Math.max(0, completionTokens - reasoningTokens)
  return {
    promptTokenCount: promptTokens,
    ...(candidates > 0 ? { candidatesTokenCount: candidates } : {}),
    ...(cachedTokens > 0 ? { cachedContentTokenCount: cachedTokens } : {}),
    ...(reasoningTokens > 0 ? { thoughtsTokenCount: reasoningTokens } : {}),
    totalTokenCount: promptTokens + candidates + reasoningTokens,
    promptTokensDetails: byModality(promptTokens, audioInTokens),
    ...(audioOutTokens > 0 ? { candidatesTokensDetails: byModality(candidates, audioOutTokens) } : {}),
  }
}

function byModality(tokens: number, audio: number): Json[] {
  const heard = audio > 0 ? [{ modality: 'AUDIO', tokenCount: audio }] : []
  return [{ modality: 'TEXT', tokenCount: Math.max(0, tokens - audio) }, ...heard]
}

const ends: Readonly<Record<string, string>> = {
  stop: 'STOP',
  length: 'MAX_TOKENS',
  // Google says nothing else after a call.
  tool_calls: 'STOP',
  content_filter: 'SAFETY',
}

/** Why the answer ended, in Google's words; a script's own word goes out as it is. */
export const endOf = ({ finish }: Choice): string => ends[finish] ?? finish

/** After thoughts the text is signed, too. */
export function textSignatureOf({ reasoning, text }: Choice, script: Script): { thoughtSignature?: string } {
  if (reasoning.length === 0 || text.length === 0 || script.signatures === false) return {}
  return { thoughtSignature: sign('gemini', text.join('')) }
}

/** Of several calls only the first is signed. */
export function callParts(choice: Choice, model: string, script: Script): Json[] {
  const hasIds = script.callIds ?? familyOf(model).givesCallIds
  return choice.calls.map((call, at) => {
    const args = argsOf(call)
    const signed = at === 0 && script.signatures !== false ? { thoughtSignature: signCall(call.name, args) } : {}
    return { functionCall: { name: call.name, args, ...(hasIds ? { id: call.id } : {}) }, ...signed }
  })
}

export function logprobsOf(tokens: readonly string[]): Json {
  const chosen = tokens.map((token) => ({ token, logProbability: -0.125 * token.length }))
  return { chosenCandidates: chosen, topCandidates: chosen.map((candidate) => ({ candidates: [candidate] })) }
}

/** Arguments are an object: what a script gives beyond JSON cannot be said. */
function argsOf(call: ReplyCall): unknown {
  try {
    return JSON.parse(call.pieces.join(''))
  } catch {
    return {}
  }
}
