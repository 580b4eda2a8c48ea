// The dialect `gemini`: POST /v1beta/models/…:generateContent and :streamGenerateContent, towards upstreams.
import type { Dialect } from '../dialect.ts'
import { boundsOf } from './bounds.ts'
import { decodeFault } from './error.ts'
import { decodeReply } from './reply.ts'
import { encodeRequest, pathOf } from './request.ts'
import { decodeStream } from './stream.ts'

export const gemini: Dialect = {
  name: 'gemini',
  outbound: {
    path: pathOf,
    bounds: boundsOf,
    encode: encodeRequest,
    events: decodeReply,
    decodeStream,
    fault: decodeFault,
  },
}
