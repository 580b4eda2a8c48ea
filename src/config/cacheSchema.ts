// The part of the schema that says which answers are kept: per route, and how much memory all of them may take.
import * as z from 'zod'
import { defaults } from './defaults.ts'
import { block, duration, size, strict } from './schemaField.ts'

/** `cache` of a route. */
export const routeCache = z
  .union([
    z.boolean(),
    strict({
      ttl: duration(defaults.cache.ttl).describe('How long an answer is served. A client may ask for less.'),
      scope: z
        .enum(['key', 'team', 'global'])
        .optional()
        .describe('Who shares answers: one key, the keys of a team, or everybody who may call the route.')
        .meta({ default: defaults.cache.scope }),
      maxEntryBytes: size(defaults.cache.maxEntryBytes).describe('Largest answer that is kept.'),
      deterministicOnly: z
        .boolean()
        .optional()
        .describe('Keep only answers to requests with `temperature: 0` or a `seed`.')
        .meta({ default: true }),
      toolCalls: z.boolean().optional().describe('Also keep answers that call tools.').meta({ default: false }),
      staleIfError: duration(1)
        .describe('How long after its time an answer may still be served when all targets fail. Never unless given.')
        .meta({ default: undefined }),
      staleWhileRevalidate: duration(1)
        .describe('How long after its time an answer is served while a new one is fetched. Never unless given.')
        .meta({ default: undefined }),
      coalesce: z
        .boolean()
        .optional()
        .describe('Whether identical requests in flight share one upstream call.')
        .meta({ default: true }),
    }),
  ])
  .optional()
  .describe('Serve repeated requests from memory: `true`, or a block. Off unless given.')

/** `cache` of the document. */
export const cacheSection = block({
  size: size(defaults.cache.size).describe('Most memory that the answers of all routes may take.'),
  compressAbove: size(defaults.cache.compressAbove).describe(
    'Answers larger than this are compressed once half of `size` is used, and where they are kept on disk.',
  ),
  persist: z
    .boolean()
    .optional()
    .describe('Keep answers in the file cache.db of the data folder, too, so that they survive a restart.')
    .meta({ default: false }),
  diskSize: size(defaults.cache.size)
    .describe('Most bytes of that file. As `size` unless given.')
    .meta({ default: undefined }),
})
  .optional()
  .describe('The response cache of all routes together.')

export type RouteCacheFields = z.output<typeof routeCache>
export type CacheFields = z.output<typeof cacheSection>
