// The dialect `anthropic-messages`: POST /v1/messages, towards upstreams.
import type { Dialect } from '../dialect.ts'
import { boundsOf } from './bounds.ts'
import { decodeFault } from './error.ts'
import { decodeReply } from './reply.ts'
import { encodeRequest } from './request.ts'
import { decodeStream } from './stream.ts'

export const anthropicMessages: Dialect = {
  name: 'anthropic-messages',
  outbound: {
    path: () => '/messages',
    bounds: boundsOf,
    encode: encodeRequest,
    events: decodeReply,
    decodeStream,
    fault: decodeFault,
  },
}
