// Bundles the compiled command line into a few files: opening, resolving and linking hundreds of them was a third of the CPU of a start.
// `node bundle.mjs [FOLDER]`: the folder whose `dist` it is in, this one unless given.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = process.argv[2] ?? import.meta.dirname
const outdir = join(root, 'dist/bin')

/** Packages that stay as they are: native ones, those that start threads or find files beside themselves, and what is needed late or never. */
const apart = [
  'better-sqlite3',
  'pino',
  'undici',
  'tiktoken',
  'jose',
  '@pydantic/genai-prices',
  '@opentelemetry/api',
  '@opentelemetry/exporter-trace-otlp-http',
  '@opentelemetry/resources',
]

rmSync(outdir, { recursive: true, force: true })
await build({
  entryPoints: { turnout: join(root, 'dist/cli/main.js') },
  outdir,
  bundle: true,
  // What is imported when it is needed stays in a file of its own.
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: 'linked',
  external: apart.flatMap((name) => [name, `${name}/*`]),
  // CommonJS packages require modules of Node; inside an ES module there is no `require` of its own.
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
  logLevel: 'warning',
})
