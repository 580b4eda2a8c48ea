// Budgets on the journey: each attempt reserves the most that it may cost before it is made, and is settled to what it cost.
import type { BudgetSettings } from '../config/limitTypes.ts'
import type { Target } from '../config/snapshot.ts'
import type { CostBounds } from '../dialects/dialect.ts'
import { Refusal } from '../dialects/errors.ts'
import { asObject } from '../dialects/field.ts'
import type { PriceBook } from '../pricing/book.ts'
import { createWorstCases, type WorstCase, type WorstCaseFacts, type WorstCases } from '../pricing/worstCase.ts'
import { capNames } from '../providers/provider.ts'
import {
  type AppliedBudget,
  type BudgetRefusal,
  type Budgets,
  beyondAll,
  type Reservation,
} from '../state/budgets/budget.ts'
import { scopeOf } from '../state/scope.ts'
import { upperBoundPromptTokens } from '../telemetry/tokens/bound.ts'
import type { Rates } from './bill.ts'
import { budgetLists, budgetsOf, hasBudgets, type Payer, SpenderFacts, teamOf } from './budgetFacts.ts'
import { BudgetExceeded } from './budgetRefusal.ts'
import { type Attempt, type Call, userOf } from './call.ts'
import { modelFor } from './headers.ts'
import type { Lane } from './lane.ts'

/** What an attempt holds of its budgets. */
export interface Held {
  readonly reservation: Reservation
  /** The bounds that it was reckoned with; 0 where none are known. */
  readonly promptTokens: number
  readonly outputTokens: number
  /** The cap that its answer must have to fit: the request has to be made anew with it. */
  readonly cap: number | undefined
}

/** What became of a request for want of money. */
export type BudgetAction = 'refused' | 'degraded' | 'fitted' | 'overrun'

export interface BudgetGate {
  /** Undefined when all that was spent before is known; else to be waited for before `hold`. Rejects with a `Refusal`. */
  ready(call: Payer): Promise<void> | undefined
  /** Undefined when no budget concerns the attempt. @throws BudgetExceeded when one has no room for it */
  hold(call: Call, target: Target, lane: Lane): Held | undefined
  /** Gives back what an attempt held that cost nothing. */
  release(held: Held | undefined): void
  /** Books what all attempts cost. Call when their bills are made. */
  settle(call: Call): void
  acted(action: BudgetAction, scope: string): void
}

export interface BudgetGateParts {
  readonly budgets: Budgets
  rates(call: Call): Rates
  hashUser(user: string): string
  /** Called before anything is spent: keys that are made at run time may have changed. */
  seeKeys(): void
  /** Reads from the ledger what was spent before, for budgets that do not know it yet. Rejects when it cannot be read. */
  restore(settings: readonly BudgetSettings[]): Promise<void>
  /** Budgets that could not be read count from now on rather than refuse everything. */
  readonly servesUnrecorded: boolean
  /** Counted by scope. */
  acted(action: BudgetAction, scope: string): void
  /** A call cost more than was held for it: what the vendor charged is above what its price list and caps allow. */
  overran(attempt: Attempt, nanoUsd: number): void
}

/** A shorter answer is of no use, and some vendors refuse to be asked for it. */
const SHORTEST_ANSWER = 16

/** What a cap adds to the body, in the longest words that one is told in: `,"generationConfig":{"maxOutputTokens":12345678}`. */
const CAP_BYTES = 48

/** The longest answer of a model of which nobody knows how long its answers may be: most refuse a cap beyond what they can do. */
const UNKNOWN_ANSWER = 8_192

/** The budgets as attempts meet them: `ready`, then `hold` before the call, then `release` or settling after it. */
export function createBudgetGate(parts: BudgetGateParts): BudgetGate {
  const { budgets } = parts
  /** Prices change with the configuration, and what was found out about them with it. */
  const found = new WeakMap<PriceBook, WorstCases>()
  let last: { prices: PriceBook; cases: WorstCases } | undefined
  const worstCasesOf = ({ prices }: Rates): WorstCases => {
    if (last?.prices === prices) return last.cases
    const cases = found.get(prices) ?? createWorstCases(prices)
    found.set(prices, cases)
    last = { prices, cases }
    return cases
  }

  const isKnown = (list: readonly BudgetSettings[] | undefined): boolean =>
    list === undefined || list.every(budgets.isRestored)

  /** A smaller answer, where all that refuse this one say that it will do, and nobody else has set a cap. */
  function shorten(ask: Asked, applied: readonly AppliedBudget[], refusal: BudgetRefusal): Held | undefined {
    const { call, target, worst, cases } = ask
    if (isCapped(call, target) || !applied.some(({ setting }) => setting.fit)) return undefined
    const others = applied.filter(({ setting }) => !setting.fit && setting.hard)
    if (worst.nanoUsd !== null) {
      if (budgets.room(others) < worst.nanoUsd) return undefined
    } else if (worst.unknown !== 'output' || others.some(({ setting }) => setting.onUnknownPrice === 'refuse'))
      return undefined
    const room = budgets.room(applied)
    const most = ask.facts.maxTokens ?? (worst.nanoUsd === null ? UNKNOWN_ANSWER : undefined)
    const facts = { ...ask.facts, textTokens: ask.facts.textTokens + CAP_BYTES }
    const cap = cases.fit(target.provider.name, ask.model, facts, room, { ...ask.options, most })
    if (cap === undefined || cap < shortestAnswer(target)) return undefined
    const smaller = cases.of(target.provider.name, ask.model, { ...facts, maxTokens: cap }, ask.options)
    if (smaller.nanoUsd === null) return undefined
    const verdict = budgets.reserve(applied, smaller.nanoUsd)
    if (!verdict.ok) return undefined
    parts.acted('fitted', refusal.scope)
    return heldOf(verdict.reservation, smaller, cap)
  }

  return {
    ready(call) {
      parts.seeKeys()
      if (!hasBudgets(call)) return undefined
      const { snapshot, key, route } = call
      const team = teamOf(snapshot, key)
      const known =
        budgets.areRestored(snapshot.budgets) &&
        isKnown(key?.budgets) &&
        isKnown(team?.budgets) &&
        isKnown(route?.budgets)
      if (known) return undefined
      const settings = budgetLists(call)
        .flatMap((list) => list ?? [])
        .filter((setting) => !budgets.isRestored(setting))
      return parts.restore(settings).catch(() => {
        if (!parts.servesUnrecorded)
          throw new Refusal('ledger_unavailable', 'The gateway cannot read what was spent, and does not guess.', null, {
            budgets: settings.map(({ name }) => name),
          })
      })
    },
    hold(call, target, lane) {
      if (!hasBudgets(call)) return undefined
      const applied = budgetsOf(call, new SpenderFacts(call, userOf(call), target.id, parts.hashUser))
      if (applied.length === 0) return undefined
      const bounds = lane.bounds()
      const facts = boundedBy(bounds, call, lane)
      const model = modelFor(target, call)
      const options = { serviceTier: bounds.serviceTier, lasts: target.timeouts.total }
      const cases = worstCasesOf(parts.rates(call))
      const worst = cases.of(target.provider.name, model, facts, options)
      const verdict = budgets.reserve(applied, amountOf(worst, applied))
      if (verdict.ok) return heldOf(verdict.reservation, worst, undefined)
      const { refusal } = verdict
      const fitted = shorten({ call, target, model, facts, options, cases, worst }, applied, refusal)
      if (fitted) return fitted
      call.cheaperRoute ??= refusal.degradeTo
      throw new BudgetExceeded(refusal)
    },
    release(held) {
      if (held) budgets.release(held.reservation)
    },
    settle(call) {
      for (const attempt of call.attempts) {
        if (!attempt.held?.reservation.open) continue
        const rest = budgets.settle(attempt.held.reservation, attempt.bill?.nanoUsd ?? null)
        if (rest < 0 && !attempt.held.reservation.unbounded) {
          for (const { setting } of attempt.held.reservation.holds) parts.acted('overrun', scopeOf(setting))
          parts.overran(attempt, -rest)
        }
      }
      if (!(call.error instanceof BudgetExceeded)) return
      budgets.tellRefused(call.error.refusal)
      parts.acted('refused', call.error.refusal.scope)
    },
    acted: parts.acted,
  }
}

/** What an attempt asks for, in numbers. */
interface Asked {
  readonly call: Call
  readonly target: Target
  readonly model: string
  readonly facts: WorstCaseFacts
  readonly options: { serviceTier: string | undefined; lasts: number }
  readonly cases: WorstCases
  readonly worst: WorstCase
}

/** What bounds the cost of an attempt: its body as it is sent, and the answers' caps. */
function boundedBy(bounds: CostBounds, call: Call, lane: Lane): WorstCaseFacts {
  const { ask } = call.inspected!
  const { images, audio, files, bytes = 0 } = ask.media
  // A translation may have left media out: what is text in the client's own body is text there, too.
  const text = Math.max(ask.bytes, lane.body.length) - bytes
  const textTokens = upperBoundPromptTokens(text, bounds)
  return {
    textTokens,
    maxTokens: bounds.maxTokens,
    uncappedTokens: bounds.predicts ? textTokens : 0,
    n: bounds.n,
    images,
    audio,
    files,
    unbounded: bounds.unbounded,
  }
}

/** To be held. What no budget has room for is refused by any that is hard; soft ones let it pass, and cannot count with it. */
function amountOf(worst: WorstCase, applied: readonly AppliedBudget[]): number | null {
  if (worst.nanoUsd !== null || worst.unknown !== 'beyond') return worst.nanoUsd
  return applied.some(({ setting }) => setting.hard) ? beyondAll : null
}

function heldOf(reservation: Reservation, worst: WorstCase, cap: number | undefined): Held {
  if (worst.nanoUsd === null) return { reservation, promptTokens: 0, outputTokens: 0, cap }
  const { promptTokens, outputTokens } = worst
  return { reservation, promptTokens, outputTokens, cap }
}

/** The client, or the operator for this target, has said how long an answer may be. Gemini's cap is one parameter of a block. */
function isCapped(call: Call, { params = {} }: Target): boolean {
  if (call.inspected!.ask.maxTokens !== undefined || capNames.some((name) => name in params)) return true
  return 'maxOutputTokens' in (asObject(params.generationConfig) ?? {})
}

/** Thinking that is forced counts within the cap: Anthropic refuses a cap that is not above it, and of Gemini's answer nothing were left. */
function shortestAnswer({ params = {} }: Target): number {
  const budget = asObject(params.thinking)?.budget_tokens
  const gemini = asObject(asObject(params.generationConfig)?.thinkingConfig)?.thinkingBudget
  const thinking = Math.max(...[budget, gemini].map((value) => (typeof value === 'number' ? value : 0)))
  return Math.max(SHORTEST_ANSWER, thinking + 1)
}
