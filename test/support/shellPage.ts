// Runs what a page of the documentation shows on a shell, and holds what comes out against what the page says.
import { expect } from 'vitest'
import { send } from './exchange.ts'
import { runTurnout } from './turnoutProcess.ts'

export interface Step {
  readonly command: string
  /** What the page shows below it; `…` stands for anything. */
  readonly output: string
}

/** The commands of all `console` blocks, in their order. A line that ends with a backslash goes on in the next. */
export function stepsOf(page: string): Step[] {
  const blocks = [...page.matchAll(/```console\n([\s\S]*?)```/g)].map(([, block]) => block!)
  return blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((step) => {
        const end = /(?<!\\)\n/.exec(step)!.index
        return { command: step.slice(0, end).replace(/\\\n\s*/g, ''), output: step.slice(end + 1) }
      }),
  )
}

export interface Shell {
  /** Where relative paths of commands begin. */
  readonly cwd: string
  /** What pages call http://127.0.0.1:4000. */
  readonly url: string
  readonly env: Record<string, string>
}

const pageUrl = 'http://127.0.0.1:4000'

/** Runs one step as a reader would, and compares. Knows `export`, `NAME=$(… | jq -r .field)`, `curl` and `turnout`. */
export async function runStep({ command, output }: Step, shell: Shell): Promise<void> {
  const got = await runCommand(command.replaceAll(pageUrl, shell.url), shell)
  const wanted = steady(output).split('…').map(escapeRegExp).join('[^]*?')
  expect(steady(got.replaceAll(shell.url, pageUrl)), command).toMatch(new RegExp(`^${wanted}$`))
}

async function runCommand(command: string, shell: Shell): Promise<string> {
  const taken = /^(\w+)=\$\((.*) \| jq -r \.(\w+)\)$/.exec(command)
  if (taken) {
    const [, name, inner, field] = taken
    shell.env[name!] = String(JSON.parse(await runCommand(inner!, shell))[field!])
    return ''
  }
  const [program, ...words] = wordsOf(command, shell.env)
  if (program === 'export') {
    for (const word of words) shell.env[word.split('=')[0]!] = word.slice(word.indexOf('=') + 1)
    return ''
  }
  if (program === 'curl') return curl(words)
  if (program !== 'turnout') throw new Error(`a page runs ${program}, which nobody knows here`)
  const { out, err } = await runTurnout(words, { cwd: shell.cwd, env: shell.env })
  return out + err
}

async function curl(words: readonly string[]): Promise<string> {
  const headers: Record<string, string> = {}
  let method: string | undefined
  let body: string | undefined
  let url = ''
  let format: string | undefined
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!
    if (word === '-X') method = words[++at]!
    else if (word === '-d') body = words[++at]!
    else if (word === '-w') format = words[++at]!
    else if (word === '-o') at++
    else if (word === '-H') {
      const [name, ...value] = words[++at]!.split(': ')
      headers[name!.toLowerCase()] = value.join(': ')
    } else if (!word.startsWith('-')) url = word
  }
  const { status, text } = await send(method ?? (body === undefined ? 'GET' : 'POST'), url, body, headers).done
  if (format !== undefined) return format.replace('%{http_code}', String(status)).replace('\\n', '\n')
  return text.endsWith('\n') ? text : `${text}\n`
}

/** The words of a line: with single quotes as they are, else with variables replaced. */
function wordsOf(line: string, env: Record<string, string>): string[] {
  const filled = (text: string): string => text.replace(/\$(\w+)/g, (_, name: string) => env[name] ?? '')
  return [...line.matchAll(/(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|((?:[^\s"'\\]|\\.)+))+/g)].map(([whole]) =>
    [...whole.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|((?:[^\s"'\\]|\\.)+)/g)]
      .map(([, double, single, bare]) => single ?? filled((double ?? bare!).replace(/\\(.)/g, '$1')))
      .join(''),
  )
}

/** Without what differs each time: the hints of secrets, times, and hashes of configurations. */
const steady = (text: string): string =>
  text
    .replace(/tk-…[\w-]{4}/g, 'HINT')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, 'TIME')
    .replace(/\b[0-9a-f]{12}\b/g, 'HASH')

const escapeRegExp = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
