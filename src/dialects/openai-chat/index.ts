// The dialect `openai-chat`: POST /v1/chat/completions, on both sides.
import type { Dialect } from '../dialect.ts'
import { boundsOf } from './bounds.ts'
import { addCost } from './cost.ts'
import { decodeReply } from './decodeReply.ts'
import { decodeRequest } from './decodeRequest.ts'
import { decodeStream } from './decodeStream.ts'
import { encodeReply } from './encodeReply.ts'
import { encodeRequest } from './encodeRequest.ts'
import { encodeStream } from './encodeStream.ts'
import { encodeError, encodeErrorFrame } from './error.ts'
import { faultOf, isError } from './fault.ts'
import { checkToolArguments, inspect } from './inspect.ts'
import { patch } from './patch.ts'
import { tap } from './tap.ts'
import { withoutUsageChunk, withUsageChunk } from './usageChunk.ts'
import { whole } from './whole.ts'

export const openaiChat: Dialect = {
  name: 'openai-chat',
  inbound: {
    inspect,
    checkHistory: checkToolArguments,
    decode: decodeRequest,
    reply: encodeReply,
    stream: encodeStream,
    addCost,
    withUsageChunk,
    withoutUsageChunk,
    error: encodeError,
    isError,
    errorFrame: encodeErrorFrame,
  },
  outbound: {
    path: () => '/chat/completions',
    bounds: boundsOf,
    fault: faultOf,
    patch,
    tap,
    whole,
    encode: encodeRequest,
    events: decodeReply,
    decodeStream,
  },
}
