// `turnout rollout`: what operators see of moves in steps, and the verbs that change them.
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { parse } from 'yaml'
import { addServerOptions, askServer, findServer, NoAnswer, type Server, type ServerFlags } from './adminClient.ts'
import { addKeyOption, addRevisionOption, type CommandFlags, headersOf, percentOf, revisionOf } from './commandFlags.ts'
import { print, printAsIs, renderTable, toJsonLine, withoutControls } from './output.ts'
import { addReadingCommands } from './rolloutReading.ts'
import { addReplayCommand } from './rolloutReplay.ts'
import { renderExplanation, renderOutcome, renderRollout, type ShownEvent, type ShownRollout } from './rolloutView.ts'

interface Flags extends ServerFlags, CommandFlags {
  reason: string
  earlier?: boolean
  force?: boolean
  full?: boolean
  toRevision?: number
  from?: string
  watch?: boolean
  timeout?: number
}

const pathOf = (name: string, rest = ''): string => `/rollouts/${encodeURIComponent(name)}${rest}`
const allEvents = '/events?earlier=true'
const show = (server: Server, name: string) => askServer<ShownRollout>(server, 'GET', pathOf(name))

/** Exit code 1 when the gateway cannot be reached or says no. */
export function addRolloutCommand(program: Command): void {
  const rollout = program.command('rollout').description('move traffic to another model in steps, judged by evidence')

  addServerOptions(rollout.command('list').description('list all rollouts')).action(async (flags: Flags) => {
    const answer = await askServer<{ data: ShownRollout[] }>(findServer(flags), 'GET', '/rollouts')
    const rows = answer.data.map(({ name, route, canary, percent, phase, reason }) => [
      name,
      route,
      canary.join(', '),
      `${percent} %`,
      phase,
      reason.length > 60 ? `${reason.slice(0, 59)}…` : reason,
    ])
    const table = renderTable(['rollout', 'route', 'canary', 'share', 'phase', 'reason'], rows)
    await print(flags.json ? toJsonLine(answer) : rows.length === 0 ? 'no rollouts\n' : table)
  })

  addServerOptions(
    rollout
      .command('get')
      .description('show where a rollout stands: share, guards between safe and harm, what is missing')
      .argument('<name>', 'the rollout, or a route for what moves it')
      .option('-w, --watch', 'again every second, until it is over'),
  ).action(async (named: string, flags: Flags) => {
    const server = findServer(flags)
    let name = named
    let isSeen = false
    for (;;) {
      const answer = await show(server, name).catch((error: unknown) => {
        // A night is long enough for the gateway to be restarted: who looks on goes on looking.
        if (!isSeen || !(error instanceof NoAnswer)) throw error
        process.stderr.write(`${error.message}\n`)
      })
      if (!answer) {
        await pause(1000)
        continue
      }
      isSeen = true
      // The name of a route stands for another one as soon as this one is over.
      name = answer.name
      const text = flags.json ? toJsonLine(answer) : renderRollout(answer)
      // On a terminal that can do so the picture is redrawn in place.
      if (flags.watch && process.stdout.isTTY && process.env.TERM !== 'dumb') await printAsIs('\x1b[H\x1b[2J')
      await print(text)
      if (!flags.watch || isOver(answer)) return
      await pause(1000)
    }
  })

  addServerOptions(
    rollout
      .command('explain')
      .description('say in words why a rollout stands as it does')
      .argument('<name>', 'the rollout'),
  ).action(async (name: string, flags: Flags) => {
    const server = findServer(flags)
    const [answer, events] = await Promise.all([
      show(server, name),
      askServer<{ data: ShownEvent[] }>(server, 'GET', pathOf(name, '/events')),
    ])
    await print(flags.json ? toJsonLine(answer) : renderExplanation(answer, events.data))
  })

  addServerOptions(
    rollout
      .command('events')
      .description('list every change of a rollout')
      .argument('<name>', 'the rollout')
      .option('--earlier', 'also of all that had the name before'),
  ).action(async (name: string, flags: Flags) => {
    const path = pathOf(name, flags.earlier ? allEvents : '/events')
    const answer = await askServer<{ data: ShownEvent[] }>(findServer(flags), 'GET', path)
    const rows = answer.data.map(({ seq, at, actor, verb, to, percent, reason }) => [
      seq,
      at,
      actor,
      verb,
      to,
      `${percent} %`,
      reason,
    ])
    await print(
      flags.json ? toJsonLine(answer) : renderTable(['', 'at', 'by', 'verb', 'phase', 'share', 'reason'], rows),
    )
  })

  addServerOptions(
    rollout
      .command('status')
      .description(
        'exit with 0 when it is completed, 1 rolled back or stopped, 2 paused or waiting for somebody, 3 still under way, 4 where that cannot be told',
      )
      .argument('<name>', 'the rollout, or a route for what moves it')
      // A script that was mistyped knows nothing of the rollout, either.
      .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : untold))
      .addOption(new Option('--timeout <seconds>', 'how long to wait for an end').argParser(secondsOf).default(0)),
  ).action(async (named: string, flags: Flags) => {
    let name = named
    const end = Date.now() + (flags.timeout ?? 0) * 1000
    for (;;) {
      let answer: ShownRollout
      try {
        answer = await show(findServer(flags), name)
      } catch (error) {
        // A gateway that restarts may be there again within the time that is given.
        if (error instanceof NoAnswer && Date.now() < end) {
          await pause(Math.min(1000, Math.max(50, end - Date.now())))
          continue
        }
        // Not 1: a script would take it for a rollout that was rolled back.
        process.stderr.write(withoutControls(`${(error as Error).message}\n`))
        process.exitCode = untold
        return
      }
      // As of who watches.
      name = answer.name
      const code = codes[answer.phase] ?? 3
      if (code !== 3 || Date.now() >= end) {
        process.exitCode = code
        await print(
          flags.json
            ? toJsonLine(answer)
            : `${answer.name}: ${answer.phase} at ${answer.percent} % (${answer.reason})\n`,
          untold,
        )
        return
      }
      await pause(Math.min(1000, Math.max(50, end - Date.now())))
    }
  })

  addServerOptions(
    rollout
      .command('verify-audit')
      .description('recompute the chain of hashes over the events of a rollout, and of all that had its name before')
      .argument('<name>', 'the rollout'),
  ).action(async (name: string, flags: Flags) => {
    const answer = await askServer<{ data: unknown[]; chain: string }>(
      findServer(flags),
      'GET',
      pathOf(name, allEvents),
    )
    const isWhole = answer.chain === 'unbroken'
    const text = `${name}: ${answer.data.length} events, the chain is ${isWhole ? 'unbroken' : `broken: ${answer.chain}`}\n`
    if (!isWhole) process.exitCode = 1
    await print(flags.json ? toJsonLine({ events: answer.data.length, chain: answer.chain }) : text)
  })

  addReplayCommand(rollout)
  addReadingCommands(rollout)
  addCreate(rollout)
  for (const [verb, description] of verbs) addVerb(rollout, verb, description)
  addVerb(
    rollout,
    'set-weight',
    'give the canary another share by hand; a rollout with steps then stands still',
  ).argument('<percent>', 'from 0 to 100', percentOf)
}

const verbs = [
  ['start', 'begin at the first step'],
  ['pause', 'stand still: the canary keeps its share, and guards still abort'],
  ['resume', 'go on at the same step'],
  ['approve', 'take the step that waits for somebody'],
  ['promote', 'take the next step although its conditions do not hold'],
  ['abort', 'send everything back to the stable side, at once'],
  ['retry', 'begin again after an abort, with new evidence'],
  ['undo', 'take back what was completed, or go back to an earlier revision'],
] as const

function addVerb(rollout: Command, verb: string, description: string): Command {
  const command = rollout
    .command(verb)
    .description(description)
    .argument('<name>', 'the rollout')
    .option('--reason <text>', 'why, for whoever looks next', 'by command line')
  addKeyOption(command)
  if (verb === 'start') command.option('--force', 'also where these arms were aborted by what was seen of them')
  if (verb === 'undo')
    command.addOption(
      new Option('--to-revision <n>', 'back to the step and share of this revision, where it stands still').argParser(
        revisionOf,
      ),
    )
  addRevisionOption(command)
  if (verb === 'promote') command.option('--full', 'complete it: the canary becomes the stable side')
  addServerOptions(command).action(async (name: string, ...rest: unknown[]) => {
    const flags = (verb === 'set-weight' ? rest[1] : rest[0]) as Flags
    const { reason, force, full, toRevision } = flags
    const percent = verb === 'set-weight' ? (rest[0] as number) : undefined
    const body = { reason, force, full, percent, toRevision }
    const path = pathOf(name, `/${verb}`)
    const answer = await askServer<ShownRollout>(findServer(flags), 'POST', path, body, headersOf(flags))
    await print(flags.json ? toJsonLine(answer) : renderOutcome(answer))
  })
  return command
}

function addCreate(rollout: Command): void {
  const command = rollout
    .command('create')
    .description('make a new rollout, in draft')
    .argument('<name>', 'what it is to be called')
    .requiredOption('--from <file>', 'YAML or JSON of what the file would say under its name; - for standard input')
    .option('--reason <text>', 'why, for whoever looks next', 'by command line')
  addServerOptions(addKeyOption(command)).action(async (name: string, flags: Flags) => {
    const body = { name, reason: flags.reason, rollout: readFrom(flags.from!) }
    const answer = await askServer<ShownRollout>(findServer(flags), 'POST', '/rollouts', body, headersOf(flags))
    await print(flags.json ? toJsonLine(answer) : renderOutcome(answer))
  })
}

/** @throws Error that names the file */
function readFrom(file: string): unknown {
  let text: string
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    throw new Error(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code}.`)
  }
  try {
    return parse(text)
  } catch (error) {
    throw new Error(`${file} is no YAML: ${(error as Error).message}`)
  }
}

/** Exit code of `status` where it cannot be told how the rollout stands. */
const untold = 4
const codes: Readonly<Record<string, number>> = { completed: 0, rolled_back: 1, stopped: 1, paused: 2, awaiting: 2 }
const isOver = ({ phase }: ShownRollout): boolean => ['completed', 'rolled_back', 'stopped', 'draft'].includes(phase)

function secondsOf(text: string): number {
  if (/^\d+(?:\.\d+)?s?$/.test(text)) return Number(text.replace(/s$/, ''))
  throw new InvalidArgumentError(`'${text}' is no number of seconds.`)
}
