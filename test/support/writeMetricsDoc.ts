// Brings docs/metrics.md up to date.
import { readFileSync, writeFileSync } from 'node:fs'
import { withMetrics } from './metricsDoc.ts'

const page = new URL('../../docs/metrics.md', import.meta.url)
writeFileSync(page, withMetrics(readFileSync(page, 'utf8')))
