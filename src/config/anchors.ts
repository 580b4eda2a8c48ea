// Anchors of a YAML document, where one of the places that share a node is about to be changed.
import { type Alias, type Document, isNode, type Node, visit } from 'yaml'
import { resolver } from './aliases.ts'

type Anchored = Node & { anchor?: string }

/**
 * Lets a node be changed alone: what other places take from it by an alias moves, as it is, to the first of them. A change would else reach
 * them all, and without its anchor the document could not be written.
 */
export function detach(yaml: Document.Parsed, node: unknown): void {
  if (!isNode(node)) return
  const shared = new Set<Anchored>()
  visit(node, {
    Node(_, part) {
      if ((part as Anchored).anchor !== undefined) shared.add(part as Anchored)
    },
  })
  if (shared.size === 0) return
  // Before anything moves: an alias means the last anchor of its name that stands before it.
  const resolve = resolver(yaml)
  const aliases = new Map<Alias, Anchored>()
  visit(yaml, {
    Alias(_, alias) {
      const source = resolve(alias) as Anchored | undefined
      if (source && shared.has(source)) aliases.set(alias, source)
    },
  })
  const copies = new Map<Anchored, Node>([...aliases.values()].map((source) => [source, source.clone() as Node]))
  for (const source of copies.keys()) delete source.anchor
  visit(yaml, {
    Alias(_, alias) {
      const source = aliases.get(alias)
      const copy = source && copies.get(source)
      if (!copy) return undefined
      copies.delete(source)
      return copy
    },
  })
}
