// Token counting from compiled files: the worker must be found as .js, without TypeScript or its loader.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import ts from 'typescript'
import { expect, it } from 'vitest'
import type * as Counter from '../src/telemetry/tokens/counter.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const source = join(root, 'src/telemetry/tokens')

it('counts from compiled files', async () => {
  // Inside node_modules, so that bare imports resolve as they do for dist.
  mkdirSync(join(root, 'node_modules/.cache'), { recursive: true })
  const dir = mkdtempSync(join(root, 'node_modules/.cache/turnout-tokens-'))
  try {
    writeFileSync(join(dir, 'package.json'), '{"type":"module"}')
    for (const file of readdirSync(source)) {
      const { outputText } = ts.transpileModule(readFileSync(join(source, file), 'utf8'), {
        compilerOptions: {
          module: ts.ModuleKind.ES2022,
          target: ts.ScriptTarget.ES2023,
          verbatimModuleSyntax: true,
          rewriteRelativeImportExtensions: true,
        },
      })
      writeFileSync(join(dir, file.replace(/\.ts$/, '.js')), outputText)
    }
    const url = pathToFileURL(join(dir, 'counter.js')).href
    const { createTokenCounter } = (await import(url)) as typeof Counter
    const counter = createTokenCounter({ deadline: 15_000, maxWait: 18_000 })
    try {
      const count = await counter.count({ model: 'gpt-4o', text: 'Hello, world!' })
      expect(count).toEqual({ tokens: 4, method: 'exact', encoding: 'o200k_base' })
    } finally {
      await counter.close()
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})
