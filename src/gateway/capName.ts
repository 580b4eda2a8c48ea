// The cap of an answer has two names in OpenAI's chat format, and servers that take only one of them.
import type { Provider } from '../config/snapshot.ts'
import type { CapName } from '../providers/provider.ts'

const other = { max_tokens: 'max_completion_tokens', max_completion_tokens: 'max_tokens' } as const

/** What becomes of a field of the client's request. */
export interface CapEdit {
  readonly rename?: Readonly<Record<string, string>>
  readonly drop?: CapName
}

const none: CapEdit = {}

/** The only name that a model takes; undefined where both will do, or nobody has said. */
export const onlyCapName = ({ capName, kind }: Provider, model: string): CapName | undefined =>
  capName ?? kind.capName?.(model)

/** The name for a cap of ours. OpenAI's newer models refuse `max_tokens`; most other servers know no other name. */
export const capNameFor = (provider: Provider, model: string): CapName =>
  onlyCapName(provider, model) ??
  (provider.kind.name === 'openai' || provider.kind.name === 'azure' ? 'max_completion_tokens' : 'max_tokens')

/**
 * What becomes of the client's cap where the model takes it under the other name alone. Libraries choose the name by the model's, which
 * behind a route is not what they see: the AI SDK and LangChain say `max_tokens` then, and each request of a route that moves to GPT-5 would
 * end in 400; and OpenAI's own newer name is an error to Mistral and nothing to DeepSeek, whose answer would be as long as it likes,
 * past what a budget holds for it.
 *
 * @param params what the operator forces on the target
 */
export function capEdit(
  wire: unknown,
  provider: Provider,
  model: string,
  params: Readonly<Record<string, unknown>> | undefined,
): CapEdit {
  const wanted = onlyCapName(provider, model)
  if (wanted === undefined) return none
  const given = other[wanted]
  const { [given]: cap, [wanted]: current } = wire as Readonly<Record<CapName, unknown>>
  // What is no cap goes as it came: the vendor says what is wrong with it.
  if (!(typeof cap === 'number' && cap > 0) || (current !== undefined && current !== null)) return none
  if (params && wanted in params) return { drop: given }
  return { rename: { [given]: wanted }, ...(current === null ? { drop: wanted } : {}) }
}
