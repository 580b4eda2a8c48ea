// GET /admin/openapi.json: the description of the admin API, made from its table of routes, so that it cannot be out of date.
import * as z from 'zod'
import { version } from '../../version.ts'
import { type AdminRoute, defineRoute } from './route.ts'
import { named, shapes } from './shape.ts'

const objects = z.record(z.string(), z.unknown())
const document = named('Document', {
  openapi: z.string(),
  info: objects,
  servers: z.array(objects),
  security: z.array(objects),
  paths: objects,
  components: objects,
})

/** `routes` is asked when somebody asks, because the table holds this route too. Once: it takes 25 ms in which nobody is served. */
export function describeRoutes(routes: () => readonly AdminRoute[]): AdminRoute {
  let described: ReturnType<typeof openApi> | undefined
  return defineRoute({
    method: 'GET',
    path: '/openapi.json',
    role: 'viewer',
    summary: 'This description, as OpenAPI 3.1.',
    reply: document,
    async answer() {
      described ??= openApi(routes())
      return { json: described }
    },
  })
}

/** The OpenAPI document of these routes. */
export function openApi(routes: readonly AdminRoute[]) {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    const path = route.path.replace(/[:*](\w+)/g, '{$1}')
    paths[path] ??= {}
    paths[path][route.method.toLowerCase()] = operationOf(route, path)
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Turnout admin API', version },
    servers: [{ url: '/admin' }, { url: '/api/v1/admin' }],
    security: [{ key: [] }],
    paths,
    components: {
      securitySchemes: {
        key: {
          type: 'http',
          scheme: 'bearer',
          description: 'A key with a role, TURNOUT_MASTER_KEY, or a signed token.',
        },
      },
      schemas: shapeSchemas(),
      responses: { error: { description: 'What is wrong.', content: { 'application/json': { schema: errorSchema } } } },
    },
  }
}

function operationOf(route: AdminRoute, path: string) {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  const query = route.query ? schemaOf(route.query) : {}
  const required = (query.required ?? []) as string[]
  const inQuery = Object.entries((query.properties ?? {}) as Record<string, unknown>).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }))
  const inHeader = (route.headers ?? []).map((name) => ({
    ...headers[name],
    required: name === 'if-match' && route.refuses?.includes(428) === true,
  }))
  const refusals = [
    ...always,
    ...(route.body ? ofBodies : []),
    ...(route.headers ?? []).flatMap((name) => statuses[name]),
    ...(route.refuses ?? []),
  ]
  return {
    operationId: `${route.method.toLowerCase()}${path.replace(/\W+(\w?)/g, (_, letter: string) => letter.toUpperCase())}`,
    summary: route.summary,
    description: `Needs the role \`${route.role}\`.`,
    'x-role': route.role,
    parameters: [...inPath, ...inQuery, ...inHeader],
    ...(route.body
      ? { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(route.body) } } } }
      : {}),
    responses: {
      200: {
        description: 'Done.',
        content: Object.fromEntries((route.answers ?? [json]).map((type) => [type, { schema: answerOf(route, type) }])),
      },
      ...Object.fromEntries(refusals.map((status) => [status, { $ref: '#/components/responses/error' }])),
    },
  }
}

const json = 'application/json'

/** What is no JSON is text: events, lines, a page. */
function answerOf({ reply }: AdminRoute, type: string) {
  if (type !== json) return { type: 'string' }
  return reply ? { $ref: uriOf(shapes.get(reply)!.id) } : {}
}

const uriOf = (id: string): string => `#/components/schemas/${id}`

/** Clients are to take fields that come later, so that none are forbidden. */
function shapeSchemas(): Record<string, unknown> {
  const { schemas } = z.toJSONSchema(shapes, {
    io: 'output',
    unrepresentable: 'any',
    uri: uriOf,
    override: ({ jsonSchema }) => {
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties
    },
  })
  return Object.fromEntries(Object.entries(schemas).map(([id, { $schema: _, $id: __, ...schema }]) => [id, schema]))
}

const headers = {
  'if-match': {
    name: 'If-Match',
    in: 'header',
    description: 'The revision or version that the change is made from, as `ETag` tells it; `*` for any.',
    schema: { type: 'string' },
  },
  'idempotency-key': {
    name: 'Idempotency-Key',
    in: 'header',
    description: 'The same command with the same key acts once: repeated within a day, it gets the same answer.',
    schema: { type: 'string', minLength: 1, maxLength: 255, pattern: '^[!-~]+$' },
  },
} as const

/** What any route may refuse with: what it was asked, who asks, what is not there, how often, and where the gateway itself fails. */
const always = [400, 401, 403, 404, 429, 500, 503]

/** A body that is too slow, too large, or no JSON. */
const ofBodies = [408, 413, 415]

/** What else is refused because of them. */
const statuses = { 'if-match': [412], 'idempotency-key': [409, 422] } as const

function schemaOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...made } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return made
}

const errorSchema = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['message', 'type', 'code', 'param'],
      properties: {
        message: { type: 'string' },
        type: { type: 'string' },
        code: { type: 'string' },
        param: { type: ['string', 'null'] },
        metadata: { type: 'object' },
      },
    },
  },
}
