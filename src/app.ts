// Puts Turnout together: no globals, everything handed in. What `turnout serve`, embedders and tests mount.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import type { RolloutKeeper } from './config/rolloutTypes.ts'
import type { Snapshot } from './config/snapshot.ts'
import { createAdmission } from './gateway/admission.ts'
import { createGatekeeper } from './gateway/admit.ts'
import { createAlerting } from './gateway/alerting.ts'
import { keepBooks, noBooks } from './gateway/books.ts'
import { type BudgetKeeping, createBudgetKeeping } from './gateway/budgetKeeping.ts'
import { showBudgets, tellBudgets } from './gateway/budgetTelling.ts'
import { dropCanary, leftoversOf } from './gateway/cacheDrop.ts'
import { showCache } from './gateway/cacheMetrics.ts'
import { type Call, cutOff, shuttingDown } from './gateway/call.ts'
import { createClientTokens } from './gateway/clientTokens.ts'
import { createHandle } from './gateway/handle.ts'
import { configuredIn, countTransition, showLive } from './gateway/liveMetrics.ts'
import { createPools } from './gateway/pools.ts'
import { createRefusedRows } from './gateway/refusedRows.ts'
import { createSettle } from './gateway/settle.ts'
import { createSnapshotRates } from './gateway/snapshotRates.ts'
import { unitHasher } from './gateway/unitHash.ts'
import type { AdminControl } from './http/admin/control.ts'
import { openAdminDoor } from './http/admin/door.ts'
import { budgetAllowance } from './http/budgets.ts'
import { clientAddress, trustRanges } from './http/clientAddress.ts'
import { createDataPlane } from './http/dataPlane.ts'
import { limitAllowance } from './http/limits.ts'
import { listenForScrapes } from './http/scrape.ts'
import { type ListeningServer, listen } from './http/server.ts'
import { createStatusPage } from './http/status.ts'
import type { AlertMemory } from './state/alerts/alert.ts'
import type { Transition } from './state/breaker.ts'
import type { BudgetEvent } from './state/budgets/budget.ts'
import type { DiskPlace } from './state/cache/disk.ts'
import { createResponseCache, type ResponseCache } from './state/cache/responseCache.ts'
import { createHealth, type Health } from './state/health.ts'
import type { Keyring } from './state/keyring.ts'
import type { Limits } from './state/limits/limit.ts'
import type { LimitOptions } from './state/limits/limits.ts'
import { Rollouts } from './state/rollouts/rollouts.ts'
import { stableOf } from './state/rollouts/traffic.ts'
import { messageOf, presentTransition, shownRollouts } from './state/rollouts/view.ts'
import { createTurn, type Turn } from './state/turn.ts'
import type { Ledger } from './store/ledger.ts'
import { firstIdOf } from './store/ledgerId.ts'
import type { Reader } from './store/reader.ts'
import { countAuthFailures } from './telemetry/authFailures.ts'
import { createLatencies } from './telemetry/latency.ts'
import type { Log } from './telemetry/log.ts'
import type { Metrics } from './telemetry/metrics.ts'
import { createPseudonyms } from './telemetry/pseudonym.ts'
import { showRollouts } from './telemetry/rolloutMetrics.ts'
import type { TokenCounter } from './telemetry/tokens/counter.ts'
import type { SpanExporter } from './telemetry/trace/exporter.ts'
import type { Notify } from './telemetry/webhook/notify.ts'
import type { Sender } from './telemetry/webhook/sender.ts'
import { version } from './version.ts'

export interface TurnoutOptions {
  snapshot: Snapshot
  log: Log
  metrics: Metrics
  /** Answer any `Host` although no key is configured. */
  insecure?: boolean
  /** Descriptor of a TCP socket to listen on, in place of the configured address. */
  socket?: number | undefined
  /** The end of the turn that the ledger commits in; its own unless given. */
  turn?: Turn | undefined
  /** Without one nothing is recorded. */
  ledger?: Ledger | undefined
  /** Reads the same ledger, for the admin API. Without one that API has no reports. */
  reader?: Reader | undefined
  /** The installation's hash of an end user's id, for the ledger. */
  hashUser?: ((user: string) => string) | undefined
  /** The virtual keys; without it only those of the configuration open the door. */
  keyring?: Keyring | undefined
  tokens: TokenCounter
  /** The live configuration and the audit trail, for the admin API. Without them it only reads. */
  control?: AdminControl | undefined
  /** Told of each transition of a breaker, after the log. */
  onTransition?: (target: string, transition: Transition) => void
  /** Told when a budget passes 50, 80 and 100 percent, and of the first request that it refuses in a window, after the log. */
  onBudget?: ((event: BudgetEvent) => void) | undefined
  /** Sends alerts and transitions to the configured webhooks. */
  sender?: Sender | undefined
  /** What was told of alerts before this process. */
  alertMemory?: AlertMemory | undefined
  /** Told of them in its place, by whoever embeds the gateway. */
  notify?: Notify | undefined
  /** Where rollouts are kept, and the installation's secret. Without it traffic cannot be moved by percent. */
  rollouts?: { readonly keeper: RolloutKeeper; readonly secret: Buffer } | undefined
  /** The clock of limits; tests hand in their own. */
  clock?: Pick<LimitOptions, 'now' | 'later'>
  /** Where spans of kept traces go. Closed by whoever made it. */
  exporter?: SpanExporter | undefined
  /** Where the response cache may keep its answers for the next process. */
  cachePlace?: DiskPlace | undefined
  /** Uniform in [0, 1); tests hand in their own. */
  random?: () => number
}

export interface Turnout {
  /** The request listener, to mount in a server of one's own. */
  readonly listener: (req: IncomingMessage, res: ServerResponse) => void
  readonly snapshot: Snapshot
  readonly health: Health
  readonly rollouts: Rollouts | undefined
  readonly limits: Limits
  readonly cache: ResponseCache
  readonly budgets: BudgetKeeping
  /** Tells the configured webhooks of an event. */
  readonly notify: Notify
  /** Where `/metrics` is, if it has a port of its own and that is open. */
  readonly scrapeUrl: string | undefined
  /** Opens the configured port. */
  listen(): Promise<ListeningServer>
  /** Makes another configuration the current one. Requests in flight keep theirs. */
  swap(next: Snapshot): void
  /** Tells balancers to send no more, lets what runs finish, closes upstream sockets. Resolves to the connections cut off. */
  close(): Promise<number>
}

/** Puts a gateway together and makes its first configuration current. It opens no port before `listen`. */
export function createTurnout(options: TurnoutOptions): Turnout {
  const { log, metrics, insecure = false } = options
  let snapshot = options.snapshot
  let isTrusted = trustRanges(snapshot.server.trustedProxies)
  let draining = false
  let server: ListeningServer | undefined
  let loading: Promise<unknown> | undefined
  let dropping: Promise<void> | undefined
  let scrapes: ListeningServer | undefined
  const { ledger, reader, hashUser, keyring, tokens } = options
  const notify: Notify = options.notify ?? options.sender?.notify ?? (() => {})
  const alerting = createAlerting({
    log,
    metrics,
    notify,
    memory: options.alertMemory,
    past: ledger && reader,
    budgets: (among) => budgets.utilisation(among),
  })
  /** Only while there are rules: a request without any costs this one look. */
  let watching: typeof alerting | undefined
  const refusals = createRefusedRows((key, count, most) =>
    log.warn(
      `requests are refused faster than ${most} a second for one key: the ledger has rows of no more, /metrics counts the rest`,
      { event: 'refusals', count, ...(key === undefined ? {} : { key }) },
    ),
  )
  metrics.gauge('ledgerUnwritten', () => [{ labels: {}, value: refusals.dropped }])
  const books = ledger && hashUser ? keepBooks(ledger, hashUser, refusals) : noBooks()
  const rates = createSnapshotRates(tokens, options.snapshot.dataDir, log)
  const health = createHealth({
    settings: (target) => snapshot.targets.get(target)?.breaker ?? snapshot.breaker,
    told: (target, transition) => {
      const { from, to, reason } = transition
      countTransition(metrics, target, transition)
      log.warn(`breaker of ${target}: ${from} to ${to} (${reason})`, { event: 'breaker', target })
      options.onTransition?.(target, transition)
    },
  })
  const rollouts = options.rollouts && openRollouts(options.rollouts.keeper)
  const shown = rollouts && showRollouts(metrics, () => shownRollouts(rollouts))
  const random = options.random ?? Math.random
  const budgets = createBudgetKeeping({
    rates,
    hashUser,
    read: ledger && reader ? (question) => reader.budgetSpend(question) : undefined,
    servesUnrecorded: ledger?.onLedgerFailure === 'serve',
    keysRevision: () => keyring?.revision ?? 0,
    virtualKeys: () => keyring?.list().flatMap(({ name }) => keyring.named(name) ?? []) ?? [],
    ...tellBudgets(log, metrics, (event) => {
      alerting.passed(event)
      options.onBudget?.(event)
    }),
  })
  showBudgets(metrics, budgets)
  const pools = createPools(snapshot.server.connectionsPerOrigin)
  showLive(metrics, { snapshot: () => snapshot, health, pools, log })
  const kept = options.rollouts?.keeper
  const cache = createResponseCache({
    settings: snapshot.cache,
    place: options.cachePlace,
    leftovers: kept && (() => leftoversOf(kept)),
  })
  showCache(metrics, cache)
  const latencies = createLatencies()
  const admission = createAdmission({
    snapshot: () => snapshot,
    log,
    metrics,
    rates,
    clientAddress: (req) => clientAddress(req, isTrusted),
    hashUser,
    clock: options.clock,
  })
  const pseudonyms = createPseudonyms(() => snapshot.log, hashUser)
  const turn = options.turn ?? createTurn()
  const crashed = (error: unknown, call: Call): void =>
    log.error('a request failed by a fault of the gateway', { event: call.id, error })
  const settle = createSettle({
    turn,
    metrics,
    latencies,
    log,
    books,
    budgets: budgets.gate,
    health,
    rates,
    assigned: shown?.assigned,
    pseudonym: pseudonyms.of,
    exporter: options.exporter,
    cached: cache.ended,
    watched: (call) => watching?.settled(call),
    crashed,
    address: (call) => (call.snapshot.log.clientAddress ? clientAddress(call.req, isTrusted) : undefined),
  })
  const gatekeeper = createGatekeeper({
    insecure,
    keyring,
    tokens: createClientTokens({
      keyring,
      trouble: (why) => log.warn(`the keys of auth.jwt.jwks could not be read: ${why}`, { event: 'jwks' }),
    }),
    failed: countAuthFailures(metrics),
  })
  /** Calls that nobody is connected for. */
  const own = new Set<Call>()
  const handle = createHandle({
    snapshot: () => snapshot,
    pools,
    gatekeeper,
    door: admission.door,
    limits: admission.gate,
    turn,
    books,
    budgets: budgets.gate,
    health,
    rates,
    random,
    assigning: rollouts && {
      traffic: rollouts.traffic,
      hashUnit: unitHasher(options.rollouts!.secret),
      random,
    },
    cache,
    hashUser,
    started(call) {
      metrics.requestStarted()
      if (call.background) own.add(call)
    },
    tokenGaps: metrics.tokenGaps,
    settled(call) {
      own.delete(call)
      return settle(call)
    },
    crashed,
  })
  /** What came before the scrape is in it. */
  const expose = async () => {
    await turn.reached('commit')
    return metrics.expose()
  }
  const admin = openAdminDoor({
    snapshot: () => snapshot,
    ledger: ledger && reader && hashUser ? { reader, keeper: ledger.keeper, hashUser } : undefined,
    keyring,
    gatekeeper,
    rollouts,
    admission,
    log,
    control: options.control,
    alerts: options.sender && { sender: options.sender, list: alerting.list, forgetUser: alerting.forgetUser },
    budgets,
    cache,
    facts: { health, latencies, prices: (of) => rates(of).prices },
  })
  const listener = createDataPlane({
    snapshot: () => snapshot,
    targetsOf: (of, route) => stableOf(of, route, rollouts?.traffic.of(route.name)),
    insecure,
    gatekeeper,
    door: admission.door,
    limits: admission.gate,
    allowances: [limitAllowance(admission.gate), budgetAllowance(budgets)],
    handle,
    tokens,
    admin: admin.listener,
    draining: () => draining,
    metrics: expose,
    status: createStatusPage({
      version,
      startedAt: performance.now(),
      pools,
      snapshot: () => snapshot,
      draining: () => draining,
      isStuck: () => ledger?.onLedgerFailure === 'refuse' && ledger.trouble !== undefined,
      inFlight: () => metrics.inFlight,
    }),
  })

  function openRollouts(keeper: RolloutKeeper): Rollouts {
    const opened: Rollouts = new Rollouts({
      keeper,
      snapshot: () => snapshot,
      folds: ledger && { firstIdOf, written: ledger.written, fold: ledger.keeper.fold },
      trouble: (text, error) => log.error(text, { event: 'rollout', error }),
      aborted: (ms) => shown?.aborted(ms),
      stored(transition) {
        const { message, channels } = messageOf(transition, opened)
        if (!options.notify) options.sender?.post(message, channels)
      },
      told(transition) {
        const { text, from, to, cause } = presentTransition(transition, opened)
        log.warn(text, { event: 'rollout', route: transition.live.definition.route })
        shown?.changed(from, to, cause)
        if (to === 'rolled_back') dropping = dropCanary(cache, transition.live, snapshot, keeper)
        if (!options.notify) return
        const { message, channels } = messageOf(transition, opened)
        options.notify(message, channels)
      },
    })
    return opened
  }

  function swap(next: Snapshot): void {
    snapshot = next
    for (const { name } of next.keys.values()) {
      if (keyring?.named(name))
        log.warn(`a key of the file and a virtual key are both called ${name}: they share limits and budgets`, {
          event: 'key',
          key: name,
        })
    }
    rates(next)
    budgets.use(next)
    health.prune(new Set(next.targets.keys()))
    isTrusted = trustRanges(next.server.trustedProxies)
    admission.swapped(next)
    cache.configure(
      next.cache,
      [...next.routes.values()].flatMap((route) => (route.cache ? [route.name] : [])),
    )
    metrics.setConfiguration(configuredIn(next))
    void rollouts?.follow(next)
    alerting.use(next)
    watching = next.alerts.length > 0 ? alerting : undefined
    if (watching) void budgets.known().then(alerting.lookAtBudgets)
  }
  swap(snapshot)

  return {
    listener,
    get snapshot() {
      return snapshot
    },
    health,
    rollouts,
    limits: admission.limits,
    cache,
    budgets,
    notify,
    get scrapeUrl() {
      return scrapes?.url
    },
    async listen() {
      // What the file says of canaries is in force before the first request comes.
      await rollouts?.settled()
      rollouts?.start()
      scrapes = await listenForScrapes(() => snapshot, expose, admission.door.stop)
      try {
        server = await listen(listener, snapshot.server, options.socket)
      } catch (error) {
        await scrapes?.drain(0)
        throw error
      }
      setImmediate(() => {
        if (draining) return
        loading = admin.load()
        void cache.load()
      })
      return server
    },
    swap,
    async close() {
      draining = true
      rollouts?.dismiss()
      if (snapshot.server.drainDelay > 0) await pause(snapshot.server.drainDelay)
      const deadline = performance.now() + snapshot.server.drainTimeout
      const cut = (await server?.drain(snapshot.server.drainTimeout)) ?? 0
      // Nobody's connection ends those: they have as long as others have.
      while (own.size > 0 && performance.now() < deadline) await pause(20)
      for (const call of own) cutOff(call, shuttingDown())
      // Who was cut off has still to be settled, and may wait for the ledger before.
      for (const until = performance.now() + 2_000; metrics.inFlight > 0 && performance.now() < until; )
        await turn.reached('commit')
      admission.close()
      // Last, so that the drain can be watched.
      await scrapes?.drain(1_000)
      await rollouts?.close()
      await pools.close()
      health.close()
      alerting.close()
      await dropping
      await cache.close()
      // Code that is still being read when this returns may find nobody to read it for.
      await loading
      return cut
    },
  }
}
