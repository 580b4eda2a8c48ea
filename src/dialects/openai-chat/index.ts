// The dialect `openai-chat`: POST /v1/chat/completions, on both sides.
import type { Dialect } from '../dialect.ts'
import { encodeError, encodeErrorFrame } from './error.ts'
import { faultOf } from './fault.ts'
import { checkToolArguments, inspect } from './inspect.ts'
import { patch } from './patch.ts'
import { tap } from './tap.ts'
import { whole } from './whole.ts'

export const openaiChat: Dialect = {
  name: 'openai-chat',
  inbound: { inspect, checkHistory: checkToolArguments, error: encodeError, errorFrame: encodeErrorFrame },
  outbound: { path: () => '/chat/completions', patch, tap, whole, fault: faultOf },
}
