// Whether a command line of a page would be taken: by the same commands that `turnout --help` lists.
import { Command } from 'commander'
import { addOtherCommands } from '../../src/cli/commands.ts'
import { addServeCommand } from '../../src/cli/serve.ts'

/** All commands, as `main.ts` puts them together. */
export const program = new Command('turnout')
addServeCommand(program)
addOtherCommands(program)

/** What is wrong with it, or undefined. @param line as it is typed, from `turnout` on; words in capitals stand for values */
export function faultOf(line: string): string | undefined {
  const words = line.match(/"[^"]*"|'[^']*'|\S+/g)!.slice(1)
  let command = program
  for (let next = find(command, words[0]); next; next = find(command, words[0])) {
    command = next
    words.shift()
  }
  if (command.commands.length > 0 && !hasAction(command)) return `${command.name()} has no command '${words[0] ?? ''}'`
  let values = 0
  while (words.length > 0) {
    const word = words.shift()!
    if (!word.startsWith('-')) {
      values++
      continue
    }
    const [flag, inline] = word.split('=')
    const option = command.options.find(({ short, long }) => flag === short || flag === long)
    if (!option || !command.helpInformation().includes(flag!)) return `${command.name()} has no option ${flag}`
    if (option.required && inline === undefined && words.shift() === undefined) return `${flag} wants a value`
  }
  const { registeredArguments: wanted } = command
  if (values < wanted.filter(({ required }) => required).length)
    return `${command.name()} wants more than ${values} values`
  if (values > wanted.length && !wanted.some(({ variadic }) => variadic))
    return `${command.name()} takes no ${values} values`
  return undefined
}

const find = (command: Command, name: string | undefined): Command | undefined =>
  command.commands.find((one) => one.name() === name || one.aliases().includes(name ?? ''))

/** A group may do something by itself, or have a default. */
const hasAction = (command: Command): boolean => {
  const { _actionHandler: action, _defaultCommandName: fallback } = command as unknown as Record<string, unknown>
  return Boolean(action ?? fallback)
}

/** Command lines in a text: in code spans, and on lines of blocks. */
export function commandsIn(text: string): string[] {
  const spans = [...text.matchAll(/`(?:npx )?(turnout [^`]+)`/g)].map(([, line]) => line!)
  const lines = [...text.matchAll(/^(?:\$ )?(?:npx )?(turnout [^\n`]+)$/gm)].map(([, line]) => line!)
  return [...spans, ...lines].map((line) => line.replace(/(?:\s+#|\s*[|>;&]).*$/, '').trim())
}
