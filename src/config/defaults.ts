// The values of everything that a configuration leaves out.
import type { Timeouts } from './snapshot.ts'

export const defaults = {
  dataDir: './data',
  logLevel: 'info',
  trace: { sample: 1, slow: 30_000, retentionHours: 168 },
  log: { format: 'auto', user: 'none', userSaltTime: 86_400_000 },
  jwtAudience: 'turnout',
  clientJwt: { audience: 'turnout-clients', clockTolerance: 5_000, user: 'sub', name: 'jwt' },
  ledger: { mode: 'process', onFailure: 'refuse', retentionDays: 90, refusalsPerSecond: 0 },
  server: {
    port: 4000,
    // Loopback: whoever wants to be reached from elsewhere has to say so, and to have a key.
    host: '127.0.0.1',
    maxBodyBytes: 20 * 1024 ** 2,
    maxReplyBytes: 64 * 1024 ** 2,
    maxJsonDepth: 128,
    maxMessages: 10_000,
    maxHops: 5,
    // Balancers keep their side open for 60 s: ours must be the longer, or they meet a closed socket now and then.
    keepAliveTimeout: 75_000,
    headersTimeout: 15_000,
    bodyTimeout: 60_000,
    sendTimeout: 120_000,
    drainDelay: 0,
    drainTimeout: 30_000,
    trustedProxies: [] as readonly string[],
    corsOrigins: [] as readonly string[],
    connectionsPerOrigin: 4096,
  },
  // Reasoning models think for minutes before their first word: a tighter first-token limit would cut good replies.
  timeouts: { connect: 5_000, firstToken: 300_000, idle: 120_000, total: 1_800_000 } satisfies Timeouts,
  commitAfter: 10_000,
  retries: { attempts: 3, baseDelay: 1_000, maxDelay: 30_000, budget: 0.2 },
  breaker: {
    failures: 5,
    percent: 50,
    volume: 20,
    window: 60_000,
    openFor: 60_000,
    unhealthyFor: 300_000,
    autoDisableAfter: 0,
  },
  limits: { window: 60_000, queueMs: 0, queueSize: 100, answerTokens: 1_000 },
  budgets: { window: 'month', timezone: 'UTC' },
  access: { statusPerMinute: 300, metricsPerMinute: 60, failuresPerMinute: 30 },
  webhooks: { timeout: 10_000, attempts: 10, retryDelay: 5_000 },
  alerts: { window: 'hour', of: 'spend', minRequests: 20, severity: 'warning', cooldown: 900_000 },
  cache: { ttl: 3_600_000, scope: 'key', maxEntryBytes: 1024 ** 2, size: 64 * 1024 ** 2, compressAbove: 16 * 1024 },
  rollouts: { unit: 'conversation', maxRatio: 1.5 },
  failureMessage: 'The assistant is not available at the moment. Please try again later.',
  toolArguments: 'check',
} as const
