// Where things lie: the repository, the bench, its scratch folder, and the built child scripts.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const benchFolder = dirname(fileURLToPath(import.meta.url))
export const rootFolder = dirname(benchFolder)
/** Everything that a run writes, but for the results. Ignored by git. */
export const outFolder = join(benchFolder, 'out')
/** This run's own part of it, so that a second run at the same time spoils figures but not files. Removed at the end. */
const runFolder = join(outFolder, `run-${process.pid}`)
process.on('exit', () => rmSync(runFolder, { recursive: true, force: true, maxRetries: 3 }))
const builtFolder = join(runFolder, 'built')

/** The JavaScript of a child script, by its path under `bench/` without an ending. */
export const builtChild = (name: string): string => join(builtFolder, `${name}.js`)

/** A fresh, empty folder: `keep` = it stays after the run. */
export const makeFolder = (name: string, keep = false): string => {
  const folder = join(keep ? outFolder : runFolder, name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  return folder
}

/**
 * Turns the bench's own sources into plain JavaScript for the child processes: a loader in the relay or the generator would
 * cost start-up time and memory that are then measured.
 */
export const buildChildren = async (): Promise<void> => {
  const { default: ts } = await import('typescript')
  rmSync(builtFolder, { recursive: true, force: true })
  for (const folder of ['.', 'contenders', 'load', 'measure']) {
    mkdirSync(join(builtFolder, folder), { recursive: true })
    for (const file of readdirSync(join(benchFolder, folder)).filter((name) => name.endsWith('.ts'))) {
      const source = join(benchFolder, folder, file)
      const { outputText } = ts.transpileModule(readFileSync(source, 'utf8'), {
        fileName: source,
        compilerOptions: {
          target: ts.ScriptTarget.ES2023,
          module: ts.ModuleKind.ESNext,
          rewriteRelativeImportExtensions: true,
          verbatimModuleSyntax: true,
        },
      })
      writeFileSync(join(builtFolder, folder, file.replace(/\.ts$/, '.js')), outputText)
    }
  }
}

/** Installs the peers on first use, from the lockfile. */
export const installPeers = (): void => {
  if (existsSync(join(benchFolder, 'node_modules/@portkey-ai/gateway/build/start-server.js'))) return
  console.error('installing the peers (npm ci in bench/) …')
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: benchFolder,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

/** Builds the product, so that what is measured is what is in the tree. Throws with the compiler's output. */
export const buildProduct = (): void => {
  console.error('building turnout …')
  try {
    execFileSync('npm', ['run', '--silent', 'build'], { cwd: rootFolder, stdio: 'pipe', encoding: 'utf8' })
  } catch (error) {
    throw new Error(
      `npm run build failed in ${relative(process.cwd(), rootFolder) || '.'}:\n${(error as { stdout: string }).stdout}`,
    )
  }
}
