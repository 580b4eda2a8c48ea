// Writes `config.schema.json` from the configuration's zod schema: run by `npm run schema`.
import { writeFileSync } from 'node:fs'
import { configJsonSchema } from '../config/jsonSchema.ts'

writeFileSync(new URL('../../config.schema.json', import.meta.url), `${JSON.stringify(configJsonSchema(), null, 2)}\n`)
