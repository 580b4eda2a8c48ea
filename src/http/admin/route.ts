// What a route of the control plane is: a row that names its path, the role it needs, and what it takes.
import type { IncomingMessage } from 'node:http'
import type * as z from 'zod'
import type { ApiKey, Snapshot } from '../../config/snapshot.ts'
import type { Admission } from '../../gateway/admission.ts'
import type { Gatekeeper } from '../../gateway/admit.ts'
import type { BudgetKeeping } from '../../gateway/budgetKeeping.ts'
import type { ResponseCache } from '../../state/cache/responseCache.ts'
import type { Keyring } from '../../state/keyring.ts'
import type { Rollouts } from '../../state/rollouts/rollouts.ts'
import type { Keeper } from '../../store/keeper.ts'
import type { Reader } from '../../store/reader.ts'
import type { Log } from '../../telemetry/log.ts'
import type { AdminAlerts } from './alertView.ts'
import type { AdminControl, AdminFacts } from './control.ts'
import type { Role } from './role.ts'
import type { Shown } from './shape.ts'

/** The ledger as the control plane needs it. Reads and upkeep run in threads of their own. */
export interface AdminLedger {
  readonly reader: Reader
  readonly keeper: Pick<Keeper, 'erase'>
  /** The installation's hash of an end user's id. */
  hashUser(user: string): string
}

export interface AdminDeps {
  snapshot(): Snapshot
  /** Without one every route that needs it answers 503. */
  readonly ledger: AdminLedger | undefined
  /** Who may come in at all; without it everybody with a good key. */
  readonly admission?: Pick<Admission, 'blocks' | 'door' | 'hashUser'> | undefined
  /** Virtual keys; without a database there are none. */
  readonly keyring?: Keyring | undefined
  readonly gatekeeper: Pick<Gatekeeper, 'operator' | 'counted'>
  /** Without a database traffic cannot be moved by percent. */
  readonly rollouts?: Rollouts | undefined
  readonly cache?: ResponseCache | undefined
  readonly log: Log
  /** Without it the configuration cannot be read or changed here. */
  readonly control?: AdminControl | undefined
  readonly facts?: AdminFacts | undefined
  readonly budgets?: Pick<BudgetKeeping, 'known' | 'eachState'> | undefined
  /** Webhooks and what is told to them. */
  readonly alerts?: AdminAlerts | undefined
}

/** One call of a route, checked. */
export interface AdminCall<Query, Body> {
  /** Parts of the path, decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  readonly body: Body
  readonly key: ApiKey
  /** Whether the caller would be let in to this route now: for answers that last. */
  readonly isStillIn: () => Promise<boolean>
  readonly req: IncomingMessage
  /** Aborted when the client has left, or has its answer. */
  readonly gone: AbortSignal
  readonly deps: AdminDeps
}

/** A text that is sent as it is made. */
export interface Streamed {
  readonly contentType: string
  /** Undefined = it is to be read as it comes, not to be kept. */
  readonly fileName?: string
  readonly pieces: AsyncIterable<string>
}

/** How it was and how it is now, for the audit trail: without secrets, before variables are replaced. */
export interface Audited {
  readonly subject: string
  readonly before: unknown
  readonly after: unknown
}

export interface JsonAnswer<Json = unknown> {
  readonly json: Json
  readonly headers?: readonly (readonly [name: string, value: string])[]
  /** Of writes only. */
  readonly audit?: Audited
  /** The answer to a command that came again: nothing was done. */
  readonly repeated?: boolean
}

export type AdminAnswer<Json = unknown> = JsonAnswer<Json> | { readonly streamed: Streamed }

export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Below `/admin`, in Express's notation. */
  readonly path: string
  /** The least role that may call it. There is no default: a route without one cannot be written. */
  readonly role: Role
  readonly summary: string
  /** What a write is called in the audit trail; method and path unless given. */
  readonly verb?: string
  /** Without one any parameter is refused. */
  readonly query?: z.ZodType | undefined
  readonly body?: z.ZodType | undefined
  /** Headers that it minds. */
  readonly headers?: readonly ('if-match' | 'idempotency-key')[]
  /** Statuses of its refusals beside those that follow from what it takes. 428: without `If-Match` it does nothing. */
  readonly refuses?: readonly number[]
  /** Media types of its answers, where they are not JSON alone. */
  readonly answers?: readonly string[]
  /** What its JSON has in it: one of `shapes`. */
  readonly reply?: z.ZodType | undefined
  answer(call: AdminCall<never, never>): Promise<AdminAnswer>
}

/** Ties the handler's types to the schemas of its row. */
export function defineRoute<
  Query extends z.ZodType = z.ZodObject,
  Body extends z.ZodType = z.ZodUndefined,
  Reply extends z.ZodType = z.ZodUnknown,
>(
  row: Omit<AdminRoute, 'answer' | 'query' | 'body' | 'reply'> & {
    query?: Query
    body?: Body
    reply?: Reply
    answer(call: AdminCall<z.output<Query>, z.output<Body>>): Promise<AdminAnswer<Shown<Reply>>>
  },
): AdminRoute {
  return row as AdminRoute
}
