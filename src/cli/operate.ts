// `turnout models`, `swap`, `health`, `bypass`: what operators do to a running gateway.
import { Argument, type Command } from 'commander'
import { addServerOptions, askServer, findServer, type ServerFlags } from './adminClient.ts'
import { print, renderTable, toJsonLine } from './output.ts'

interface Chain {
  route: string
  primary_model: string
  primary_healthy: boolean
  fallback_models: { model: string; healthy: boolean }[]
  /** What runs, then what was completed. */
  rollouts: { name: string; canary: string; percent: number }[]
}

interface TargetHealth {
  id: string
  is_healthy: boolean
  breaker: { state: string; until: string | null; reason: string | null; consecutive_faults: number }
  last_fault: { kind: string; at: string } | null
  latency: { calls: number; mean_ms: number } | null
}

/** Adds the four commands. Exit code 1 when the gateway cannot be reached or says no. */
export function addOperateCommands(program: Command): void {
  addServerOptions(program.command('models').description('show which models serve which routes')).action(
    async (flags: ServerFlags) => {
      const answer = await askServer<Chains>(findServer(flags), 'GET', '/models/config')
      await print(flags.json ? toJsonLine(answer) : renderChains(answer))
    },
  )

  addServerOptions(
    program
      .command('swap')
      .description('put a model first in a route; what was first comes next')
      .argument('<route>', 'the route')
      .argument('<model>', '`provider/model`, the id of a target, or a well-known name')
      .option('--persist', 'for good: until the file changes, in place of until the next restart'),
  ).action(async (route: string, model: string, flags: ServerFlags & { persist?: boolean }) => {
    const body = { route, model_id: model, update_env: flags.persist ?? false }
    const answer = await askServer<Swapped>(findServer(flags), 'POST', '/models/set-primary', body)
    await print(flags.json ? toJsonLine(answer) : renderSwap(answer))
  })

  addServerOptions(program.command('health').description('show how every target is')).action(
    async (flags: ServerFlags) => {
      const answer = await askServer<Health>(findServer(flags), 'GET', '/models/health')
      await print(flags.json ? toJsonLine(answer) : renderHealth(answer))
    },
  )

  addServerOptions(
    program
      .command('bypass')
      .description('send every route straight to its first target, without fallback, policy, cache or rollout')
      .addArgument(new Argument('<state>', 'whether it is to be on').choices(['on', 'off']))
      .option('--reason <text>', 'why, for the audit trail and whoever looks next', 'by command line'),
  ).action(async (state: 'on' | 'off', flags: ServerFlags & { reason: string }) => {
    const body = { on: state === 'on', reason: flags.reason }
    const answer = await askServer<{ on: boolean }>(findServer(flags), 'POST', '/bypass', body)
    await print(flags.json ? toJsonLine(answer) : `bypass is ${answer.on ? 'on' : 'off'}\n`)
  })
}

interface Chains {
  routes: Chain[]
  bypass: boolean
}

function renderChains({ routes, bypass }: Chains): string {
  const shown = (model: string, healthy: boolean): string => (healthy ? model : `${model} (unhealthy)`)
  const rows = routes.map(({ route, primary_model, primary_healthy, fallback_models }) => [
    route,
    shown(primary_model, primary_healthy),
    fallback_models.map(({ model, healthy }) => shown(model, healthy)).join(', ') || '-',
  ])
  const moved = routes.flatMap(({ route, rollouts }) =>
    rollouts.map(({ name, canary, percent }, at) => {
      const share = at === 0 ? `${percent} %` : 'the others'
      return `${route}: ${share} go to ${canary} first (rollout ${name})\n`
    }),
  )
  return `${renderTable(['route', 'first', 'then'], rows)}${moved.join('')}${bypass ? 'bypass is on: only the first is asked\n' : ''}`
}

interface Swapped {
  route: string
  primary_model: string
  fallback_models: string[]
  swapped: boolean
  stored: boolean
  warnings: string[]
}

function renderSwap({ route, primary_model, fallback_models, swapped, stored, warnings }: Swapped): string {
  const lasting = stored ? 'until the file changes' : 'until the next restart'
  // What was first until the next restart, and is stored now, serves as before and is not as it was.
  const what =
    swapped || stored
      ? `${route}: ${[primary_model, ...fallback_models].join(', ')} (${lasting})`
      : `${route}: as it was`
  return `${[what, ...warnings.map((warning) => `warning: ${warning}`)].join('\n')}\n`
}

interface Health {
  data: TargetHealth[]
  bypass: boolean
}

function renderHealth({ data, bypass }: Health): string {
  const rows = data.map(({ id, breaker, last_fault, latency }) => [
    id,
    breaker.state,
    breaker.until ?? '-',
    breaker.reason ?? '-',
    last_fault ? `${last_fault.kind} ${last_fault.at}` : '-',
    latency ? `${latency.mean_ms} ms of ${latency.calls}` : '-',
  ])
  const table = renderTable(['target', 'breaker', 'until', 'reason', 'last fault', 'latency'], rows)
  return `${table}${bypass ? 'bypass is on\n' : ''}`
}
