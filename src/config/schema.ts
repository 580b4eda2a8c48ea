// The one schema of turnout.yaml: what may be written, in which units, and what each field means.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import { z } from 'zod'
import { pricesSchema } from '../pricing/priceSchema.ts'
import { neverPassed } from '../providers/provider.ts'
import { defaults } from './defaults.ts'
import { likelyName } from './nearest.ts'
import { durationPattern, maxDuration, readDuration, readSize, showDuration, showSize, sizePattern } from './unit.ts'

/** An object that refuses unknown keys: one line per key, in the order of the issue's `keys`, each with what was meant. */
const strict = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? issue.keys.map((key) => unknownKey(key, shape)).join('\n') : undefined,
  })

const unknownKey = (key: string, shape: object): string => {
  const known = Object.keys(shape)
  const meant = likelyName(key, known)
  return `unknown key "${key}"; ${meant === undefined ? `known here: ${known.join(', ')}` : `did you mean "${meant}"?`}`
}

/** A block that may be left empty: `server:` with nothing after it is null in YAML, and means "all defaults". */
const block = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  strict(shape)
    .nullable()
    .transform((value) => value ?? undefined)

const durationText = 'milliseconds, or text such as 500ms, 30s, 10m, 1h'
const duration = (fallback: number) =>
  z
    .union(
      [z.number().nonnegative(), z.string().regex(durationPattern, { error: `expected a duration: ${durationText}` })],
      { error: `expected a duration: ${durationText}` },
    )
    .transform((value) => readDuration(value)!)
    .refine((value) => value >= 1 && value <= maxDuration, { error: 'a duration must be between 1ms and 24 days' })
    .optional()
    .meta({ default: showDuration(fallback), examples: ['500ms', '30s', '10m'] })

const sizeText = 'bytes, or text such as 512KB, 20MB'
const size = (fallback: number) =>
  z
    .union([z.number().nonnegative(), z.string().regex(sizePattern, { error: `expected a size: ${sizeText}` })], {
      error: `expected a size: ${sizeText}`,
    })
    .transform((value) => readSize(value)!)
    .refine((value) => value >= 1024 && value <= 2 ** 30, { error: 'a size must be between 1KB and 1GB' })
    .optional()
    .meta({ default: showSize(fallback), examples: ['512KB', '20MB'] })

const count = (fallback: number, least = 1, most = 1_000_000) =>
  z.number().int().min(least).max(most).meta({ default: fallback })

/** Ids that end up in headers, labels and `provider/model`: no slash, no star, no space. */
const id = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/, { error: 'a name is letters, digits and . _ : @ - (at most 128)' })

const text = (most = 2048) => z.string().min(1, { error: 'may not be empty' }).max(most)

const timeouts = strict({
  connect: duration(defaults.timeouts.connect).describe('Longest wait for the connection, TLS included.'),
  firstToken: duration(defaults.timeouts.firstToken).describe(
    'Longest wait for the first generated content. Role-only chunks, pings and comments do not count.',
  ),
  idle: duration(defaults.timeouts.idle).describe('Longest gap between two pieces of generated content.'),
  total: duration(defaults.timeouts.total).describe('Longest time for one upstream call from start to end.'),
})

const headerName = z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, { error: 'not a header name' })

const provider = block({
  kind: id.optional().describe("What it is: `openai`, `azure`, `vllm`, … The provider's own name unless given."),
  baseUrl: text().optional().describe("Address up to before `/chat/completions`. The kind's own unless given."),
  apiKey: text(8192)
    .regex(/^[\x21-\x7e]+$/, { error: 'a key may hold no spaces, line breaks or non-ASCII characters' })
    .optional()
    .describe("The provider's key, best as `${NAME}`. Taken from the kind's environment variable unless given."),
  apiVersion: z
    .string()
    .regex(/^[\w.-]{1,64}$/, { error: 'not an API version' })
    .optional()
    .describe('Azure: `v1` (or nothing) for the v1 API, else the `api-version` of the deployments API.'),
  headers: z
    .record(headerName, z.string().regex(/^[\t\x20-\x7e]{0,4096}$/, { error: 'not a header value' }))
    .optional()
    .describe('Headers sent with every call, such as a project id or the key of a proxy in between.'),
  passHeaders: z
    .array(
      headerName
        .transform((name) => name.toLowerCase())
        .refine((name) => !neverPassed.includes(name), {
          error: 'carries credentials or decides who pays: a client may never set it',
        }),
    )
    .optional()
    .describe("Client headers that may pass, instead of the kind's own list."),
  streamUsage: z
    .enum(['ask', 'always', 'never'])
    .optional()
    .describe('How token usage comes in streams: `ask` by `stream_options`, `always` unasked, `never`.'),
})

const target = strict({
  provider: id.describe('Name of a provider under `providers`.'),
  model: text(256).describe('The model as the provider calls it, or `*` for the name that the client sent.'),
  params: z
    .record(
      z.string().regex(/^(?!(?:model|messages|stream|stream_options)$)[\w.-]+$/, {
        error: 'not a parameter that a target may force',
      }),
      z.json(),
    )
    .optional()
    .describe('Parameters forced on every request, by their name on the wire.'),
  timeouts: timeouts.optional().describe("Time limits of this target; they win over its route's."),
  sunset: z.iso
    .date({ error: 'expected a date such as 2026-12-31' })
    .optional()
    .describe('Day on which the provider retires the model, YYYY-MM-DD. Warns from 30 days before it.'),
})

const targetRef = text(384).describe('Id of a target, or `provider/model`, or `provider/*`.')
const targetList = z.array(targetRef).min(1, { error: 'a route needs a target' }).max(64)

const route = z.union(
  [
    targetRef,
    targetList.describe('Targets, best first.'),
    strict({
      targets: targetList.describe('Targets, best first: the next is tried when one fails.'),
      timeouts: timeouts.optional().describe('Time limits of calls on this route.'),
      commitAfter: duration(defaults.commitAfter).describe(
        'Streams: after this long a wait for content the reply is begun all the same; no fallback after that.',
      ),
      toolArguments: z
        .enum(['check', 'pass'])
        .optional()
        .describe('`check` refuses a history whose tool arguments are not JSON; `pass` leaves that to the upstream.')
        .meta({ default: defaults.toolArguments }),
      usageCost: z
        .boolean()
        .optional()
        .describe('Add `cost` to the usage of replies, for clients that cannot read headers.')
        .meta({ default: false }),
    }),
  ],
  { error: 'expected a target, a list of targets, or a block with `targets`' },
)

const key = strict({
  name: id.describe('Name in the ledger and the logs.'),
  key: text(512)
    .regex(/^[\x21-\x7e]+$/, { error: 'a key may hold no spaces, line breaks or non-ASCII characters' })
    .describe('The secret a client sends: at least 16 characters, best as `${NAME}`.'),
  role: z
    .enum(['app', 'admin'])
    .optional()
    .describe('`app` may call models, `admin` may also operate Turnout.')
    .meta({ default: 'app' }),
  team: id.optional().describe('Team that the key belongs to, in the ledger and its reports.'),
})

const server = block({
  port: z.number().int().min(0).max(65535).optional().describe('Port to listen on.').meta({ default: 4000 }),
  host: text(255)
    .optional()
    .describe('Address to bind. Anything but loopback needs a key.')
    .meta({ default: defaults.server.host }),
  maxBody: size(defaults.server.maxBodyBytes).describe('Largest request body.'),
  maxReply: size(defaults.server.maxReplyBytes).describe('Largest JSON reply of an upstream.'),
  maxJsonDepth: count(defaults.server.maxJsonDepth, 8, 1024).optional().describe('Deepest nesting of a request body.'),
  maxMessages: count(defaults.server.maxMessages).optional().describe('Most messages in one request.'),
  maxHops: count(defaults.server.maxHops, 1, 100).optional().describe('Most gateways a request may pass through.'),
  keepAliveTimeout: duration(defaults.server.keepAliveTimeout).describe(
    'How long an idle client connection stays open. More than the balancer in front.',
  ),
  headersTimeout: duration(defaults.server.headersTimeout).describe("Longest wait for a request's headers."),
  bodyTimeout: duration(defaults.server.bodyTimeout).describe("Longest wait for a request's body."),
  drainTimeout: duration(defaults.server.drainTimeout).describe(
    'On SIGTERM: how long running requests may take to end.',
  ),
  trustedProxies: z
    .array(text(64))
    .optional()
    .describe('Addresses or CIDR ranges of proxies whose `x-forwarded-for` is believed.'),
  corsOrigins: z
    .array(text(255))
    .optional()
    .describe('Origins of web pages that may call, such as `https://app.example.com`, or `*`.'),
  connectionsPerOrigin: count(defaults.server.connectionsPerOrigin, 1, 65_536)
    .optional()
    .describe('Most sockets to one upstream.'),
})

const log = block({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .optional()
    .describe('Least severe level that is logged.')
    .meta({ default: defaults.logLevel }),
  clientAddress: z.boolean().optional().describe("Put the client's address on request lines.").meta({ default: false }),
})

const ledger = block({
  file: text().optional().describe('The database. Default: `turnout.db` in the data folder, or TURNOUT_DB.'),
  mode: z
    .enum(['process', 'power', 'relaxed'])
    .optional()
    .describe(
      'What a row survives: `process` a kill of the process, `power` also a power cut, `relaxed` neither for 50 ms.',
    )
    .meta({ default: defaults.ledger.mode }),
  onFailure: z
    .enum(['refuse', 'serve'])
    .optional()
    .describe(
      'Requests that cannot be recorded (disk full, database locked): refuse with 503, or serve without a record.',
    )
    .meta({ default: defaults.ledger.onFailure }),
  retentionDays: count(defaults.ledger.retentionDays, 0, 36_500)
    .optional()
    .describe('Days that rows of single requests are kept; daily sums stay. 0 = for ever.'),
})

const emptyRecord = <Value extends z.ZodType>(name: z.ZodType<string, string>, value: Value) =>
  z
    .record(name, value)
    .nullable()
    .transform((record) => record ?? undefined)

export const configSchema = strict({
  server: server.optional().describe('Where and within which limits Turnout listens.'),
  log: log.optional().describe('What is logged.'),
  dataDir: text().optional().describe('Folder of the ledger, relative to the working directory.').meta({
    default: defaults.dataDir,
  }),
  ledger: ledger.optional().describe('The record of every request and every cent.'),
  prices: pricesSchema
    .optional()
    .describe('Prices of your own in USD per million tokens, by model or `provider/model`. They win over all others.'),
  providers: emptyRecord(id, provider)
    .optional()
    .describe('Vendors and servers by name. Without this block: those whose keys are in the environment.'),
  targets: emptyRecord(id, target)
    .optional()
    .describe('Targets by id, for those that need more than `provider/model`.'),
  routes: emptyRecord(
    z
      .string()
      .min(1)
      .max(256)
      .regex(/^[^\s\p{Cc}]+$/u, { error: 'a route name may hold no spaces' })
      .refine((name) => (name.match(/\*+/g)?.length ?? 0) <= 8, { error: 'at most 8 stars in a pattern' }),
    route,
  )
    .optional()
    .describe('What a client may send as `model`: a name, or a pattern with `*`. The most specific pattern wins.'),
  keys: z
    .array(key)
    .nullable()
    .transform((list) => list ?? undefined)
    .optional()
    .describe('Keys that clients show. Without any, only programs on this machine may call.'),
  directModels: z
    .boolean()
    .optional()
    .describe('Also accept `provider/model` and well-known model names that no route has.')
    .meta({ default: false }),
})

/** A document that passed the schema: units read, shorthand not yet resolved. */
export type Settings = z.output<typeof configSchema>
export type ProviderSettings = NonNullable<NonNullable<Settings['providers']>[string]>
export type TargetSettings = z.output<typeof target>
export type RouteSettings = z.output<typeof route>
export type TimeoutSettings = z.output<typeof timeouts>
export type KeySettings = z.output<typeof key>
