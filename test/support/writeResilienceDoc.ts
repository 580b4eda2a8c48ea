// Brings the failure table of docs/resilience.md up to date.
import { readFileSync, writeFileSync } from 'node:fs'
import { withFailureTable } from './resilienceDoc.ts'

const page = new URL('../../docs/resilience.md', import.meta.url)
writeFileSync(page, withFailureTable(readFileSync(page, 'utf8')))
