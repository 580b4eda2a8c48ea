// Reads a generateContent request as strictly as Google does, and says in neutral words what it asks for.
import type { Asked } from '../../asked.ts'
import { countTokens } from '../../prose.ts'
import { type Match, WireRefusal } from '../wire.ts'
import { readConfig } from './config.ts'
import { readContents } from './contents.ts'
import { familyOf } from './family.ts'
import { readTools } from './tools.ts'
import { checkObject, fail, optional } from './values.ts'

const TOKENS_A_CONTENT = 4
const FIELDS = [
  'model',
  'contents',
  'systemInstruction',
  'tools',
  'toolConfig',
  'generationConfig',
  'safetySettings',
  'cachedContent',
  'serviceTier',
  'store',
]

/** Throws `WireRefusal` in the words of Google's API. */
export function readRequest(raw: Buffer, match: Match): Asked {
  const body = checkObject(parse(raw), '', FIELDS)
  const model = match.model as string
  const family = familyOf(model)
  const tools = readTools(body)
  const conversation = readContents(body, family)
  const config = readConfig(body, conversation.instructions, tools.declared > 0, family)
  optional.choice(body, 'serviceTier', 'request', ['unspecified', 'standard', 'flex', 'priority'])
  optional.string(body, 'cachedContent', 'request')
  checkSafety(body.safetySettings)
  const { declared: _, ...asked } = tools
  return {
    model,
    stream: match.stream ?? false,
    asList: match.asList ?? false,
    includeUsage: true,
    ...conversation.summary(),
    ...asked,
    ...config,
    promptTokens:
      (body.contents as unknown[]).length * TOKENS_A_CONTENT + conversation.tokens + countTokens(textOf(body.tools)),
    audioTokens: conversation.audioTokens,
  }
}

function parse(raw: Buffer): unknown {
  try {
    return JSON.parse(raw.toString('utf8'))
  } catch {
    throw new WireRefusal(400, 'Invalid JSON payload received. Parsing terminated before end of input.')
  }
}

function checkSafety(settings: unknown): void {
  if (settings === undefined) return
  if (!Array.isArray(settings)) fail("Invalid value at 'safety_settings' (TYPE_MESSAGE)")
  settings.forEach((item: unknown, i) => {
    const path = `safety_settings[${i}]`
    const setting = checkObject(item, path, ['category', 'threshold'])
    if (!/^HARM_CATEGORY_[A-Z_]+$/.test(optional.string(setting, 'category', path) ?? ''))
      fail(`Invalid value at '${path}.category' (TYPE_ENUM)`)
    optional.string(setting, 'threshold', path)
  })
}

/** `JSON.parse` takes any depth, `JSON.stringify` runs out of stack. */
function textOf(tools: unknown): string {
  try {
    return JSON.stringify(tools) ?? ''
  } catch {
    return fail('Request contains tools that are nested too deep.')
  }
}
