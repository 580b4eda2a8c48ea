// Reads a Dockerfile and a .dockerignore as far as a test needs them: stages, instructions, what is copied, what is left out.

export interface Instruction {
  name: string
  /** All behind the name, on one line. */
  value: string
}

export interface Stage {
  base: string
  name: string | undefined
  instructions: Instruction[]
}

/** Throws for a text that does not begin with a stage. */
export function parseDockerfile(text: string): Stage[] {
  const stages: Stage[] = []
  for (const line of logicalLines(text)) {
    const [, name = '', value = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? []
    if (name === '') throw new Error(`not an instruction: ${line}`)
    if (name === 'FROM') {
      const [, base = '', alias] = /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(value) ?? []
      stages.push({ base, name: alias, instructions: [] })
      continue
    }
    const stage = stages.at(-1)
    if (!stage) throw new Error(`${name} before FROM`)
    stage.instructions.push({ name, value })
  }
  return stages
}

/** The values of all instructions of that name, in order. */
export const valuesOf = (stage: Stage, name: string): string[] =>
  stage.instructions.filter((instruction) => instruction.name === name).map(({ value }) => value)

/** The exec form `["a", "b"]`. Throws for the shell form: under a shell signals do not reach the program. */
export function execForm(value: string): string[] {
  const words: unknown = JSON.parse(value)
  if (!Array.isArray(words) || !words.every((word) => typeof word === 'string'))
    throw new Error(`no exec form: ${value}`)
  return words
}

export interface Copy {
  /** Name of the stage to copy from; undefined = from the build's context. */
  from: string | undefined
  sources: string[]
  target: string
}

export function parseCopy(value: string): Copy {
  const words = value.split(/\s+/)
  const flags = words.filter((word) => word.startsWith('--'))
  const paths = words.filter((word) => !word.startsWith('--'))
  const from = flags.find((flag) => flag.startsWith('--from='))?.slice('--from='.length)
  const target = paths.pop()
  if (target === undefined || paths.length === 0) throw new Error(`COPY needs a source and a target: ${value}`)
  return { from, sources: paths, target }
}

/** All `ENV NAME=value` of a stage. Quoted values are not read. */
export function environmentOf(stage: Stage): Record<string, string> {
  const pairs = valuesOf(stage, 'ENV').flatMap((value) => value.split(/\s+/))
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]))
}

/**
 * Whether a .dockerignore leaves a path (relative, with `/`) out. The last pattern that matches the path or a folder above it
 * wins, `!` lets in again (docs.docker.com/build/concepts/context, "dockerignore files").
 */
export function ignoredBy(text: string): (path: string) => boolean {
  const rules = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const lets = line.startsWith('!')
      return { lets, pattern: patternOf(line.slice(lets ? 1 : 0).replace(/^\/+|\/+$/g, '')) }
    })
  return (path) => {
    const steps = path.split('/')
    const paths = steps.map((_, i) => steps.slice(0, i + 1).join('/'))
    const last = rules.findLast(({ pattern }) => paths.some((candidate) => pattern.test(candidate)))
    return last !== undefined && !last.lets
  }
}

/** Lines with their continuations joined; comments are gone, also those between continued lines. */
function logicalLines(text: string): string[] {
  const kept = text.split('\n').filter((line) => !/^\s*(#|$)/.test(line))
  return kept
    .join('\n')
    .replace(/\\\n\s*/g, '')
    .split('\n')
}

function patternOf(glob: string): RegExp {
  const parts = glob.split(/(\*\*\/?|\*|\?)/).map((part) => {
    if (part.startsWith('**')) return '.*'
    if (part === '*') return '[^/]*'
    return part === '?' ? '[^/]' : part.replace(/[.+^${}()|[\]\\]/g, '\\$&')
  })
  return new RegExp(`^${parts.join('')}$`)
}
