// The live configuration: what wins, how a swap goes, what a refused one leaves behind, primaries, roll back, the one switch.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import { writeFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { StaleVersion } from '../src/config/live.ts'
import { readText } from '../src/config/load.ts'
import { PrimaryError } from '../src/config/primary.ts'
import { ConfigError } from '../src/config/problem.ts'
import { forgetfulMemory } from './support/forgetfulMemory.ts'
import { holdLive, type LiveHolder, operator } from './support/liveConfig.ts'

const base = `# the file
providers:
  ollama:
  openai: { apiKey: "\${KEY:-sk-test-openai}" }
routes:
  chat: # of the app
    targets: [ollama/file, openai/gpt-5-mini]
    commitAfter: 5s
  small: ollama/small
`
let holder: LiveHolder | undefined
afterEach(() => {
  holder?.close()
  holder = undefined
})
const hold = async (...args: Parameters<typeof holdLive>): Promise<LiveHolder> => {
  holder = await holdLive(...args)
  return holder
}
const chain = (route = 'chat') => holder!.live.snapshot.routes.get(route)!.targets.map(({ id }) => id)
const paths = (kind: string) => holder!.events.filter((event) => event.kind === kind)

describe('what wins', () => {
  const overlay = base.replace('ollama/file', 'ollama/overlay')

  test('a stored write beats the file, a temporary primary beats both', async () => {
    const { live } = await hold(base)
    await live.write(overlay, operator)
    expect(chain()).toEqual(['ollama/overlay', 'openai/gpt-5-mini'])
    await live.setPrimary('chat', 'ollama/now', { persist: false, actor: operator })
    expect(chain()).toEqual(['ollama/now', 'ollama/overlay', 'openai/gpt-5-mini'])
    expect(live.state()).toMatchObject({ stored: ['routes.chat.targets'], temporary: { chat: 'ollama/now' } })
    await live.write(base, operator)
    expect(paths('lost')).toEqual([{ kind: 'lost', changes: ['routes.chat (temporary)'], why: 'written' }])
  })

  test('a stored write survives a restart, a temporary primary does not', async () => {
    const { live, restart } = await hold(base)
    await live.write(overlay, operator)
    await live.setPrimary('chat', 'ollama/now', { persist: false, actor: operator })
    await restart()
    expect(chain()).toEqual(['ollama/overlay', 'openai/gpt-5-mini'])
  })

  test('a file that changes beats every admin write, and the warning names what is lost', async () => {
    const { live, write, events } = await hold(base)
    await live.write(overlay, operator)
    await live.setPrimary('small', 'ollama/tiny', { persist: false, actor: operator })
    write(base.replace('5s', '6s'))
    const result = await live.reload()
    expect(result).toMatchObject({ swapped: true, lost: ['routes.chat.targets', 'routes.small (temporary)'] })
    expect(events).toContainEqual({ kind: 'lost', changes: result.lost, why: 'file' })
    expect(chain()).toEqual(['ollama/file', 'openai/gpt-5-mini'])
    expect(chain('small')).toEqual(['ollama/small'])
    // For good: the old file does not bring them back.
    write(base)
    await live.reload()
    expect(chain()).toEqual(['ollama/file', 'openai/gpt-5-mini'])
  })

  test('a line of the environment file that sets nothing is told at the start, and by a reading that changes nothing', async () => {
    const { live, envFile, events } = await hold(base, { env: 'OPENAI_API_KEY=sk-test\nNEW: x\n' })
    const warning = `${envFile}:2:1 is no NAME=value and no comment: the line sets nothing`
    expect(live.state().warnings).toContain(warning)
    const { swapped, warnings } = await live.reload()
    expect([swapped, warnings.includes(warning)]).toEqual([false, true])
    expect(events).toEqual([{ kind: 'unchanged', warnings: [warning] }])
  })

  test('a file that changed while nothing ran beats a stored write just the same', async () => {
    const { live, write, restart } = await hold(base)
    await live.write(overlay, operator)
    write(base.replace('5s', '6s'))
    await restart()
    expect(chain()).toEqual(['ollama/file', 'openai/gpt-5-mini'])
    expect(paths('lost')).toEqual([{ kind: 'lost', changes: ['routes.chat.targets'], why: 'file' }])
    write(base)
    await restart()
    expect(chain()).toEqual(['ollama/file', 'openai/gpt-5-mini'])
  })

  test('a file that is changed to something invalid takes nothing away, and changed back it is as it was', async () => {
    const { live, write, swaps } = await hold(base)
    await live.write(overlay, operator)
    write(base.replace('openai/gpt-5-mini', 'nobody/x').replace('5s', '5 parsecs'))
    const refused = await live.reload().catch((error: unknown) => error)
    expect((refused as ConfigError).problems.map(({ path }) => path)).toEqual(['routes.chat.commitAfter'])
    write(base.replace('openai/gpt-5-mini', 'nobody/x').replace('ollama/small', 'nobody/y'))
    const both = await live.reload().catch((error: unknown) => error)
    expect((both as ConfigError).problems.map(({ path }) => path)).toEqual(['routes.chat.targets[1]', 'routes.small'])
    expect(chain()).toEqual(['ollama/overlay', 'openai/gpt-5-mini'])
    write(base)
    expect(await live.reload()).toMatchObject({ swapped: false, lost: [] })
    expect(chain()).toEqual(['ollama/overlay', 'openai/gpt-5-mini'])
    expect(swaps).toHaveLength(1)
  })

  test('the environment only fills gaps, and reading it again takes no write away', async () => {
    const { live, envFile } = await hold(base, { env: 'TURNOUT_LOG_LEVEL=warn\nTURNOUT_PRIMARY_MODEL=ollama/env\n' })
    expect(live.snapshot.log.level).toBe('warn')
    expect(chain('default')).toEqual(['ollama/env'])
    await live.write(overlay, operator)
    writeFileSync(envFile, 'TURNOUT_LOG_LEVEL=debug\nTURNOUT_PRIMARY_MODEL=ollama/env-2\nKEY=sk-test-other\n')
    expect(await live.reload()).toMatchObject({ swapped: true, lost: [] })
    expect(live.snapshot.log.level).toBe('debug')
    expect(live.snapshot.providers.get('openai')!.apiKey).toBe('sk-test-other')
    expect(chain('default')).toEqual(['ollama/env-2'])
    expect(chain()).toEqual(['ollama/overlay', 'openai/gpt-5-mini'])
    await live.write(`${overlay}  default: ollama/written\nlog: { level: error }\n`, operator)
    expect(chain('default')).toEqual(['ollama/written'])
    expect(live.snapshot.log.level).toBe('error')
  })

  test('the process`s environment beats the env file, the command line beats everything', async () => {
    const { live } = await hold(`${base}server: { port: 5000 }\n`, {
      env: 'TURNOUT_LOG_LEVEL=warn\n',
      processEnv: { TURNOUT_LOG_LEVEL: 'error' },
      overrides: { port: 6000 },
    })
    expect(live.snapshot.log.level).toBe('error')
    expect(live.snapshot.server.port).toBe(6000)
    await live.write(`${base}server: { port: 7000 }\n`, operator)
    expect(live.snapshot.server.port).toBe(6000)
  })

  test('the default of the kind and of Turnout comes last', async () => {
    const { live } = await hold(base)
    expect(live.snapshot.log.level).toBe('info')
    expect(live.snapshot.server.port).toBe(4000)
  })
})

describe('C55 a swap', () => {
  test('makes a frozen snapshot with the next number, and leaves the old one as it was', async () => {
    const { live, write, swaps } = await hold(base)
    const before = live.snapshot
    write(base.replace('ollama/file', 'ollama/next'))
    expect(await live.reload()).toMatchObject({ swapped: true, version: before.version + 1 })
    expect(swaps).toEqual([live.snapshot])
    expect(Object.isFrozen(live.snapshot.routes.get('chat')!.targets)).toBe(true)
    expect(before.routes.get('chat')!.targets[0]!.id).toBe('ollama/file')
  })

  test('to the same content is none', async () => {
    const { live, write, swaps, store } = await hold(base)
    write(base)
    expect(await live.reload()).toMatchObject({ swapped: false })
    expect(await live.write(base, operator)).toMatchObject({ swapped: false })
    expect(await live.setPrimary('chat', 'ollama/file', { persist: true, actor: operator })).toMatchObject({
      swapped: false,
    })
    expect(swaps).toEqual([])
    expect(store.db.prepare('SELECT count(*) FROM config_version').pluck().get()).toBe(1)
  })

  test('to an equal document with other variables is one', async () => {
    const { live, envFile, swaps } = await hold(base)
    writeFileSync(envFile, 'KEY=sk-test-other\n')
    expect(await live.reload()).toMatchObject({ swapped: true, version: 2 })
    expect(swaps).toHaveLength(1)
  })

  test('that cannot be stored changes nothing', async () => {
    const memory = forgetfulMemory()
    const { live, swaps } = await hold(base, { memory })
    const before = live.snapshot
    memory.save = () => Promise.reject(new Error('The disk of the ledger is full.'))
    await expect(live.write(base.replace('5s', '6s'), operator)).rejects.toThrow('disk')
    expect(live.snapshot).toBe(before)
    expect(swaps).toEqual([])
    expect(live.state().stored).toEqual([])
  })

  test('that may not be served is refused like an invalid one', async () => {
    const { live } = await hold(base, {
      refuse: (snapshot) => (snapshot.routes.has('chat') ? undefined : 'The app needs its route.'),
    })
    await expect(live.write('providers: { ollama: }\nroutes: { other: ollama/x }\n', operator)).rejects.toThrow(
      ConfigError,
    )
    expect(chain()).toEqual(['ollama/file', 'openai/gpt-5-mini'])
    expect(paths('refused')).toEqual([
      { kind: 'refused', source: 'write', problems: [expect.stringContaining('needs its route')] },
    ])
  })

  test('based on another version is refused; of two writes at once the second is', async () => {
    const { live } = await hold(base)
    const version = live.snapshot.version
    const [first, second] = await Promise.allSettled([
      live.write(base.replace('5s', '6s'), operator, version),
      live.write(base.replace('5s', '7s'), operator, version),
    ])
    expect(first).toMatchObject({ status: 'fulfilled', value: { swapped: true, version: version + 1 } })
    expect((second as PromiseRejectedResult).reason).toBeInstanceOf(StaleVersion)
    expect((second as PromiseRejectedResult).reason.current).toBe(version + 1)
    expect(live.snapshot.routes.get('chat')!.commitAfter).toBe(6000)
  })

  test('names settings that take effect at the next start only', async () => {
    const { live } = await hold(base)
    const { warnings } = await live.write(`${base}server: { port: 9 }\ndataDir: /elsewhere\n`, operator)
    expect(warnings).toContain('server.port: takes effect at the next start')
    expect(warnings).toContain('dataDir: takes effect at the next start')
  })

  test('many at once end in the last, each with a number of its own', async () => {
    const { live, swaps } = await hold(base)
    const writes = Array.from({ length: 50 }, (_, index) => live.write(base.replace('5s', `${index + 10}s`), operator))
    const versions = (await Promise.all(writes)).map(({ version }) => version)
    expect(new Set(versions).size).toBe(50)
    expect(live.snapshot.routes.get('chat')!.commitAfter).toBe(59_000)
    expect(swaps.map(({ version }) => version)).toEqual(versions)
  })
})

describe('a restart', () => {
  test('with the same content keeps the number, with another takes the next', async () => {
    const { live, restart, write } = await hold(base)
    expect(live.snapshot.version).toBe(1)
    expect((await restart()).snapshot.version).toBe(1)
    write(base.replace('5s', '6s'))
    expect((await restart()).snapshot.version).toBe(2)
  })

  test('with a stored write that is valid no more serves the file, and says why', async () => {
    const processEnv: Record<string, string> = { MODEL: 'x' }
    const { live, restart } = await hold(base, { processEnv })
    await live.write(base.replace('ollama/file', '"ollama/${MODEL}"'), operator)
    expect(chain()[0]).toBe('ollama/x')
    delete processEnv.MODEL
    await restart()
    expect(chain()[0]).toBe('ollama/file')
    expect(paths('refused')).toEqual([
      {
        kind: 'refused',
        source: 'start',
        problems: [expect.stringContaining('environment variable MODEL is not set')],
      },
    ])
    expect(paths('lost')).toEqual([{ kind: 'lost', changes: ['routes.chat.targets'], why: 'invalid' }])
  })
})

describe('set primary', () => {
  const set = (model: string, route: string | undefined = 'chat', persist = false) =>
    holder!.live.setPrimary(route, model, { persist, actor: operator })

  test('puts the model first and keeps the others behind it; done twice it does not pile up', async () => {
    await hold(base)
    await set('openai/gpt-5-mini')
    expect(chain()).toEqual(['openai/gpt-5-mini', 'ollama/file'])
    await set('ollama/rehearsal')
    expect(chain()).toEqual(['ollama/rehearsal', 'ollama/file', 'openai/gpt-5-mini'])
    await set('ollama/file')
    expect(chain()).toEqual(['ollama/file', 'openai/gpt-5-mini'])
  })

  test('works on a route of one target, of a list, of a block, and on one that the environment describes', async () => {
    await hold(base, { env: 'TURNOUT_PRIMARY_MODEL=ollama/env\nTURNOUT_FALLBACK_MODEL_1=openai/gpt-5\n' })
    await set('ollama/new', 'small')
    expect(chain('small')).toEqual(['ollama/new', 'ollama/small'])
    await holder!.live.setPrimary(undefined, 'ollama/new', { persist: false, actor: operator })
    expect(chain('default')).toEqual(['ollama/new', 'ollama/env', 'openai/gpt-5'])
    await set('ollama/new')
    expect(holder!.live.snapshot.routes.get('chat')!.commitAfter).toBe(5000)
  })

  test('works on what directModels lets clients ask for, which acts like a route', async () => {
    await hold(`${base}directModels: true\n`)
    await set('ollama/new', 'gpt-5')
    await set('ollama/other', 'openai/gpt-5', true)
    expect(chain('gpt-5')).toEqual(['ollama/new', 'openai/gpt-5'])
    expect(chain('openai/gpt-5')).toEqual(['ollama/other', 'openai/gpt-5'])
    await set('ollama/newest', 'gpt-5')
    expect(chain('gpt-5')).toEqual(['ollama/newest', 'openai/gpt-5'])
    expect(chain()).toEqual(['ollama/file', 'openai/gpt-5-mini'])
    await holder!.restart()
    expect([...holder!.live.snapshot.routes.keys()]).toEqual(['chat', 'small', 'openai/gpt-5'])
    expect(chain('openai/gpt-5')).toEqual(['ollama/other', 'openai/gpt-5'])
    // Not where clients may not ask for it, nor on what would be a pattern.
    await expect(set('ollama/new', 'openai/gpt-*')).rejects.toThrow(PrimaryError)
    await expect(set('ollama/new', 'nobody/gpt-5')).rejects.toThrow("There is no route 'nobody/gpt-5'.")
    holder!.close()
    await hold(base)
    await expect(set('ollama/new', 'gpt-5')).rejects.toThrow("There is no route 'gpt-5'.")
  })

  test('works without a file, too', async () => {
    const env = { OPENAI_API_KEY: 'sk-test-openai-0123456789', OLLAMA_HOST: 'http://127.0.0.1:9' }
    await hold('', { read: () => ({ file: undefined, env, text: readText(undefined, env) }) })
    await set('ollama/new', 'gpt-5')
    expect(chain('gpt-5')).toEqual(['ollama/new', 'openai/gpt-5'])
    expect(holder!.live.snapshot.directModels).toBe(true)
  })

  test('leaves its canary to a route that the environment describes', async () => {
    const { restart } = await hold(base, {
      env: 'TURNOUT_PRIMARY_MODEL=ollama/env\nTURNOUT_CANARY_MODEL=openai/gpt-5\nTURNOUT_CANARY_PERCENT=20\n',
    })
    const canary = () => holder!.live.snapshot.routes.get('default')!.canary
    const before = canary()
    expect(before).toBeDefined()
    for (const persist of [false, true]) {
      await set('ollama/new', 'default', persist)
      expect(chain('default')).toEqual(['ollama/new', 'ollama/env'])
      expect(canary()).toEqual(before)
    }
    await restart()
    expect(canary()).toEqual(before)
  })

  test('keeps comments and variables of the document', async () => {
    const { live } = await hold(base)
    await set('ollama/new', 'chat', true)
    const { document } = live.state()
    expect(document).toContain('# the file')
    expect(document).toContain('# of the app')
    expect(live.memory.versions(1)[0]).toMatchObject({
      source: 'primary',
      actor: 'on-call',
      note: 'chat: ollama/new first',
    })
  })

  test('finds the provider of a name, and takes what nobody knows for a model of the current one', async () => {
    await hold(base)
    expect(await set('gpt-5')).toMatchObject({ ref: 'openai/gpt-5' })
    expect(await set('junk-99')).toMatchObject({
      swapped: true,
      ref: 'openai/junk-99',
      warnings: expect.arrayContaining([expect.stringContaining("nobody knows the model 'junk-99'")]),
    })
    expect(chain()).toEqual(['openai/junk-99', 'ollama/file', 'openai/gpt-5-mini'])
  })

  test('takes the id of a target', async () => {
    await hold(`${base}targets:\n  special: { provider: ollama, model: s }\n`)
    await set('special')
    expect(chain()[0]).toBe('special')
  })

  test.each([
    ['opnai/gpt-5', 'chat', 'unknown_provider', "Did you mean 'openai'?"],
    ['nobody/gpt-5', 'chat', 'unknown_provider', 'Configured: ollama, openai.'],
    ['openai/gpt-5', 'caht', 'unknown_route', "Did you mean 'chat'?"],
    ['with space', 'chat', 'invalid', 'without spaces'],
    ['openai/', 'chat', 'invalid', 'without spaces'],
    ['${KEY}', 'chat', 'invalid', 'without spaces'],
    ['route:small', 'chat', 'invalid', 'without spaces'],
  ])('refuses %s on %s', async (model, route, kind, message) => {
    const { live } = await hold(base)
    const before = live.snapshot
    const error = await set(model, route).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(PrimaryError)
    expect(error).toMatchObject({ kind, message: expect.stringContaining(message) })
    expect(live.snapshot).toBe(before)
  })
})

describe('roll back', () => {
  test('serves a stored version again, as a new version, and keeps it over a restart', async () => {
    const { live, restart } = await hold(base)
    await live.write(base.replace('ollama/file', 'ollama/two'), operator)
    await live.write(base.replace('ollama/file', 'ollama/three'), operator)
    expect(await live.rollback(2, operator)).toMatchObject({ swapped: true, version: 4 })
    expect(chain()[0]).toBe('ollama/two')
    await restart()
    expect(chain()[0]).toBe('ollama/two')
    await holder!.live.rollback(1, operator)
    expect(chain()[0]).toBe('ollama/file')
    expect(holder!.live.state().stored).toEqual([])
  })

  test('to a number that is none says so', async () => {
    const { live } = await hold(base)
    expect(await live.rollback(99, operator)).toBeUndefined()
  })

  test('to a version whose variables are gone is refused', async () => {
    const processEnv: Record<string, string> = { MODEL: 'x' }
    const { live } = await hold(base.replace('ollama/file', '"ollama/${MODEL}"'), { processEnv })
    await live.write(base, operator)
    delete processEnv.MODEL
    expect(await live.reload()).toMatchObject({ swapped: false })
    await expect(live.rollback(1, operator)).rejects.toThrow('environment variable MODEL is not set')
    expect(chain()[0]).toBe('ollama/file')
  })
})

describe('the one switch', () => {
  test('is on at once, survives swaps and restarts, and goes off', async () => {
    const { live, write, restart, swaps } = await hold(base)
    const before = live.snapshot
    await live.bypass(true, 'incident 7', operator)
    expect(swaps).toEqual([live.snapshot])
    expect(live.snapshot).toMatchObject({ bypass: true, version: before.version })
    expect(before.bypass).toBe(false)
    write(base.replace('5s', '6s'))
    await live.reload()
    expect(live.snapshot.bypass).toBe(true)
    const again = await restart()
    expect(again.snapshot.bypass).toBe(true)
    expect(again.state().bypass).toMatchObject({ reason: 'incident 7', actor: 'on-call' })
    await again.bypass(false, 'over', operator)
    expect(again.snapshot.bypass).toBe(false)
    expect((await restart()).snapshot.bypass).toBe(false)
  })

  test('holds although it cannot be stored, and that is told', async () => {
    const memory = forgetfulMemory()
    memory.saveBypass = () => Promise.reject(new Error('The disk of the ledger is full.'))
    const { live } = await hold(base, { memory })
    await live.bypass(true, 'incident 7', operator)
    expect(live.snapshot.bypass).toBe(true)
    expect(paths('unsaved')).toHaveLength(1)
  })
})
