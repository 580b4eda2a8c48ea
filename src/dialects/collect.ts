// Gathers the events of a reply into whole blocks, for everything that needs the reply at once: JSON replies, caches, comparisons.
import type { Annotation, BlockStart, ChatEvent, FinishReason, TokenLogprob, Usage } from './chat.ts'
import type { UpstreamFault } from './errors.ts'

/** One block, complete: what opened it and the text that came after. */
export interface CollectedBlock {
  block: BlockStart
  text: string
  signature?: string
}

export interface CollectedChoice {
  index: number
  blocks: CollectedBlock[]
  annotations: Annotation[]
  logprobs: { content: TokenLogprob[]; refusal: TokenLogprob[] }
  finish?: { reason: FinishReason; raw?: string; stopSequence?: string }
}

export interface CollectedReply {
  id?: string
  model?: string
  created?: number
  serviceTier?: string
  fingerprint?: string
  choices: CollectedChoice[]
  usage?: Usage
  fault?: UpstreamFault
  ended: boolean
}

/** The whole reply. Text is joined once at the end, so that a long stream costs no more than its length. */
export function collect(events: Iterable<ChatEvent>): CollectedReply {
  const reply: CollectedReply = { choices: [], ended: false }
  const pieces = new Map<CollectedBlock, string[]>()
  const choices = new Map<number, CollectedChoice>()
  const at = (index = 0): CollectedChoice => {
    let choice = choices.get(index)
    if (!choice) {
      choice = { index, blocks: [], annotations: [], logprobs: { content: [], refusal: [] } }
      choices.set(index, choice)
    }
    return choice
  }
  for (const event of events) {
    switch (event.type) {
      case 'start': {
        const { type: _, ...facts } = event
        Object.assign(reply, facts)
        break
      }
      case 'block-start': {
        const opened: CollectedBlock = { block: event.block, text: '' }
        at(event.choice).blocks[event.index] = opened
        pieces.set(opened, [])
        break
      }
      case 'block-delta': {
        const grown = at(event.choice).blocks[event.index]
        if (grown) pieces.get(grown)?.push(event.text)
        break
      }
      case 'block-end': {
        const ended = at(event.choice).blocks[event.index]
        if (ended && event.signature !== undefined) ended.signature = event.signature
        if (ended && event.origin !== undefined) ended.block = { ...ended.block, origin: event.origin } as BlockStart
        break
      }
      case 'annotations':
        at(event.choice).annotations.push(...event.annotations)
        break
      case 'logprobs':
        at(event.choice).logprobs[event.part].push(...event.tokens)
        break
      case 'usage':
        reply.usage = event.usage
        break
      case 'finish': {
        const { type: _, choice, ...finish } = event
        at(choice).finish = finish
        break
      }
      case 'end':
        reply.ended = true
        break
      case 'fault':
        reply.fault = event.fault
        break
    }
  }
  for (const [block, texts] of pieces) block.text = texts.join('')
  reply.choices = [...choices.values()].sort((a, b) => a.index - b.index)
  return reply
}
