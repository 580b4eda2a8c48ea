// `turnout rollout` as a real process: making one, moving it with keys and revisions, going back, and what is read of it.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { keys } from './support/control.ts'
import { findQuietPort } from './support/quietPort.ts'
import { armOf, calm, type RolloutGateway, startRollout } from './support/rolloutLoad.ts'
import { type Ran, runTurnout, said, startTurnout } from './support/turnoutProcess.ts'

let gateway: RolloutGateway
beforeAll(async () => {
  gateway = await startRollout(
    `    assign: { unit: request }\n${calm}    budget: { exposedUnits: 1000 }\n    steps: [ { setWeight: 50 }, { pause: { duration: 1h } }, { setWeight: 80 }, { pause: { duration: 1h } } ]\n`,
  )
}, 300_000)
afterAll(() => gateway?.close())

const rollout = (...args: string[]): Promise<Ran> =>
  runTurnout(['rollout', ...args], {
    cwd: gateway.folder,
    env: { TURNOUT_URL: gateway.url, TURNOUT_MASTER_KEY: keys.admin },
  })
const done = async (...args: string[]): Promise<string> => {
  const { code, out, err } = await rollout(...args)
  expect(code, `${args.join(' ')}: ${err}`).toBe(0)
  return out
}

it('create makes a draft of a file', async () => {
  const file = join(gateway.folder, 'two.yaml')
  writeFileSync(file, 'route: single\ncanary: sim/sim-fast\nsteps:\n  - setWeight: 5\n  - pause: { approval: true }\n')
  expect(await done('create', 'two', '--from', file, '--reason', 'to be tried')).toBe('two: draft at 0 %\n')
  const wrong = await rollout('create', 'three', '--from', join(gateway.folder, 'nowhere.yaml'))
  expect([wrong.code, wrong.out]).toEqual([1, ''])
}, 300_000)

it.each(['[{ setWeight: 5 }]', '[{ setWeight: 5 }, { pause: { duration: 1h } }, { setWeight: 50 }]'])(
  'steps that end with a part would give the canary everything in the same moment, and are refused: %s',
  async (steps) => {
    const file = join(gateway.folder, 'rash.yaml')
    writeFileSync(file, `route: single\ncanary: sim/sim-fast\nsteps: ${steps}\n`)
    const { code, err } = await rollout('create', 'rash', '--from', file)
    expect([code, err]).toEqual([1, expect.stringMatching(/steps\[[02]\].* put a `pause` after it, or set 100/)])
  },
  300_000,
)

it.each([
  ['[{ setWeight: 0 }, { pause: { duration: 1h } }, { setWeight: 100 }]', 1],
  ['[{ setWeight: 5 }, { pause: {} }, { setWeight: 0 }, { pause: { approval: true, minRequests: 1 } }]', 3],
  ['[{ setWeight: 0 }, { pause: { approval: true, advance: non_inferior } }]', 1],
])(
  'a pause at weight 0 that nothing could end is refused: %s',
  async (steps, at) => {
    const file = join(gateway.folder, 'never.yaml')
    writeFileSync(file, `route: single\ncanary: sim/sim-fast\nsteps: ${steps}\n`)
    const { code, err } = await rollout('create', 'never', '--from', file)
    expect([code, err]).toEqual([1, expect.stringContaining(`steps[${at}]`)])
    expect(err).toContain('at weight 0 the canary gets no requests')
    writeFileSync(
      file,
      steps
        .replace(/(.*)pause: {.*?}/, '$1pause: { approval: true, duration: 1h }')
        .replace(/^/, 'route: single\ncanary: sim/sim-fast\nsteps: '),
    )
    expect((await rollout('create', `later-${at}-${steps.length}`, '--from', file)).code).toBe(0)
  },
  300_000,
)

it('a pause that waits for harm to be ruled out is refused where no guard says what harm is', async () => {
  const file = join(gateway.folder, 'unruled.yaml')
  const write = (guards: string): void =>
    writeFileSync(
      file,
      `route: single\ncanary: sim/sim-fast\nsteps: [{ setWeight: 5 }, { pause: { advance: non_inferior } }]\n${guards}`,
    )
  write('guards: { abort: [{ metric: first_attempt_error, maxRatio: 1.25 }, { metric: ttft }] }\n')
  const { code, err } = await rollout('create', 'unruled', '--from', file)
  expect([code, err]).toEqual([1, expect.stringMatching(/steps\[1\].* no guard has a `harmRatio`/)])
  write('guards: { abort: [{ metric: first_attempt_error, maxRatio: 1.25, harmRatio: 2 }, { metric: ttft }] }\n')
  expect((await rollout('create', 'unruled', '--from', file)).code).toBe(0)
  write('')
  expect((await rollout('create', 'unruled-by-default', '--from', file)).code).toBe(0)
}, 300_000)

it('what no guard looks at cannot be watched in a dry run, and is refused there', async () => {
  const file = join(gateway.folder, 'dry.yaml')
  const write = (guards: string): void =>
    writeFileSync(file, `route: single\ncanary: sim/sim-fast\nsteps: [{ setWeight: 100 }]\nguards: ${guards}\n`)
  write('{ dryRun: [refused, cost] }')
  const { code, err } = await rollout('create', 'dry', '--from', file)
  expect([code, err]).toEqual([1, expect.stringMatching(/dryRun\[1\].* no guard looks at cost/)])
  write('{ abort: [{ metric: cost, maxRatio: 2 }], dryRun: [cost] }')
  expect((await rollout('create', 'dry', '--from', file)).code).toBe(0)
}, 300_000)

it('verbs act once for a key, and only at the revision that is named', async () => {
  const stale = await rollout('start', 'move', '--if-revision', '7')
  expect([stale.code, stale.err]).toEqual([1, expect.stringContaining("'move' is at revision 1 now")])
  expect(await done('start', 'move', '--if-revision', '1', '--idempotency-key', 'k')).toBe('move: stepping at 50 %\n')
  expect(await done('start', 'move', '--idempotency-key', 'k')).toBe('move: stepping at 50 %\n')
  const other = await rollout('pause', 'move', '--idempotency-key', 'k')
  expect([other.code, other.err]).toEqual([1, expect.stringContaining('stood for another command')])
}, 300_000)

it('requests, evidence and report show what has come of it; undo goes back to a revision', async () => {
  const replies = await gateway.drive((all) => all.length >= 20)
  const canaries = replies.filter((reply) => armOf(reply) === 'canary').length
  const listed = await done('requests', 'move', '--arm', 'canary', '--limit', '5')
  expect(listed).toMatch(
    /^request +at +arm +served +by +outcome +first attempt +ms +bad for\nreq_\w+ +20\S+ +canary +canary +hash +ok +ok /,
  )
  expect(listed.split('\n').filter((line) => line.startsWith('req_'))).toHaveLength(5)
  const [, cursor] = /\nmore: --cursor (\S+)\n$/.exec(listed)!
  const rest = await done('requests', 'move', '--arm', 'canary', '--cursor', cursor!)
  expect(rest.split('\n').filter((line) => line.startsWith('req_'))).toHaveLength(canaries - 5)
  expect(await done('evidence', 'move')).toMatch(
    /^decided: \d+ stable, \d+ canary; .*\n +safe .* harm .*\nlate_error +\|/,
  )
  expect(await done('get', 'move')).toContain(`\nbudget: ${canaries} of 1000 units\n`)
  await done('promote', 'move')
  expect(await done('undo', 'move', '--to-revision', '2')).toBe('move: paused at 50 %\n')
  const report = await done('report', 'move')
  expect(report).toMatch(/^# Rollout move\n\nNothing is decided yet: it stands at 50 %/)
  expect(report).toContain('| 3 | ')
  expect(report).toContain('| admin | undo | paused | 50 % |')
  expect(await done('explain', 'two')).toContain('Created at ')
}, 300_000)

it('status tells scripts by its exit code, and says by one of its own that it could not tell', async () => {
  expect((await rollout('status', 'two')).code).toBe(3)
  for (const args of [['nowhere'], ['two', '--url', 'http://127.0.0.1:1']]) {
    const { code, out, err } = await rollout('status', ...args)
    expect([code, out, err]).toEqual([4, '', expect.stringMatching(/no rollout 'nowhere'|cannot be reached/)])
  }
}, 300_000)

it('status with a time, and who watches, wait for a gateway that restarts', async () => {
  const port = await findQuietPort()
  writeFileSync(
    gateway.file,
    readFileSync(gateway.file, 'utf8').replace(/server: \{ port: \d+ \}/, `server: { port: ${port} }`),
  )
  await gateway.restart()
  const start = (...args: string[]): ChildProcess =>
    startTurnout(['rollout', ...args], {
      cwd: gateway.folder,
      env: { TURNOUT_URL: gateway.url, TURNOUT_MASTER_KEY: keys.admin },
    })
  const watch = start('get', 'move', '--watch')
  await said(watch, 'stdout', /^move {3}50 %/)
  await gateway.running.stop()
  // Somebody has to be there to see that it was asked.
  const calls: Socket[] = []
  const door = createServer((socket) => void calls.push(socket.on('error', () => {})))
  await once(door.listen(port, '127.0.0.1'), 'listening')
  const answered = said(watch, 'stdout', /^move {3}50 %/)
  const told = said(watch, 'stderr', /cannot be reached/)
  const status = start('status', 'two', '--timeout', '200')
  const ended = once(status, 'exit')
  await expect.poll(() => calls.length, { timeout: 60_000 }).toBeGreaterThan(1)
  for (const call of calls) call.destroy()
  await told
  const over = once(door, 'close')
  door.close()
  for (const call of calls) call.destroy()
  await over
  await gateway.restart(true)
  await answered
  watch.kill()
  await done('start', 'two')
  expect(await ended).toEqual([2, null])
}, 300_000)

it('a share too near to none or to all to be kept is refused: it would be that', async () => {
  const { code, err } = await rollout('set-weight', 'move', '0.00004')
  expect([code, err]).toEqual([1, expect.stringContaining('the smallest percentage above 0 is 0.0001')])
  const most = await rollout('set-weight', 'move', '99.99996')
  expect([most.code, most.err]).toEqual([1, expect.stringContaining('the greatest percentage below 100 is 99.9999')])
}, 300_000)

it("a reason breaks no line of a table, and moves nobody's cursor", async () => {
  await done('abort', 'two', '--reason', 'up\u001b[2J\nand\u009b2J away')
  expect(await done('events', 'two')).toMatch(/ abort .* up \[2J and 2J away\n$/)
  // As JSON it is what was written, and still no order to the terminal.
  const json = await done('events', 'two', '--json')
  expect(json).not.toMatch(/(?!\n)\p{Cc}/u)
  expect(JSON.parse(json).data.at(-1).reason).toBe('up\u001b[2J\nand\u009b2J away')
}, 300_000)

it('models tells where a rollout sends a route, and nothing where it sends nothing', async () => {
  const models = async (): Promise<string> => {
    const env = { TURNOUT_URL: gateway.url, TURNOUT_MASTER_KEY: keys.admin }
    return (await runTurnout(['models'], { cwd: gateway.folder, env })).out
  }
  const moved = /^\S+: (\d+) % go to \S+ first \(rollout move\)$/m
  expect(moved.exec(await models())?.[1]).toBe('50')
  await done('abort', 'move')
  expect(await models()).not.toMatch(moved)
}, 300_000)

it.each([
  ['get', '--watch', 0],
  ['status', '--timeout=200', 1],
] as const)(
  '%s %s by the name of a route sees the end of what moved it',
  async (command, flag, code) => {
    let asked = 0
    const door = createServer((socket) => {
      asked++
      const way = connect(Number(new URL(gateway.url).port), '127.0.0.1')
      socket.on('error', () => way.destroy()).pipe(way)
      way.on('error', () => socket.destroy()).pipe(socket)
    })
    await once(door.listen(0, '127.0.0.1'), 'listening')
    await done('retry', 'move')
    const looking = startTurnout(['rollout', command, 'moved', flag], {
      cwd: gateway.folder,
      env: { TURNOUT_URL: `http://127.0.0.1:${(door.address() as AddressInfo).port}`, TURNOUT_MASTER_KEY: keys.admin },
    })
    const ended = once(looking, 'exit')
    const last = said(looking, 'stdout', /^move.* rolled_back/m)
    await expect.poll(() => asked, { timeout: 60_000 }).toBeGreaterThan(1)
    await done('abort', 'move')
    await last
    expect(await ended).toEqual([code, null])
    door.close()
  },
  300_000,
)
