// Brings docs/translation.md up to date.
import { mkdirSync, writeFileSync } from 'node:fs'
import { translationDoc } from './translationDoc.ts'

const docs = new URL('../../docs/', import.meta.url)
mkdirSync(docs, { recursive: true })
writeFileSync(new URL('translation.md', docs), translationDoc())
