// Compiles the program once for tests that start it as a process: compiled files start three times faster than sources do.
import { createHash, type Hash } from 'node:crypto'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const cache = join(root, 'node_modules/.cache/turnout-build')

/** The program's own files that it reads beside its code, and where it looks for them. */
const besides = ['package.json']

export interface Build {
  /** Holds `dist`, `migrations` and what else the program reads. */
  readonly folder: string
  /** The command line's entry. */
  readonly main: string
}

/**
 * Compiles `src` as it is now and returns where. A build of the same sources is used again, also by another process;
 * builds of other sources are removed. Inside `node_modules`, so that bare imports resolve as they do for `dist`.
 */
export function buildTurnout(): Build {
  const files = [...filesIn('src'), ...filesIn('migrations'), 'package.json']
  const hash = createHash('sha256')
  for (const file of files) addFile(hash, file)
  const name = hash.digest('hex').slice(0, 16)
  const folder = join(cache, name)
  if (!existsSync(folder)) {
    mkdirSync(cache, { recursive: true })
    const aside = mkdtempSync(join(cache, 'new-'))
    compile(files, aside)
    install(aside, folder)
    // Keeps those that another run may be using at the moment.
    for (const old of readdirSync(cache)
      .filter((other) => other !== name && !other.startsWith('new-'))
      .slice(0, -3))
      rmSync(join(cache, old), { recursive: true, force: true })
  }
  return { folder, main: join(folder, 'dist/cli/main.js') }
}

/** A copy of a build that a test may change: its migrations, say. */
export function copyBuild(build: Build): Build & { remove(): void } {
  const folder = mkdtempSync(join(cache, 'new-'))
  cpSync(build.folder, folder, { recursive: true })
  return {
    folder,
    main: join(folder, 'dist/cli/main.js'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** Another process may have been quicker: its build is the same. */
function install(aside: string, folder: string): void {
  try {
    renameSync(aside, folder)
  } catch (error) {
    if (!existsSync(folder)) throw error
    rmSync(aside, { recursive: true, force: true })
  }
}

function compile(files: readonly string[], folder: string): void {
  const compilerOptions: ts.CompilerOptions = {
    module: ts.ModuleKind.ES2022,
    target: ts.ScriptTarget.ES2023,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
  }
  for (const file of files) {
    if (!file.startsWith('src/') || !file.endsWith('.ts') || file.endsWith('.d.ts')) continue
    const { outputText } = ts.transpileModule(readFileSync(join(root, file), 'utf8'), { compilerOptions })
    write(join(folder, 'dist', file.slice('src/'.length).replace(/\.ts$/, '.js')), outputText)
  }
  cpSync(join(root, 'migrations'), join(folder, 'migrations'), { recursive: true })
  for (const file of besides) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    copyFileSync(join(root, file), join(folder, file))
  }
}

function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
    .sort()
}

function addFile(hash: Hash, file: string): void {
  const bytes = readFileSync(join(root, file))
  hash.update(`${file} ${bytes.length}\n`).update(bytes)
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}
