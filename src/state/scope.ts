// Whom a limit or a budget counts for: picks the ones that concern a request, and names the entity that each counts by.

/** The names that a request goes by. `user` must be the installation's hash: it is what the ledger knows. */
export interface ScopeFacts {
  readonly key?: string | undefined
  readonly team?: string | undefined
  readonly route?: string | undefined
  readonly user?: string | undefined
  /** From `addressKey`. */
  readonly ip?: string | undefined
  readonly target?: string | undefined
}

export type Scope = keyof ScopeFacts

/** What limits and budgets have in common. */
export interface Scoped {
  readonly name: string
  /** Each combination of these counts by itself; none = all requests together. */
  readonly per: readonly Scope[]
  /** Only requests with these names. */
  readonly only: Readonly<Partial<Record<Scope, string>>>
}

/** A limit or budget that concerns a request, and the entity that it counts for. */
export interface Applied<Setting extends Scoped> {
  readonly setting: Setting
  /** `''` when it counts all together; names joined by a zero byte when it counts by several. */
  readonly entity: string
}

/**
 * Those of several lists that concern a request: the top-level ones, and those that its key, team and route bring along. One that counts
 * by a name which the request does not have (a user, say) does not concern it.
 */
export function findApplied<Setting extends Scoped>(
  lists: readonly (readonly Setting[] | undefined)[],
  facts: ScopeFacts,
): Applied<Setting>[] {
  const found: Applied<Setting>[] = []
  for (const list of lists) if (list !== undefined) addApplied(found, list, facts)
  return found
}

/** Those of one list: see `findApplied`. */
export function addApplied<Setting extends Scoped>(
  found: Applied<Setting>[],
  list: readonly Setting[],
  facts: ScopeFacts,
): void {
  // By index: lists of a snapshot are frozen, and V8 allocates a result for every step of an iterator over such an array.
  for (let i = 0; i < list.length; i++) {
    const setting = list[i]!
    if (!matchesOnly(setting, facts)) continue
    const entity = entityOf(setting.per, facts)
    if (entity !== undefined) found.push({ setting, entity })
  }
}

/** Whether the request has all the names that the setting is restricted to. */
export function matchesOnly({ only }: Scoped, facts: ScopeFacts): boolean {
  for (const scope in only) if (only[scope as Scope] !== facts[scope as Scope]) return false
  return true
}

/** Undefined when the request has no name of one of the scopes. */
export function entityOf(per: readonly Scope[], facts: ScopeFacts): string | undefined {
  if (per.length === 0) return ''
  if (per.length === 1) return nameOf(facts, per[0]!)
  let entity = ''
  for (const scope of per) {
    const name = nameOf(facts, scope)
    if (name === undefined) return undefined
    // No name may hold a zero byte, so that two combinations are never the same text.
    entity += entity === '' && scope === per[0] ? name : `\0${name}`
  }
  return entity
}

/** As `facts[scope]`, which a compiler of machine code can make nothing of where the scope is another one each time. */
function nameOf(facts: ScopeFacts, scope: Scope): string | undefined {
  switch (scope) {
    case 'key':
      return facts.key
    case 'route':
      return facts.route
    case 'ip':
      return facts.ip
    case 'team':
      return facts.team
    case 'user':
      return facts.user
    case 'target':
      return facts.target
  }
}

/** What error bodies call it: `key`, `key and route`, `everything`. */
export const scopeName = (per: readonly Scope[]): string => (per.length === 0 ? 'everything' : per.join(' and '))

/** An entity for people: its names with slashes between. */
export const entityName = (entity: string): string => entity.replaceAll('\0', '/')

/** What a setting counts by, for people: `key and route`; with names of its own and nothing to tell apart, what it is for: `route`. */
export const scopeOf = ({ per, only }: Pick<Scoped, 'per' | 'only'>): string =>
  scopeName(per.length > 0 ? per : (Object.keys(only) as Scope[]))
