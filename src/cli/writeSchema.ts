// Writes `config.schema.json` from the configuration's zod schema: run by `npm run schema`, elsewhere if a path is given.
import { writeFileSync } from 'node:fs'
import { configJsonSchema } from '../config/jsonSchema.ts'

const path = process.argv[2] ?? new URL('../../config.schema.json', import.meta.url)
writeFileSync(path, `${JSON.stringify(configJsonSchema(), null, 2)}\n`)
