// Brings everything under grafana/ up to date that is made from its sources. Run: npx tsx grafana/source/write.ts
import { writeFileSync } from 'node:fs'
import { made } from './made.ts'

for (const [path, text] of made()) writeFileSync(new URL(`../../${path}`, import.meta.url), text)
