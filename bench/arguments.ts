// The command line of the bench.
import { parseArgs } from 'node:util'

export type SetName = 'quick' | 'core' | 'full'

export interface Arguments {
  readonly set: SetName
  /** Names of contenders or works; nothing = all. */
  readonly only: readonly string[]
  readonly json: string | undefined
  /** Write `bench/RESULTS.md`: only for whole core or full runs. */
  readonly results: boolean
  readonly build: boolean
  /** How many times the works are gone through; undefined = the plan's. */
  readonly passes: number | undefined
  /** Seconds that may be spent on measuring again what the machine has spoilt; undefined = the plan's. */
  readonly patience: number | undefined
}

export const usage = `npm run bench -- [--quick | --full] [--only NAME]… [--passes N] [--json FILE] [--no-results] [--no-build] [--patient MIN]

  --quick       two works and one latency, under 90 seconds
  --full        all works, more rounds, the latency of streams as well
  --only NAME   a contender (direct, relay, turnout, turnout-bare, portkey, nginx) or a work; may be given several times.
                direct and relay always run, because the others are measured against them
  --passes N    go through the works so many times (core: 2, full: 4)
  --json FILE   also write all figures as JSON
  --no-results  leave bench/RESULTS.md alone (also so with --quick and --only)
  --no-build    measure dist/ as it is
  --patient MIN on a machine that others use too: more rounds where too few windows were quiet, for so many minutes in all at most`

/** Reads the arguments after the script's name. Throws with a text for the user. */
export const readArguments = (argv: readonly string[]): Arguments | 'help' => {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      full: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      passes: { type: 'string' },
      json: { type: 'string' },
      results: { type: 'boolean', default: true },
      build: { type: 'boolean', default: true },
      patient: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
    allowNegative: true,
  })
  if (values.help) return 'help'
  if (values.quick && values.full) throw new Error('--quick and --full exclude each other')
  const set = values.quick ? 'quick' : values.full ? 'full' : 'core'
  const only = values.only.flatMap((text) => text.split(','))
  return {
    set,
    only,
    json: values.json,
    results: values.results && set !== 'quick' && only.length === 0,
    build: values.build,
    passes: values.passes === undefined ? undefined : readPasses(values.passes),
    patience: values.patient === undefined ? undefined : readMinutes(values.patient) * 60,
  }
}

const readPasses = (text: string): number => {
  const passes = Number(text)
  if (!Number.isInteger(passes) || passes < 1 || passes > 50)
    throw new Error('--passes takes a whole number from 1 to 50')
  return passes
}

const readMinutes = (text: string): number => {
  const minutes = Number(text)
  if (!(minutes > 0)) throw new Error('--patient takes a number of minutes')
  return minutes
}
