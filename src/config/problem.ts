// A fault or a warning in a configuration, with the place in the file where it is.

/** Keys and indexes from the root of the document. */
export type Path = readonly (string | number)[]

/** `line` and `column` count from 1; both are 0 when the cause is not in a file. */
export interface ConfigProblem {
  readonly path: string
  readonly line: number
  readonly column: number
  readonly message: string
  /** Where it is not in the configuration itself. */
  readonly file?: string
}

/** Tells of one fault. `part` says whether the key or its value is to be pointed at; the value unless given. */
export type Report = (path: Path, message: string, part?: 'key' | 'value') => void

/** A configuration that cannot be used. Holds every problem that was found, in the order of the file. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[]
  readonly file: string | undefined

  constructor(problems: readonly ConfigProblem[], file?: string) {
    super(problems.map((problem) => formatProblem(problem, file)).join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
    this.file = file
  }
}

/** `file:line:column path message`, without the parts that are not known. Compilers' form, so that editors can jump to it. */
export function formatProblem(problem: ConfigProblem, configuration?: string): string {
  const { file = configuration } = problem
  const place = file === undefined ? '' : problem.line > 0 ? `${file}:${problem.line}:${problem.column}` : file
  return [place, problem.path, problem.message].filter((part) => part !== '').join(' ')
}

/** A path as one would write it in JavaScript: `routes["gpt-4.1"].targets[0]`. */
export function formatPath(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (/^[A-Za-z_][\w-]*$/.test(step)) text += text === '' ? step : `.${step}`
    else text += `[${JSON.stringify(step)}]`
  }
  return text
}
