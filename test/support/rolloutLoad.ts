// Traffic for rollouts: a whole gateway with a stable and a canary model, and clients that ask until something has happened.
import { LoadClient, type Reply } from '../soak/load.ts'
import { type ControlGateway, document, keys, startControl } from './control.ts'

export interface RolloutGateway extends ControlGateway {
  /** Says how the models answer: `stable`, `canary`, or any. */
  script(model: string, script: object): void
  /** Clients that ask without pause until `over` says so. */
  drive(over: (replies: readonly Reply[]) => boolean, more?: Drive): Promise<Reply[]>
  // biome-ignore lint/suspicious/noExplicitAny: tests look into replies freely
  get(path: string): Promise<any>
  // biome-ignore lint/suspicious/noExplicitAny: the same
  verb(verb: string, body?: object): Promise<any>
}

export interface Drive {
  readonly clients?: number
  readonly stream?: boolean
  /** Milliseconds after which it has failed. */
  readonly patience?: number
  /** Headers of the n-th request. */
  readonly headers?: (n: number) => Record<string, string>
}

/** Guards that find nothing where no reply breaks off: by chance, two equal arms are aborted once in a while. */
export const calm = '    guards: { abort: [ { metric: late_error } ] }\n'

/**
 * Draws that fill [0, 1) evenly from the first on (multiples of the golden ratio): arms get their shares, and neither a check of these nor a
 * test that waits for both arms ever meets a run of luck.
 */
function evenly(): () => number {
  let at = 0.5
  return () => {
    at = (at + 0.6180339887498949) % 1
    return at
  }
}

export interface RolloutScene {
  /** YAML of further providers, indented by two. */
  readonly providers?: string
  /** YAML of further targets, indented by two. */
  readonly targets?: string
  /** What gets the traffic; `other/canary` unless given. */
  readonly canary?: string
  /** YAML of the route beside its target, in flow style. */
  readonly route?: string
  /** Calls to one target in all; one unless given. */
  readonly attempts?: number
  /** Keep the bodies that the vendors get. */
  readonly keepBodies?: boolean
  /** Draws in place of even ones. */
  readonly random?: () => number
}

/** @param rollout YAML of the rollout `move`, indented by four; the route is `moved` */
export async function startRollout(rollout: string, more = '', scene: RolloutScene = {}): Promise<RolloutGateway> {
  const {
    providers = '',
    targets = '',
    canary = 'other/canary',
    route = '',
    attempts = 1,
    keepBodies = false,
    random = evenly(),
  } = scene
  const routes = `  moved: { targets: [sim/stable], retries: { attempts: ${attempts} }${route} }\n`
  const text = document(`rollouts:\n  move:\n    route: moved\n    canary: ${canary}\n${rollout}${more}`)
    .replace('providers:\n', `providers:\n${providers}`)
    .replace('targets:\n', `targets:\n${targets}`)
    .replace('routes:\n', `routes:\n${routes}`)
    .replace('server: { port: 0 }', 'server: { port: 0 }\nbreaker: { openFor: 1s }')
  const gateway = await startControl({ text, simulator: { keepBodies }, random })
  gateway.simulator.script('stable', { tokens: 5 })
  gateway.simulator.script('canary', { tokens: 5 })
  const ask = async (method: string, path: string, body?: object): Promise<unknown> => {
    const reply = await gateway.ask(method, path, body, 'admin')
    if (reply.status !== 200) throw new Error(`${method} ${path}: ${reply.text}`)
    return reply.body
  }
  // Its getters have to stay getters: a restart changes them.
  return Object.assign(Object.create(gateway) as ControlGateway, {
    script: (model: string, script: object) => gateway.simulator.script(model, script),
    get: (path: string) => ask('GET', path),
    verb: (verb: string, body: object = {}) => ask('POST', `/rollouts/move/${verb}`, { reason: 'test', ...body }),
    drive: (over: (replies: readonly Reply[]) => boolean, how: Drive = {}) => drive(gateway.url, over, how),
  })
}

async function drive(url: string, over: (replies: readonly Reply[]) => boolean, how: Drive): Promise<Reply[]> {
  const { clients = 8, stream = false, patience = 150_000, headers } = how
  const replies: Reply[] = []
  const end = Date.now() + patience
  let sent = 0
  let failed = false
  await Promise.all(
    Array.from({ length: clients }, async () => {
      const client = new LoadClient(url)
      while (!over(replies)) {
        if (Date.now() > end) {
          failed = true
          break
        }
        const n = sent++
        const body = { model: 'moved', stream, messages: [{ role: 'user', content: `How do you do, number ${n}?` }] }
        replies.push(await client.ask(body, { headers: { authorization: `Bearer ${keys.app}`, ...headers?.(n) } }))
      }
      client.close()
    }),
  )
  if (failed) throw new Error(`nothing came of ${replies.length} requests in ${patience} ms`)
  return replies
}

/** Which arm a reply names. */
export const armOf = ({ headers }: Reply): string | undefined =>
  /arm=(\w+)/.exec(String(headers['x-turnout-rollout'] ?? ''))?.[1]
