// The stage of a run: upstreams up, files written, contenders started and asked once.
import { mkdirSync, writeFileSync } from 'node:fs'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { type Child, start } from './child.ts'
import type { Contender, Grounds, Running } from './contenders/contender.ts'
import { nginxLanes, writeUpstreamConfig } from './contenders/nginx.ts'
import { answersToHit } from './contenders/path.ts'
import { builtChild, makeFolder } from './folders.ts'
import type { Machine } from './machine.ts'
import { isOpenAi, readWords, steady } from './wire.ts'
import { type Lane, lanes, slowWork, type Work, works } from './work.ts'

export interface Stage {
  readonly machine: Machine
  readonly upstreams: Readonly<Record<Lane, string>>
  /** Who answers: for the report. */
  readonly upstreamNames: string
  /** Process groups of the upstreams. */
  readonly upstreamGroups: readonly number[]
  readonly folder: string
  readonly children: Child[]
  readonly patience: Patience
}

/** What may be spent on a machine that others use too: a busy one must not make a run endless. */
export interface Patience {
  /** Seconds left, for measuring again. */
  seconds: number
}

/** A port that was free a moment ago on loopback. */
export const findPort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

export const bodyFile = (stage: Stage, work: Work): string => join(stage.folder, `${work.name}.body`)
/** Where the bytes lie that this contender answers a work with, once `checkWork` has seen them. */
export const replyFile = (stage: Stage, contender: Contender, work: Work): string =>
  join(stage.folder, `${work.name}.${contender.name}.reply`)

/** Starts the upstreams on the load's core and writes the bodies. */
export const openStage = async (machine: Machine, patience: Patience): Promise<Stage> => {
  const folder = makeFolder('stage')
  const nodePort = await findPort()
  const children = [
    await start({
      name: 'upstream',
      command: process.execPath,
      args: [builtChild('upstream'), String(nodePort)],
      core: machine.loadCore,
      machine,
    }),
  ]
  const node = `http://127.0.0.1:${nodePort}`
  let small = node
  if (machine.nginx) {
    const port = await findPort()
    const file = join(folder, 'upstream.conf')
    writeFileSync(file, writeUpstreamConfig(port, folder))
    const args = ['-p', folder, '-c', file]
    children.push(await start({ name: 'nginx upstream', command: 'nginx', args, core: machine.loadCore, machine }))
    small = `http://127.0.0.1:${port}`
  }
  const upstreams = Object.fromEntries(lanes.map((lane) => [lane, nginxLanes.includes(lane) ? small : node])) as Record<
    Lane,
    string
  >
  const stage: Stage = {
    machine,
    upstreams,
    upstreamNames: machine.nginx ? 'nginx for small JSON, node for the rest' : 'node',
    upstreamGroups: children.map(({ pid }) => pid),
    folder,
    children,
    patience,
  }
  for (const work of [...works, slowWork]) writeFileSync(bodyFile(stage, work), work.body)
  const seen = async (work: Work, port: number) =>
    ask(port, { path: `/${work.lane}/v1/chat/completions`, headers: {} }, work)
  await waitFor(() => seen(works[0]!, Number(new URL(small).port)), children.at(-1)!, 'upstream')
  await waitFor(() => seen(works[0]!, nodePort), children[0]!, 'upstream')
  return stage
}

export const closeStage = async (stage: Stage): Promise<void> => {
  await Promise.all(stage.children.map((child) => child.stop()))
}

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}

/** One request from this process. Rejects when there is no answer. */
const ask = (port: number, target: { path: string; headers: Record<string, string> }, work: Work): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': work.body.length, ...target.headers }
    const options = {
      port,
      host: '127.0.0.1',
      path: target.path,
      method: 'POST',
      headers,
      agent: false,
      timeout: 10_000,
    }
    const request = httpRequest(options, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('error', reject)
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) })
      })
    })
    request.on('timeout', () => request.destroy(new Error('no answer within 10 s')))
    request.on('error', reject)
    request.end(work.body)
  })

/** Repeats until it answers 200. Throws after 15 s, or at once when the child is gone, with what it last wrote. */
const waitFor = async (question: () => Promise<Answer>, child: Child, name: string): Promise<void> => {
  const end = performance.now() + 15_000
  let last = ''
  while (performance.now() < end && child.process.exitCode === null) {
    try {
      const { status, body } = await question()
      if (status === 200) return
      last = `status ${status}: ${body.toString().slice(0, 300)}`
    } catch (error) {
      last = (error as Error).message
    }
    await new Promise((resolve) => setTimeout(resolve, 4))
  }
  throw new Error(`${name} does not answer (${last})\n${child.tail()}`)
}

/** Where a client of this contender puts a work. */
export const targetOf = (running: Running, lane: Lane) => {
  const target = running.contender.target(lane, running.grounds.upstreams[lane])
  return { path: target.path, headers: target.headers, port: target.port ?? running.grounds.port }
}

let started = 0

/** A fresh folder and a free port for a process of a contender of this name. */
export const makeGrounds = async (stage: Stage, name: string): Promise<Grounds> => {
  const folder = makeFolder(`${name}-${++started}`)
  mkdirSync(join(folder, 'data'), { recursive: true })
  return { machine: stage.machine, upstreams: stage.upstreams, folder, port: await findPort() }
}

/** Starts a contender; `startMs` is the time from the start of its process to its first right answer. */
export const startContender = async (
  stage: Stage,
  contender: Contender,
): Promise<{ running: Running; startMs: number }> => {
  const grounds = await makeGrounds(stage, contender.name)
  const begun = performance.now()
  const child = await contender.start(grounds)
  const running = { contender, grounds, child }
  if (!child) return { running, startMs: 0 }
  stage.children.push(child)
  await waitForAnswer(running)
  return { running, startMs: performance.now() - begun }
}

/** Until a started contender answers. */
export const waitForAnswer = async (running: Running): Promise<void> => {
  const work = works[0]!
  const { port, ...target } = targetOf(running, work.lane)
  await waitFor(() => ask(port, target, work), running.child!, running.contender.name)
}

/** Whether a contender takes part in a work: only those that translate do so in the hub's, only those that cache in the cache's. */
export const takesPart = (contender: Contender, work: Work): boolean =>
  work.contenders?.includes(contender.name) ?? true

/**
 * Asks a work twice (the cache's once more) and keeps the reply as what to expect. Throws when the words are wrong, when the bytes are not stable, or not the
 * upstream's where they have to be, and when the request took another way than the work is about.
 */
export const checkWork = async (stage: Stage, running: Running, work: Work): Promise<void> => {
  const { contender } = running
  const { port, ...target } = targetOf(running, work.lane)
  const answers: Answer[] = []
  // One after the other, since the second may come from a cache; streams take too long for that.
  if (work.stream) answers.push(...(await Promise.all([ask(port, target, work), ask(port, target, work)])))
  else while (answers.length < (work.lane === 'cached' ? answersToHit : 2)) answers.push(await ask(port, target, work))
  const fault = findFault(contender, work, answers)
  if (fault) throw new Error(`${contender.name}, ${work.name}: ${fault}`)
  writeFileSync(replyFile(stage, contender, work), answers[0]!.body)
}

const findFault = (contender: Contender, work: Work, answers: readonly Answer[]): string | undefined => {
  const first = answers[0]!
  for (const { status, body } of answers) {
    if (status !== 200) return `status ${status}: ${body.toString().slice(0, 300)}`
    if (readWords(body, work.stream) !== readWords(work.reply, work.stream))
      return `other words than the upstream's: ${body.toString().slice(-300)}`
    const isTranslated = work.hub !== undefined && contender.passes !== 'all'
    if (isTranslated && !isOpenAi(body, work.stream)) return `not in OpenAI's dialect: ${body.toString().slice(-300)}`
    const isPassed = contender.passes !== undefined && !isTranslated
    // What was cached has an id of the gateway's making.
    if (isPassed && !(work.varies ? steady(body) === steady(work.reply) : body.equals(work.reply)))
      return `other bytes than the upstream's: ${body.toString().slice(-300)}`
    if (work.varies ? steady(body) !== steady(first.body) : !body.equals(first.body))
      return 'two replies differ in their bytes'
  }
  const headers = answers.map((answer) => answer.headers)
  const detour = contender.detour?.(work, headers)
  return detour && `another way than the work's: ${detour}`
}
