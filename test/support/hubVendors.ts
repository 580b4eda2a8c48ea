// Anthropic and Gemini as upstreams of a test's gateway, and a check of what they were sent.
import { expect } from 'vitest'
import type { Call } from '../../src/simulator/call.ts'
import { complaints } from './openaiSchema.ts'
import { hasShared } from './shared.ts'
import { vendorValidators } from './vendorSchema.ts'

/** Providers that speak their own formats at `url`; the names are those of the kinds. */
export const vendorsAt = (url: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  anthropic: { kind: 'anthropic', baseUrl: url, apiKey: 'sk-ant-test-0123456789', ...more },
  gemini: { kind: 'gemini', baseUrl: url, apiKey: 'sk-gem-test-0123456789', ...more },
})

/** The bodies that the simulator kept, as values. */
// biome-ignore lint/suspicious/noExplicitAny: bodies are looked at as they come
export const bodiesOf = (calls: readonly Call[]): any[] => calls.map(({ body }) => JSON.parse(String(body)))

/** Holds every kept body to the published schema of the vendor that got it. Without the schemas nothing is checked. */
export function expectVendorBodies(calls: readonly Call[]): void {
  if (!hasShared) return
  const validators = vendorValidators()
  for (const { wire, body } of calls) {
    if (wire !== 'anthropic-messages' && wire !== 'gemini') continue
    const validate = validators[wire]
    expect(validate(JSON.parse(String(body))), `${wire}: ${complaints(validate)}`).toBe(true)
  }
}
