// docs/translation.md says what the translators do, not what they did once.
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { translationDoc } from './support/translationDoc.ts'

it('docs/translation.md is up to date (npx tsx test/support/writeTranslationDoc.ts)', () => {
  expect(readFileSync(new URL('../docs/translation.md', import.meta.url), 'utf8')).toBe(translationDoc())
})
