// What the aliases of a YAML document stand for, found in one walk: the parser's own search goes through all of it for each.
import { type Document, isAlias, isNode, visit } from 'yaml'

/** The node of an alias; anything else as it is. Undefined for an alias of nothing. */
export type Resolve = (node: unknown) => unknown

export function resolver(yaml: Document): Resolve {
  const anchors = new Map<string, unknown>()
  const targets = new Map<unknown, unknown>()
  visit(yaml, {
    Node: (_, node) => {
      // The last anchor of that name before the alias counts.
      if (isAlias(node)) targets.set(node, anchors.get(node.source))
      else if (isNode(node) && node.anchor !== undefined) anchors.set(node.anchor, node)
    },
  })
  return (node) => (isAlias(node) ? targets.get(node) : node)
}
