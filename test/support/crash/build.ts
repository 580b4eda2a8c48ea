// Builds the program once for tests that start it as a process: so they test what is shipped, and it starts five times faster than sources do.
import { execFileSync } from 'node:child_process'
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
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const cache = join(root, 'node_modules/.cache/turnout-build')

/** The program's own files that it reads beside its code, and where it looks for them. */
const besides = ['package.json']

export interface Build {
  /** Holds `dist`, `migrations` and what else the program reads. */
  readonly folder: string
  /** The command line's entry: the bundle. */
  readonly main: string
  /** The Node that runs it; the one that runs the tests where it is absent. */
  readonly node?: string
}

const entry = 'dist/bin/turnout.js'

/**
 * Compiles and bundles `src` as it is now and returns where. A build of the same sources is used again, also by another process;
 * old ones are removed. Inside `node_modules`, so that bare imports resolve as they do for `dist`.
 */
export function buildTurnout(): Build {
  built ??= findBuild()
  return built
}

let built: Build | undefined

function findBuild(): Build {
  const files = [...filesIn('src'), ...filesIn('migrations'), 'package.json', 'package-lock.json', 'bundle.mjs']
  const hash = createHash('sha256')
  for (const file of files) addFile(hash, file)
  const name = hash.digest('hex').slice(0, 16)
  const folder = join(cache, name)
  if (!existsSync(folder)) {
    mkdirSync(cache, { recursive: true })
    const aside = mkdtempSync(join(cache, 'new-'))
    compile(files, aside)
    install(aside, folder)
    removeOld()
  } else utimesSync(folder, new Date(), new Date())
  return { folder, main: join(folder, entry) }
}

/** Longer than a run of all tests: another one may be using its build at the moment. */
const keptMs = 2 * 3_600_000

function removeOld(): void {
  for (const name of readdirSync(cache)) {
    const folder = join(cache, name)
    const used = statSync(folder, { throwIfNoEntry: false })?.mtimeMs
    if (used !== undefined && Date.now() - used > keptMs) rmSync(folder, { recursive: true, force: true })
  }
}

/** A copy of a build that a test may change: its migrations, say. */
export function copyBuild(build: Build): Build & { remove(): void } {
  const folder = mkdtempSync(join(cache, 'new-'))
  cpSync(build.folder, folder, { recursive: true })
  return {
    folder,
    main: join(folder, entry),
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

/** The compiler is loaded only here: of the many files that use a build one makes it. */
function compile(files: readonly string[], folder: string): void {
  const ts = createRequire(import.meta.url)('typescript') as typeof import('typescript')
  const compilerOptions: import('typescript').CompilerOptions = {
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
  execFileSync(process.execPath, [join(root, 'bundle.mjs'), folder], { stdio: 'inherit' })
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
