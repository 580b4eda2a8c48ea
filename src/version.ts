// The version of this program, from its package.json.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageFolder } from './packageFolder.ts'

export const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as { version: string }
