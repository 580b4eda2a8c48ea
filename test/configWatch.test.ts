// The watch on files: every way in which editors, deployments and ConfigMaps replace a file, and none of what is no change.
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startWatch, type Watch } from '../src/config/watch.ts'

let folder: string
let watch: Watch | undefined
let told: string[]
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-watch-'))
  told = []
})
afterEach(async () => {
  await watch?.stop()
  rmSync(folder, { recursive: true })
})
const at = (name: string): string => join(folder, name)
/** Looks only when it is asked to. */
const start = async (...names: string[]): Promise<Watch> => {
  const files = names.map(at)
  watch = await startWatch({ files, interval: 3_600_000, settle: 1, changed: (file) => void told.push(file) })
  return watch
}

test('a file that is written again is told of once, a file that is only touched is not', async () => {
  writeFileSync(at('a'), '1')
  const { look } = await start('a')
  await look()
  expect(told).toEqual([])
  writeFileSync(at('a'), '2')
  await look()
  await look()
  expect(told).toEqual([at('a')])
  utimesSync(at('a'), new Date(), new Date())
  writeFileSync(at('a'), '2')
  await look()
  expect(told).toEqual([at('a')])
})

test('a change that leaves size and times as they were is found all the same', async () => {
  writeFileSync(at('a'), '1')
  const { atime, mtime } = statSync(at('a'))
  const { look } = await start('a')
  writeFileSync(at('a'), '2')
  utimesSync(at('a'), atime, mtime)
  await look()
  expect(told).toEqual([at('a')])
})

test('an editor that renames a new file into place', async () => {
  writeFileSync(at('a'), '1')
  const { look } = await start('a')
  writeFileSync(at('a~'), '2')
  renameSync(at('a~'), at('a'))
  await look()
  expect(told).toEqual([at('a')])
})

test('an editor that takes the file away first', async () => {
  writeFileSync(at('a'), '1')
  const { look } = await start('a')
  unlinkSync(at('a'))
  await look()
  expect(told).toEqual([])
  writeFileSync(at('a'), '2')
  await look()
  expect(told).toEqual([at('a')])
})

test('a ConfigMap: a link to a link to a folder, of which the middle one is swapped', async () => {
  const version = (name: string, content: string): void => {
    mkdirSync(at(name))
    writeFileSync(join(at(name), 'turnout.yaml'), content)
  }
  version('v1', '1')
  version('v2', '2')
  symlinkSync('v1', at('..data'))
  symlinkSync('..data/turnout.yaml', at('turnout.yaml'))
  const { look } = await start('turnout.yaml')
  symlinkSync('v2', at('..data_tmp'))
  renameSync(at('..data_tmp'), at('..data'))
  await look()
  expect(told).toEqual([at('turnout.yaml')])
})

test('a file that comes into being, and each of several by itself', async () => {
  writeFileSync(at('a'), '1')
  const { look } = await start('a', 'later')
  writeFileSync(at('later'), 'x')
  await look()
  expect(told).toEqual([at('later')])
  writeFileSync(at('a'), '2')
  writeFileSync(at('later'), 'y')
  await look()
  expect(told).toEqual([at('later'), at('a'), at('later')])
})

test('a file that is still being written is waited for', async () => {
  writeFileSync(at('a'), '1')
  let writes = 0
  watch = await startWatch({
    files: [at('a')],
    interval: 3_600_000,
    // The editor goes on in each wait, five times.
    pause: async () => {
      if (++writes <= 5) writeFileSync(at('a'), `part ${writes}`)
    },
    changed: () => void told.push(readFileSync(at('a'), 'utf8')),
  })
  writeFileSync(at('a'), 'part 0')
  await watch.look()
  expect(told).toEqual(['part 5'])
  expect(writes).toBe(6)
})

test('looks by itself, and no more after it was stopped', async () => {
  writeFileSync(at('a'), '1')
  let wake: (file: string) => void = () => {}
  const changed = new Promise<string>((resolve) => {
    wake = resolve
  })
  watch = await startWatch({ files: [at('a')], interval: 5, settle: 1, changed: (file) => wake(file) })
  writeFileSync(at('a'), '2')
  expect(await changed).toBe(at('a'))
  await watch.stop()
  writeFileSync(at('a'), '3')
  await watch.look()
  expect(told).toEqual([])
})
