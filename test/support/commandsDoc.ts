// Makes the reference in docs/commands.md out of what `turnout … --help` says.
import type { Command, Option } from 'commander'
import { program } from './commandLine.ts'

const begin = '<!-- The commands: written by npx tsx test/support/writeCommandsDoc.ts -->'
const end = '<!-- End of the commands -->'

/** The page with its reference as the commands are now. */
export function withCommands(page: string): string {
  const from = page.indexOf(begin) + begin.length
  return `${page.slice(0, from)}\n\n${reference()}\n\n${page.slice(page.indexOf(end))}`
}

/** Options that as many commands have in the same words stand in one table of their own. */
const OFTEN = 6

const help = program.createHelp()
const optionsOf = (command: Command): Option[] =>
  help.visibleOptions(command).filter(({ long }) => long !== '--help' && long !== '--version')
const within = (command: Command): Command[] => help.visibleCommands(command).filter((one) => one.name() !== 'help')
const withAll = (command: Command): Command[] => [command, ...within(command).flatMap(withAll)]
const rowOf = (option: Option): string => row(`\`${option.flags}\``, help.optionDescription(option))
const row = (...cells: string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`

function reference(): string {
  const uses = new Map<string, number>()
  for (const line of withAll(program).flatMap(optionsOf).map(rowOf)) uses.set(line, (uses.get(line) ?? 0) + 1)
  const isCommon = (option: Option): boolean => uses.get(rowOf(option))! >= OFTEN
  const common = [...uses].filter(([, count]) => count >= OFTEN).map(([line]) => line)
  const list = within(program).map((command) =>
    row(`[\`turnout ${command.name()}\`](#turnout-${command.name()})`, help.subcommandDescription(command)),
  )
  return [
    ['| command | what it does |', '|---|---|', ...list].join('\n'),
    '## Options of many commands',
    'A command has those that its section names.',
    ['| option | meaning |', '|---|---|', ...common].join('\n'),
    ...within(program).flatMap((command) => sections(command, isCommon)),
  ].join('\n\n')
}

function sections(command: Command, isCommon: (option: Option) => boolean): string[] {
  const subcommands = within(command)
  const depth = command.parent === program ? '##' : '###'
  const path = help.commandUsage(command).replace(/ [[<].*$/, '')
  const title = `${depth} \`${path}\``
  const text = `${sentence(command.description())}${subcommands.length > 0 ? ` Commands: ${subcommands.map((one) => `\`${one.name()}\``).join(', ')}.` : ''}`
  if (subcommands.length > 0) return [title, text, ...subcommands.flatMap((one) => sections(one, isCommon))]
  const options = optionsOf(command)
  const own = [
    ...help.visibleArguments(command).map((one) => row(`\`${one.name()}\``, help.argumentDescription(one))),
    ...options.filter((option) => !isCommon(option)).map(rowOf),
  ]
  const shared = options.filter(isCommon).map(({ long }) => `\`${long}\``)
  return [
    title,
    text,
    `\`\`\`\n${help.commandUsage(command)}\n\`\`\``,
    ...(own.length > 0 ? [['| | meaning |', '|---|---|', ...own].join('\n')] : []),
    ...(shared.length > 0 ? [`${own.length > 0 ? 'Also' : 'Options'}: ${shared.join(', ')}.`] : []),
  ]
}

const sentence = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}.`
