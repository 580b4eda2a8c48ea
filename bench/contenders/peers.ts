// The contenders that are not Turnout: nothing in between, the Node limit, a known gateway, and nginx.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { start } from '../child.ts'
import { benchFolder, builtChild } from '../folders.ts'
import { dialectOf } from '../work.ts'
import { benchKey, type Contender } from './contender.ts'
import { writeRelayConfig } from './nginx.ts'
import { shippedFlags } from './turnout.ts'

const authorization = `Bearer ${benchKey}`
const samePath = (lane: string) => ({ path: `/${lane}/v1/chat/completions`, headers: { authorization } })

/** The client talks to the upstream: what the others are measured against. */
export const direct: Contender = {
  name: 'direct',
  title: 'client to upstream, nothing in between',
  start: async () => undefined,
  passes: 'all',
  target: (lane, upstream) => ({ ...samePath(lane), port: Number(new URL(upstream).port) }),
}

export const relay: Contender = {
  name: 'relay',
  title: 'node:http + undici, JSON parsed once each way, streams piped: the Node limit',
  start: ({ machine, port, upstreams }) =>
    start({
      name: 'relay',
      command: process.execPath,
      // With Turnout's flags: a young generation of 64 MB alone makes large bodies a seventh cheaper, and that is Node's doing.
      args: [...shippedFlags, builtChild('contenders/relay'), String(port), JSON.stringify(upstreams)],
      core: machine.gatewayCore,
      machine,
    }),
  passes: 'all',
  target: samePath,
}

export const portkey: Contender = {
  name: 'portkey',
  title: '@portkey-ai/gateway from npm, headless, custom host',
  start: ({ machine, port }) =>
    start({
      name: 'portkey',
      command: process.execPath,
      args: [
        join(benchFolder, 'node_modules/@portkey-ai/gateway/build/start-server.js'),
        '--headless',
        `--port=${port}`,
      ],
      core: machine.gatewayCore,
      machine,
      env: { ...process.env, NODE_ENV: 'production' },
    }),
  target: (lane, upstream) => ({
    path: '/v1/chat/completions',
    headers: {
      authorization,
      'x-portkey-provider': { openai: 'openai', anthropic: 'anthropic', gemini: 'google' }[dialectOf(lane)],
      'x-portkey-custom-host': `${upstream}/${lane}/v1`,
    },
  }),
}

export const nginx: Contender = {
  name: 'nginx',
  title: 'nginx as a plain relay, one process: what C does without looking inside',
  start: ({ machine, port, folder, upstreams }) => {
    const file = join(folder, 'nginx.conf')
    writeFileSync(file, writeRelayConfig(port, folder, upstreams))
    return start({
      name: 'nginx',
      command: 'nginx',
      args: ['-p', folder, '-c', file],
      core: machine.gatewayCore,
      machine,
    })
  },
  passes: 'all',
  target: samePath,
}
