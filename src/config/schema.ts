// The one schema of turnout.yaml: what may be written, in which units, and what each field means.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import * as z from 'zod'
import { pricesSchema } from '../pricing/priceSchema.ts'
import { foreignFields } from '../providers/history.ts'
import { capNames, neverPassed } from '../providers/provider.ts'
import { alertSections } from './alertSchema.ts'
import { auth } from './authSchema.ts'
import { cacheSection } from './cacheSchema.ts'
import { defaults } from './defaults.ts'
import { limitSections, ownRules } from './limitSchema.ts'
import { logFields, observabilitySections } from './observabilitySchema.ts'
import { rolloutSections } from './rolloutSchema.ts'
import { breaker, retries, route, routeName, target, type timeouts } from './routeSchema.ts'
import { block, count, duration, emptyRecord, id, size, strict, text } from './schemaField.ts'

const headerName = z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, { error: 'not a header name' })

const provider = block({
  kind: id.optional().describe("What it is: `openai`, `azure`, `vllm`, … The provider's own name unless given."),
  baseUrl: text().optional().describe("Address up to before `/chat/completions`. The kind's own unless given."),
  apiKey: text(8192)
    .regex(/^[\x21-\x7e]+$/, { error: 'a key may hold no spaces, line breaks or non-ASCII characters' })
    .optional()
    .describe("The provider's key, best as `${NAME}`. Taken from the kind's environment variable unless given."),
  proxy: text(2048)
    .optional()
    .describe(
      'HTTP proxy that its calls go through, best as `${NAME}`; `none` = straight. As `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say unless given.',
    ),
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
  capName: z
    .enum(capNames)
    .optional()
    .describe(
      'The only name under which its models take the cap of an answer: a client that says the other is understood.',
    ),
  refusedFields: z
    .array(z.enum(foreignFields))
    .optional()
    .describe(
      "What is left out of a client's messages for it, because it answers an error to what replies of other vendors carry. The kind's own unless given.",
    ),
  fallback: z
    .boolean()
    .optional()
    .describe('Whether another target is tried when one of this provider fails.')
    .meta({ default: true }),
})

/** A moment in the form of ISO 8601 that says of which zone it is: without one it would mean another on each machine. */
const isMoment = (value: string): boolean =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/.test(value) && !Number.isNaN(Date.parse(value))

const patterns = z.array(text(256), { error: 'expected a list of names' }).max(256)

const key = strict({
  name: id.describe('Name in the ledger and the logs.'),
  key: text(512)
    .regex(/^[\x21-\x7e]+$/, { error: 'a key may hold no spaces, line breaks or non-ASCII characters' })
    .describe('The secret a client sends: at least 16 characters, best as `${NAME}`.'),
  role: z
    .enum(['app', 'viewer', 'responder', 'operator', 'admin'])
    .optional()
    .describe(
      '`app` may call models; `viewer`, `responder`, `operator` and `admin` may also operate Turnout, each more than the one before.',
    )
    .meta({ default: 'app' }),
  team: id.optional().describe('Team that the key belongs to, in the ledger and its reports.'),
  routes: patterns.optional().describe('Names and patterns that it may ask for as `model`. Everything unless given.'),
  models: patterns
    .optional()
    .describe('`provider/model` names and patterns that may serve it, asked again on every hop. All unless given.'),
  expiresAt: text(40)
    .refine(isMoment, { error: 'expected a time with its zone, such as 2027-01-31T00:00:00Z' })
    .optional()
    .describe('From then on it opens nothing, such as `2027-01-31T00:00:00Z`.'),
  disabled: z.boolean().optional().describe('Switched off: it opens nothing.').meta({ default: false }),
  ...ownRules,
})

const admin = block({
  jwt: block({
    secret: text(1024).optional().describe('Secret of HS256 tokens, at least 32 characters, best as `${NAME}`.'),
    publicKey: text(16_384)
      .optional()
      .describe('Public key in PEM, in place of a secret. RSA means RS256, P-256 means ES256, Ed25519 means EdDSA.'),
    audience: text(255).optional().describe('What `aud` of a token has to be.').meta({ default: defaults.jwtAudience }),
    issuer: text(255).optional().describe('What `iss` of a token has to be. Not looked at unless given.'),
  })
    .optional()
    .describe('Signed tokens that may operate Turnout. They need `exp`, `aud`, and a `role`.'),
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
  maxJsonValues: count(defaults.server.maxJsonValues, 1000, 10_000_000)
    .optional()
    .describe('Most values in the JSON of a request body.'),
  maxMessages: count(defaults.server.maxMessages).optional().describe('Most messages in one request.'),
  maxHops: count(defaults.server.maxHops, 1, 100).optional().describe('Most gateways a request may pass through.'),
  keepAliveTimeout: duration(defaults.server.keepAliveTimeout).describe(
    'How long an idle client connection stays open. More than the balancer in front.',
  ),
  headersTimeout: duration(defaults.server.headersTimeout).describe("Longest wait for a request's headers."),
  bodyTimeout: duration(defaults.server.bodyTimeout).describe("Longest wait for a request's body."),
  sendTimeout: duration(defaults.server.sendTimeout).describe(
    'How long a client may take nothing of a reply that is there for it.',
  ),
  drainDelay: duration().describe(
    'On SIGTERM: how long it goes on taking requests while it says that it is not ready, until balancers have noticed. Not at all unless given.',
  ),
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
  ...logFields,
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
  refusalsPerSecond: count(defaults.ledger.refusalsPerSecond, 0, 100_000)
    .optional()
    .describe(
      'Rows a second that requests of one key may write which were refused before any call; more are only counted. 0 = all have a row.',
    ),
})

export const configSchema = strict({
  server: server.optional().describe('Where and within which limits Turnout listens.'),
  log: log.optional().describe('What is logged.'),
  dataDir: text().optional().describe('Folder of the ledger, relative to the working directory.').meta({
    default: defaults.dataDir,
  }),
  admin: admin.optional().describe('Who may operate Turnout, beside the keys.'),
  auth: auth.optional().describe('Who may call models, beside the keys.'),
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
  routes: emptyRecord(routeName, route)
    .optional()
    .describe('What a client may send as `model`: a name, or a pattern with `*`. The most specific pattern wins.'),
  fallback: z
    .boolean()
    .optional()
    .describe('`false`: on no route is another target tried when one fails.')
    .meta({ default: true }),
  retries: retries
    .nullable()
    .transform((value) => value ?? undefined)
    .optional()
    .describe('When and how often a target is called again, for routes that do not say so themselves.'),
  breaker: breaker
    .nullable()
    .transform((value) => value ?? undefined)
    .optional()
    .describe('When a target is left alone, for targets that do not say so themselves.'),
  keys: z
    .array(key)
    .nullable()
    .transform((list) => list ?? undefined)
    .optional()
    .describe('Keys that clients show. Without any, only programs on this machine may call.'),
  ...limitSections,
  ...alertSections,
  ...rolloutSections,
  ...observabilitySections,
  cache: cacheSection,
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
export type AdminSettings = z.output<typeof admin>
export type KeySettings = z.output<typeof key>
