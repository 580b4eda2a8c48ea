// Writes docs/translation.md out of the request matrix: what becomes of each parameter is read off the translators themselves.
import { anthropicMessages } from '../../src/dialects/anthropic-messages/index.ts'
import { Refusal } from '../../src/dialects/errors.ts'
import { gemini } from '../../src/dialects/gemini/index.ts'
import { decodeRequest } from '../../src/dialects/openai-chat/decodeRequest.ts'
import { baseRequest, matrix } from './hubMatrix.ts'

/** The columns: for each vendor a model that is told about thinking in the older way, and one in the newer. */
const columns = [
  ['claude-sonnet-4-5', anthropicMessages],
  ['claude-opus-5', anthropicMessages],
  ['gemini-2.5-flash', gemini],
  ['gemini-3-pro-preview', gemini],
] as const

type Dialect = (typeof columns)[number][1]

const intro = `# Translation

What becomes of an OpenAI chat request on its way to Anthropic's Messages API and to Google's Gemini API.
This page is written by \`npx tsx test/support/writeTranslationDoc.ts\`, which runs every case of the request matrix through the
translators; a test fails when it is out of date.

How to read a cell:

* \`field = value\`: what of the upstream request differs because of the parameter.
* **reported**: something could not be said. The parameter is named in the reply's \`x-turnout-dropped-params\` header, in the ledger
  and in a metric; with \`x-turnout-strict: true\` the request is refused instead.
* **refused**: a 400 that names the place, because the meaning would be lost.
* –: nothing differs, because the parameter asks for what happens anyway (or stands in the path, as \`stream\` does at Google).

Replies come back the other way with \`finish_reason\` in OpenAI's words and the vendor's own in \`native_finish_reason\`, usage in
OpenAI's inclusive totals, thoughts in \`reasoning_content\`, and whatever the vendor wants back verbatim (signatures, redacted
thoughts, blocks of tools that it ran itself) in \`reasoning_details\`: send the assistant's message back as it came and multi-turn
reasoning works. For clients that cannot do so (\`runTools\` of OpenAI's SDK for JavaScript among them, which sends OpenAI's own fields alone) a
bounded store fills in Gemini's signatures by tool-call id; a Claude that thinks by budget answers without thinking once a turn has called tools,
which is reported (so with \`x-turnout-strict\` such a loop is refused) and ends with the user's next message.
A stream sends each item of that list once, when it is whole: put them one behind the other. The stream helper of OpenAI's SDK for JavaScript
keeps the last alone; a list that has lost its head is left out and reported. Citations come in one list, at the end.

The deprecated \`functions\` know one call a turn: Claude is told so, and of several that Gemini makes at once the first is given.
A function whose name begins with a digit or a dash, which Google refuses, has an underscore before it there; the client sees its own name.
Where a JSON schema is asked for by a tool call, the first such call is the answer, and another beside it is left out: two would be no JSON.
`

/** The whole page. */
export function translationDoc(): string {
  const head = `| parameter | case | ${columns.map(([model]) => `\`${model}\``).join(' | ')} |`
  const rule = `|---|---|${columns.map(() => '---|').join('')}`
  const rows = matrix.map(({ param, about, body }) => {
    const without = withoutParam(param, body)
    const cells = columns.map(([model, dialect]) => cellOf(body, without, model, dialect))
    return `| \`${param}\` | ${about.replaceAll('|', '\\|')} | ${cells.join(' | ')} |`
  })
  return `${intro}\n${[head, rule, ...rows].join('\n')}\n`
}

type Json = Record<string, unknown>

/** The same request without the parameter, so that a cell shows what the parameter does and not what stands beside it. */
function withoutParam(param: string, body: Json): Json {
  if (param === 'tools') {
    const bare = (tool: Json) => (tool.function ? { ...tool, function: { name: (tool.function as Json).name } } : tool)
    const known = (body.tools as Json[]).filter((tool) => tool.type === 'function').map(bare)
    return known.length > 0 ? { ...body, tools: known } : { ...body, tools: undefined }
  }
  if (param === 'messages' || !(param in body)) return { ...body, messages: baseRequest.messages }
  return { ...body, [param]: undefined }
}

function cellOf(body: Json, without: Json, model: string, dialect: Dialect): string {
  const base = leavesOf(encode(without, model, dialect).wire)
  let encoded: ReturnType<typeof encode>
  try {
    encoded = encode(body, model, dialect)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return `**refused** \`${error.code}\``
  }
  const changed = [...leavesOf(encoded.wire)].filter(([path, value]) => base.get(path) !== value)
  const shown = changed.slice(0, 3).map(([path, value]) => code(`${path} = ${value}`))
  if (changed.length > 3) shown.push(`and ${changed.length - 3} more`)
  const losses = encoded.losses.map(({ param, reason, detail }) => {
    return `**reported** ${code(param)} ${reason}${detail === undefined ? '' : `: ${detail.replaceAll('|', '\\|')}`}`
  })
  return [...shown, ...losses].join('<br>') || '–'
}

function encode(body: unknown, model: string, dialect: Dialect) {
  return dialect.outbound!.encode!(decodeRequest(body), model)
}

/** Paths of all values that are no objects, with the values as JSON. */
function leavesOf(value: unknown, path = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null) return new Map([[path, JSON.stringify(value)]])
  const entries = Object.entries(value)
  if (entries.length === 0) return new Map([[path, Array.isArray(value) ? '[]' : '{}']])
  const at = (name: string) => (Array.isArray(value) ? `${path}[${name}]` : path === '' ? name : `${path}.${name}`)
  return new Map(entries.flatMap(([name, inner]) => [...leavesOf(inner, at(name))]))
}

function code(text: string): string {
  const short = text.length > 90 ? `${text.slice(0, 89)}…` : text
  return `\`${short.replaceAll('|', '\\|').replaceAll('`', "'").replaceAll('\n', ' ')}\``
}
