// Brings the reference of docs/commands.md up to date.
import { readFileSync, writeFileSync } from 'node:fs'
import { withCommands } from './commandsDoc.ts'

const page = new URL('../../docs/commands.md', import.meta.url)
writeFileSync(page, withCommands(readFileSync(page, 'utf8')))
