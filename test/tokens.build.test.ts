// Token counting from compiled files: the worker must be found as .js, without TypeScript or its loader.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, it } from 'vitest'
import type * as Counter from '../src/telemetry/tokens/counter.ts'
import { buildTurnout } from './support/crash/build.ts'

it('counts from compiled files', async () => {
  const url = pathToFileURL(join(buildTurnout().folder, 'dist/telemetry/tokens/counter.js')).href
  const { createTokenCounter } = (await import(url)) as typeof Counter
  const counter = createTokenCounter({ deadline: 15_000, maxWait: 18_000 })
  try {
    const count = await counter.count({ model: 'gpt-4o', text: 'Hello, world!' })
    expect(count).toEqual({ tokens: 4, method: 'exact', encoding: 'o200k_base' })
  } finally {
    await counter.close()
  }
})
