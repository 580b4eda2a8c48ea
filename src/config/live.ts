// The live configuration: the file, what operators changed beside it, and the one pointer that requests take.
import { createHash } from 'node:crypto'
import { envRoute } from './envRoute.ts'
import { fingerprintOf } from './fingerprint.ts'
import { freezeDeep } from './freeze.ts'
import type { Env } from './interpolation.ts'
import { hashOf, type Loaded, parseConfig } from './load.ts'
import type { Actor, Bypass, ConfigMemory, Overlay, Version, VersionSource } from './memory.ts'
import { choosePrimary, type Primary, withPrimaries } from './primary.ts'
import { ConfigError, type ConfigProblem, formatProblem } from './problem.ts'
import type { Redactor } from './redaction.ts'
import { routeNamed } from './resolve.ts'
import { canaryOfEnv } from './rolloutSettings.ts'
import type { Overrides } from './serverSettings.ts'
import type { Snapshot } from './snapshot.ts'
import { changesBetween } from './writtenDocument.ts'

/** What the file and the environment say now. */
export interface Base {
  readonly file: string | undefined
  readonly text: string
  readonly env: Env
  /** What is worth a word in the files of the environment. */
  readonly envWarnings?: readonly ConfigProblem[]
}

export interface LiveOptions {
  /** Reads file and environment anew. @throws ConfigError */
  read(): Base
  /** What was read and parsed on the way here: the start begins with that and need not do it twice. */
  readonly first?: { readonly base: Base; readonly loaded: Loaded } | undefined
  readonly overrides?: Overrides | undefined
  readonly memory: ConfigMemory
  readonly redactor: Redactor
  /** Makes a snapshot the current one and prunes what hangs on the old; not called for the first. */
  swap(next: Snapshot): void
  /** File and environment were read again and say the same: what could not be followed before may be so now. */
  again?(same: Snapshot): void
  /** Why a snapshot may not be served although it is valid, if so. */
  refuse?(snapshot: Snapshot): string | undefined
  /** Told of what happens: for the log. */
  told?(event: LiveEvent): void
  now?: () => number
}

export type LiveEvent =
  | { kind: 'swapped'; version: number; hash: string; source: VersionSource; warnings: readonly string[] }
  /** Read again, and nothing to swap: what is worth a word in it all the same. */
  | { kind: 'unchanged'; warnings: readonly string[] }
  | { kind: 'refused'; source: VersionSource; problems: readonly string[] }
  /** Admin writes that count no more: the file has changed, another document was written, or they cannot be served since the last start. */
  | { kind: 'lost'; changes: readonly string[]; why: 'file' | 'written' | 'invalid' }
  | { kind: 'bypass'; on: boolean; reason: string; actor: string }
  | { kind: 'unsaved'; what: string; error: unknown }

/** What was served at one moment. */
export interface Shown {
  readonly snapshot: Snapshot
  /** Before variables are replaced, without secrets; made when asked for. */
  readonly document: string
}

export interface SwapResult {
  /** False where nothing changed. */
  readonly swapped: boolean
  /** What it was made of and what it left: others may have come before it since it was asked for, and after it by now. */
  readonly before: Shown
  readonly after: Shown
  readonly version: number
  readonly warnings: readonly string[]
  /** Paths of admin writes that this has ended. */
  readonly lost: readonly string[]
}

/** A write that was based on another version than the current one. */
export class StaleVersion extends Error {
  readonly current: number
  constructor(current: number) {
    super(`The configuration is at version ${current} now: read it again and repeat the change.`)
    this.name = 'StaleVersion'
    this.current = current
  }
}

export interface LiveState {
  readonly snapshot: Snapshot
  /** What is served, before variables are replaced, without secrets. */
  readonly document: string
  readonly file: string | undefined
  /** Paths in which stored admin writes differ from the file. */
  readonly stored: readonly string[]
  /** First targets that hold until the next restart, by route. */
  readonly temporary: Readonly<Record<string, string>>
  readonly bypass: Bypass | undefined
  readonly warnings: readonly string[]
}

export interface Live {
  readonly snapshot: Snapshot
  state(): LiveState
  /** Reads file and environment again. @throws ConfigError with all problems; the old one serves on */
  reload(actor?: Actor): Promise<SwapResult>
  /** Serves another document, stored beside the file. @throws ConfigError, StaleVersion, UnknownMark */
  write(document: string, actor: Actor, ifVersion?: number): Promise<SwapResult>
  /** @throws PrimaryError, ConfigError */
  setPrimary(
    route: string | undefined,
    model: string,
    how: { persist: boolean; actor: Actor },
  ): Promise<SwapResult & Primary>
  /** Serves a stored version again. Undefined when there is none of that number. @throws ConfigError, StaleVersion */
  rollback(version: number, actor: Actor, ifVersion?: number): Promise<SwapResult | undefined>
  /** Takes effect at once, also where it cannot be stored. */
  bypass(on: boolean, reason: string, actor: Actor): Promise<void>
  /** A stored version without its secrets. */
  version(number: number): Version | undefined
  readonly memory: Pick<ConfigMemory, 'versions'>
}

/** Everything that a snapshot is made of. */
interface Sources {
  readonly base: Base
  readonly overlay: Overlay | undefined
  readonly temporary: Readonly<Record<string, string>>
}

interface Served extends Sources {
  readonly loaded: Loaded
  readonly document: string
  readonly fingerprint: string
}

const nobody: Actor = { name: 'turnout', role: '' }

/** Builds the first snapshot: the file, with the stored overlay where that was made on this very file. @throws ConfigError */
export async function startLive(options: LiveOptions): Promise<Live> {
  const { memory, redactor, refuse, now = Date.now } = options
  const tell = (event: LiveEvent): void => options.told?.(event)
  let { first } = options
  let served = await start()
  first = undefined
  let switched: Bypass | undefined = memory.bypass()
  let current = withSwitch(served.loaded.snapshot)
  const started = current
  let queue: Promise<unknown> = Promise.resolve()
  let saving: Promise<void> = Promise.resolve()

  async function start(): Promise<Served> {
    const base = first?.base ?? options.read()
    const stored = memory.overlay()
    const newest = memory.newest()
    let overlay = stored?.baseHash === wholeHash(base.text) ? stored : undefined
    let next: Served | undefined
    const build = (with_: Overlay | undefined): Served => {
      const sources = { base, overlay: with_, temporary: {} }
      const document = documentOf(sources, options.overrides)
      // A restart with the same document is no new version.
      return buildFrom(sources, document, newest?.hash === hashOf(document) ? newest.number : numberAfter(newest))
    }
    if (overlay) {
      try {
        next = build(overlay)
      } catch (error) {
        // What was valid may be so no more: a variable that it names is gone.
        tell({ kind: 'refused', source: 'start', problems: problemsOf(error) })
        overlay = undefined
      }
    }
    next ??= build(undefined)
    if (stored && !overlay) {
      const why = stored.baseHash === wholeHash(base.text) ? 'invalid' : 'file'
      tell({ kind: 'lost', changes: stored.changes, why })
    }
    if (newest?.number !== next.loaded.snapshot.version) await store(next, 'start', nobody, 'start')
    else if (stored && !overlay) await memory.saveOverlay(undefined)
    return next
  }

  function buildFrom(sources: Sources, document: string, version: number): Served {
    const { base } = sources
    const { overrides } = options
    const loaded =
      first?.base === base && document === base.text
        ? { ...first.loaded, snapshot: freezeDeep({ ...first.loaded.snapshot, version }) }
        : parseConfig(document, { file: nameOf(base, document), env: base.env, version, overrides })
    const refusal = refuse?.(loaded.snapshot)
    if (refusal) throw new ConfigError([{ path: '', line: 0, column: 0, message: refusal }], base.file)
    return { ...sources, loaded, document, fingerprint: fingerprintOf(loaded.snapshot) }
  }

  function store(
    { loaded, document, overlay }: Served,
    source: VersionSource,
    actor: Actor,
    note: string,
  ): Promise<void> {
    const { version, hash } = loaded.snapshot
    return memory.save({ number: version, at: now(), hash, source, actor: actor.name, note, document }, overlay)
  }

  function withSwitch(snapshot: Snapshot): Snapshot {
    const bypass = switched !== undefined
    return snapshot.bypass === bypass ? snapshot : freezeDeep({ ...snapshot, bypass })
  }

  /** Validate, build, store, swap, in this order: whatever throws before the swap has changed nothing. */
  async function change(
    sources: Sources,
    { source, actor, note, lost = [] }: { source: VersionSource; actor: Actor; note: string; lost?: readonly string[] },
  ): Promise<SwapResult> {
    let next: Served
    try {
      next = buildFrom(
        sources,
        documentOf(sources, options.overrides),
        numberAfter(memory.newest() ?? served.loaded.snapshot),
      )
    } catch (error) {
      tell({ kind: 'refused', source, problems: problemsOf(error) })
      throw error
    }
    const warnings = [...warningsOf(next), ...needRestart(started, next.loaded.snapshot)]
    const before = shown()
    if (next.fingerprint === served.fingerprint) {
      if (JSON.stringify(sources.overlay) !== JSON.stringify(served.overlay)) await memory.saveOverlay(sources.overlay)
      served = { ...served, ...sources }
      return { swapped: false, before, after: before, version: current.version, warnings, lost }
    }
    await store(next, source, actor, note)
    served = next
    current = withSwitch(next.loaded.snapshot)
    options.swap(current)
    if (lost.length > 0) tell({ kind: 'lost', changes: lost, why: source === 'file' ? 'file' : 'written' })
    tell({ kind: 'swapped', version: current.version, hash: current.hash, source, warnings })
    return { swapped: true, before, after: shown(), version: current.version, warnings, lost }
  }

  function shown(): Shown {
    const { document } = served
    return {
      snapshot: current,
      // It is read through for secrets, which takes as long as parsing it.
      get document() {
        return redactor.redact(document)
      },
    }
  }

  /** One change at a time: each is built on what the one before has left. */
  function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = queue.then(work)
    queue = done.catch(() => {})
    return done
  }

  const requireVersion = (wanted: number | undefined): void => {
    if (wanted !== undefined && wanted !== current.version) throw new StaleVersion(current.version)
  }

  /** An overlay with that document; none where it is what the file says. */
  function overlayOf(document: string | undefined, primaries: Readonly<Record<string, string>>): Overlay | undefined {
    const { base } = served
    const own = document === base.text ? undefined : document
    if (own === undefined && Object.keys(primaries).length === 0) return undefined
    const overlay = { baseHash: wholeHash(base.text), document: own, primaries, changes: [] }
    const effective = documentOf({ base, overlay, temporary: {} }, options.overrides)
    if (effective === base.text) return undefined
    return { ...overlay, changes: changesBetween(base.text, effective).map(({ path }) => path) }
  }

  function readAgain(): Base {
    try {
      return options.read()
    } catch (error) {
      tell({ kind: 'refused', source: 'file', problems: problemsOf(error) })
      throw error
    }
  }

  const temporaryPaths = (): string[] => Object.keys(served.temporary).map((route) => `routes.${route} (temporary)`)

  /** Serves another document in place of the file and of everything that was changed beside it. */
  async function replace(
    document: string,
    as: { source: VersionSource; actor: Actor; note: string },
  ): Promise<SwapResult> {
    const { base } = served
    try {
      // Before it is compared with the file: what is no configuration has no changes.
      buildFrom({ base, overlay: undefined, temporary: {} }, document, current.version)
    } catch (error) {
      tell({ kind: 'refused', source: as.source, problems: problemsOf(error) })
      throw error
    }
    return change({ base, overlay: overlayOf(document, {}), temporary: {} }, { ...as, lost: temporaryPaths() })
  }

  return {
    get snapshot() {
      return current
    },
    memory,
    state() {
      const shown = served
      return {
        snapshot: current,
        // When asked for: it is read through for secrets, which takes as long as parsing it.
        get document() {
          return redactor.redact(shown.document)
        },
        file: shown.base.file,
        stored: shown.overlay?.changes ?? [],
        temporary: shown.temporary,
        bypass: switched,
        warnings: warningsOf(shown),
      }
    },
    reload: (actor = nobody) =>
      inTurn(async () => {
        const base = readAgain()
        // The file wins as soon as it changes; the environment only fills gaps and takes nothing away.
        const same = base.text === served.base.text
        const sources = same ? { ...served, base } : { base, overlay: undefined, temporary: {} }
        const source = same ? 'environment' : 'file'
        const lost = same ? [] : [...(served.overlay?.changes ?? []), ...temporaryPaths()]
        const result = await change(sources, { source, actor, note: `${source} read again`, lost })
        if (!result.swapped) {
          options.again?.(current)
          const warnings = (base.envWarnings ?? []).map((warning) => formatProblem(warning))
          if (warnings.length > 0) tell({ kind: 'unchanged', warnings })
        }
        return result
      }),
    write: (document, actor, ifVersion) =>
      inTurn(async () => {
        requireVersion(ifVersion)
        const whole = redactor.restore(document, [served.document, served.base.text])
        return replace(whole, { source: 'write', actor, note: 'written' })
      }),
    setPrimary: (routeName, model, { persist, actor }) =>
      inTurn(async () => {
        const primary = choosePrimary(current, routeName, model)
        const { route, ref } = primary
        const { base, overlay, temporary } = served
        const { [route]: _, ...others } = temporary
        const sources = persist
          ? { base, overlay: overlayOf(overlay?.document, { ...overlay?.primaries, [route]: ref }), temporary: others }
          : { base, overlay, temporary: { ...others, [route]: ref } }
        const note = `${route}: ${ref} first${persist ? '' : ', until the next restart'}`
        const result = await change(sources, { source: 'primary', actor, note })
        const warnings = primary.warning ? [primary.warning, ...result.warnings] : result.warnings
        return { ...result, ...primary, warnings }
      }),
    rollback: (number, actor, ifVersion) =>
      inTurn(async () => {
        requireVersion(ifVersion)
        const version = memory.version(number)
        if (!version) return undefined
        return replace(version.document, { source: 'rollback', actor, note: `back to version ${number}` })
      }),
    // Not in turn: the switch is for when something is wrong, and must not wait for anything.
    async bypass(on, reason, actor) {
      switched = on ? { reason, actor: actor.name, at: now() } : undefined
      const next = withSwitch(current)
      if (next !== current) {
        current = next
        options.swap(current)
      }
      tell({ kind: 'bypass', on, reason, actor: actor.name })
      const wanted = switched
      saving = saving
        .then(() => memory.saveBypass(wanted))
        .catch((error) => tell({ kind: 'unsaved', what: 'bypass', error }))
      await saving
    },
    version(number) {
      const found = memory.version(number)
      return found && { ...found, document: redactor.redact(found.document) }
    },
  }
}

/** The document that is served: the overlay's or the file's, with the primaries that were set, the temporary ones last. */
function documentOf({ base, overlay, temporary }: Sources, overrides: Overrides | undefined): string {
  const document = overlay?.document ?? base.text
  const primaries = { ...overlay?.primaries, ...temporary }
  const routeOf = (route: string): unknown => {
    const { snapshot } = parseConfig(document, { file: base.file, env: base.env, version: 0, overrides })
    const targets = routeNamed(snapshot, route)?.targets.map(({ id }) => id) ?? []
    // Written without its canary it would end that.
    const canary = route === envRoute ? canaryOfEnv(base.env) : undefined
    return canary ? { targets, canary } : targets
  }
  return withPrimaries(document, primaries, routeOf)
}

/** Settings that are read once, at the start. */
const fixed: readonly (readonly [path: string, of: (snapshot: Snapshot) => unknown])[] = [
  ['server.port', ({ server }) => server.port],
  ['server.host', ({ server }) => server.host],
  ['server.keepAliveTimeout', ({ server }) => server.keepAliveTimeout],
  ['server.headersTimeout', ({ server }) => server.headersTimeout],
  ['server.bodyTimeout', ({ server }) => server.bodyTimeout],
  ['server.sendTimeout', ({ server }) => server.sendTimeout],
  ['server.connectionsPerOrigin', ({ server }) => server.connectionsPerOrigin],
  ['log.file', ({ log }) => log.file],
  ['log.format', ({ log }) => log.format],
  ['trace.otlp', ({ trace }) => JSON.stringify(trace.otlp)],
  ['metrics.port', ({ metrics }) => metrics.port],
  ['metrics.host', ({ metrics }) => metrics.host],
  ['dataDir', ({ dataDir }) => dataDir],
  ['ledger.file', ({ ledger }) => ledger.file],
  ['ledger.mode', ({ ledger }) => ledger.mode],
  ['ledger.onFailure', ({ ledger }) => ledger.onFailure],
]

const needRestart = (before: Snapshot, after: Snapshot): string[] =>
  fixed.filter(([, of]) => of(before) !== of(after)).map(([path]) => `${path}: takes effect at the next start`)

const warningsOf = ({ loaded, base, document }: Served): string[] =>
  [...(base.envWarnings ?? []), ...loaded.warnings].map((warning) => formatProblem(warning, nameOf(base, document)))

/** What places in a document are told by: those of one that was written by hand are not places in the file. */
const nameOf = ({ file, text }: Base, document: string): string | undefined =>
  file === undefined || document === text ? file : 'document'

const problemsOf = (error: unknown): string[] =>
  error instanceof ConfigError
    ? error.problems.map((problem) => formatProblem(problem, error.file))
    : [(error as Error).message]

const numberAfter = (last: { number: number } | { version: number } | undefined): number =>
  last === undefined ? 1 : ('number' in last ? last.number : last.version) + 1

const wholeHash = (text: string): string => createHash('sha256').update(text).digest('hex')
