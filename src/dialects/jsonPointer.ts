// Follows a reference within a JSON document.
import { asObject } from './field.ts'

/** The value that `#/…` points to (JSON Pointer, RFC 6901); undefined for what leads nowhere, or out of the document. */
export function resolvePointer(root: unknown, ref: string): unknown {
  if (ref === '#') return root
  if (!ref.startsWith('#/')) return undefined
  let at: unknown = root
  for (const step of ref.slice(2).split('/')) {
    const name = decoded(step)?.replaceAll('~1', '/').replaceAll('~0', '~')
    // A long way on from nowhere is not walked.
    if (name === undefined || at === undefined) return undefined
    if (Array.isArray(at)) at = at[Number(name)]
    else {
      const object = asObject(at)
      at = object && Object.hasOwn(object, name) ? object[name] : undefined
    }
  }
  return at
}

/** Undefined for what no encoder has written. */
function decoded(step: string): string | undefined {
  try {
    return decodeURIComponent(step)
  } catch {
    return undefined
  }
}
