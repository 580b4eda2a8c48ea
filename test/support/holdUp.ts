// A call that has the only slot of a limit, so that the next one has to wait for its turn.
import type { ControlGateway } from './control.ts'
import { type Sent, send } from './exchange.ts'

/** Sends a chat that its upstream leaves without an answer; later ones are answered. Destroying its request frees the slot. */
export async function holdUp(gateway: ControlGateway, headers: Record<string, string>): Promise<Sent> {
  const { simulator } = gateway
  simulator.reset()
  simulator.script('sim-text', { fault: { kind: 'stall' } })
  const body = { model: 'chat', messages: [{ role: 'user', content: 'Hello' }] }
  const first = send('POST', `${gateway.url}/v1/chat/completions`, body, headers)
  await simulator.waitFor(({ model }) => model === 'sim-text')
  simulator.script('sim-text', undefined)
  return first
}
