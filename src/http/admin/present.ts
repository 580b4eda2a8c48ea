// Ledger rows as the control plane shows them: printed ids, ISO times, milliseconds, exact USD beside integer nano-USD.
import * as z from 'zod'
import { formatUsd } from '../../pricing/decimal.ts'
import { printId } from '../../store/ledgerId.ts'
import type { StoredAttempt, StoredRequest } from '../../store/requestRead.ts'
import type { SpendLine } from '../../store/spend.ts'
import { named, nanoUsd, type Shown, time, usd, whole } from './shape.ts'

const cost = { cost_usd: usd.nullable(), cost_nano_usd: nanoUsd.nullable() }
const ms = z.number().nullable()
const tokens = z.object({
  input: whole,
  cache_read: whole,
  cache_write_5m: whole,
  cache_write_1h: whole,
  output: whole,
  reasoning: whole,
  audio_in: whole,
  audio_out: whole,
})

const assigned = named('RequestRollout', {
  id: z.string(),
  revision: whole.nullable(),
  arm: z.string().nullable(),
  served_arm: z.string().nullable(),
  propensity_ppm: whole.nullable(),
  assignment: z.string().nullable(),
  arrival_seq: whole.nullable(),
  first_attempt_class: z.string().nullable(),
  bad_mask: whole.nullable(),
  clean_share_ppm: whole.nullable(),
  shadow_of: z.string().nullable(),
})

export const requestFields = {
  id: z.string(),
  created_at: time,
  route: z.string().nullable(),
  key: z.string().nullable(),
  team: z.string().nullable(),
  user: z.string().nullable(),
  tags: z.unknown(),
  dialect: z.string(),
  stream: z.boolean(),
  config_version: whole,
  status: whole,
  outcome: z.string(),
  error: z.string().nullable(),
  latency_ms: ms,
  first_token_ms: ms,
  overhead_ms: ms,
  attempt_count: whole,
  tokens_in: whole,
  tokens_out: whole,
  estimated: z.boolean(),
  ...cost,
  rollout: assigned.nullable(),
  cache: z.object({ status: z.string(), age_seconds: whole.nullable(), saved_nano_usd: nanoUsd.nullable() }).nullable(),
}

export const attemptShape = named('Attempt', {
  n: whole,
  target: z.string(),
  provider: z.string(),
  model: z.string(),
  served_model: z.string().nullable(),
  lane: z.string(),
  reason: z.string(),
  status: whole,
  fault: z.string().nullable(),
  finish_reason: z.string().nullable(),
  started_ms: ms,
  latency_ms: ms,
  first_token_ms: ms,
  tokens,
  estimated: z.boolean(),
  ...cost,
  price_source: z.string().nullable(),
  price_version: z.string().nullable(),
  losses: z.array(z.unknown()),
})

const name = z.string().optional()
export const spendShape = named('SpendLine', {
  day: name,
  model: name,
  provider: name,
  key: name,
  team: name,
  route: name,
  requests: whole,
  failed: whole,
  attempts: whole,
  ...cost,
  unpriced_attempts: whole,
  estimated_attempts: whole,
  tokens,
})

/** A request without its attempts. `cost_usd` null = some attempt has no known price. */
export function presentRequest(row: StoredRequest) {
  return {
    id: printId(row.id),
    created_at: new Date(row.at).toISOString(),
    route: orNull(row.route),
    key: orNull(row.key),
    team: orNull(row.team),
    user: row.user,
    tags: parsed(row.tags),
    dialect: row.dialect,
    stream: row.stream === 1,
    config_version: row.config,
    status: row.status,
    outcome: row.outcome,
    error: orNull(row.error),
    latency_ms: milliseconds(row.latency_us),
    first_token_ms: milliseconds(row.first_us),
    overhead_ms: milliseconds(row.overhead_us),
    attempt_count: row.attempts,
    tokens_in: row.tokens_in,
    tokens_out: row.tokens_out,
    estimated: row.estimated === 1,
    ...costOf(row.cost),
    rollout: row.rollout === null ? null : rolloutOf(row),
    cache:
      row.cache === null ? null : { status: row.cache, age_seconds: row.cache_age_s, saved_nano_usd: row.cache_saved },
  }
}

export function presentAttempt(row: StoredAttempt): Shown<typeof attemptShape> {
  return {
    n: row.n,
    target: row.target,
    provider: row.provider,
    model: row.model,
    served_model: orNull(row.served),
    lane: row.lane,
    reason: row.reason,
    status: row.status,
    fault: orNull(row.fault),
    finish_reason: orNull(row.finish),
    started_ms: milliseconds(row.started_us),
    latency_ms: milliseconds(row.latency_us),
    first_token_ms: milliseconds(row.first_us),
    tokens: {
      input: row.input,
      cache_read: row.cache_read,
      cache_write_5m: row.cache_write_5m,
      cache_write_1h: row.cache_write_1h,
      output: row.output,
      reasoning: row.reasoning,
      audio_in: row.audio_in,
      audio_out: row.audio_out,
    },
    estimated: row.estimated === 1,
    ...costOf(row.cost),
    price_source: orNull(row.price_source),
    price_version: orNull(row.price_version),
    losses: row.losses === null ? [] : JSON.parse(row.losses),
  }
}

/** A sum; its names (day, model, …) come first. Unpriced attempts are not in its cost; where all are, it is unknown and not 0. */
export function presentSpend(line: SpendLine): Shown<typeof spendShape> {
  const { requests, failed, attempts, cost, unpriced, estimated, ...rest } = line
  const { input, cacheRead, cacheWrite5m, cacheWrite1h, output, reasoning, audioIn, audioOut, ...names } = rest
  return {
    ...names,
    requests,
    failed,
    attempts,
    ...costOf(attempts > 0 && unpriced === attempts ? null : cost),
    unpriced_attempts: unpriced,
    estimated_attempts: estimated,
    tokens: {
      input,
      cache_read: cacheRead,
      cache_write_5m: cacheWrite5m,
      cache_write_1h: cacheWrite1h,
      output,
      reasoning,
      audio_in: audioIn,
      audio_out: audioOut,
    },
  }
}

function rolloutOf(row: StoredRequest) {
  return {
    id: row.rollout!,
    revision: row.revision,
    arm: row.arm,
    served_arm: row.served_arm || null,
    propensity_ppm: row.propensity_ppm,
    assignment: row.assignment,
    arrival_seq: row.arrival_seq,
    first_attempt_class: row.first_attempt_class || null,
    bad_mask: row.bad_mask,
    clean_share_ppm: row.clean_share_ppm,
    shadow_of: row.shadow_of === null ? null : printId(row.shadow_of),
  }
}

const costOf = (nano: number | bigint | null) => ({
  cost_usd: nano === null ? null : formatUsd(nano),
  cost_nano_usd: nano,
})

const orNull = (text: string): string | null => (text === '' ? null : text)
const milliseconds = (us: number | null): number | null => (us === null ? null : us / 1000)
const parsed = (json: string | null): unknown => (json === null ? null : JSON.parse(json))
