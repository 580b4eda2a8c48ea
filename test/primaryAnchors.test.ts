// A new first target in a document whose routes share what they say by anchors: that route changes, and no other.
import { expect, it } from 'vitest'
import { withPrimaries } from '../src/config/primary.ts'
import { dataOf } from '../src/config/writtenDocument.ts'

const document = `# kept
routes:
  list: &list [a/1, b/1]
  same-list: *list
  block: &block
    targets: &targets [a/2, b/2]
    commitAfter: 5s
  merged: { <<: *block, commitAfter: 7s }
  same-block: *block
  targets-only: { targets: *targets, onContextWindow: *list }
  one: &one a/3
  same-one: *one
  twice: { targets: &own [a/4], onContentPolicy: *own }
  plain: [a/5, b/5]
`
type Routes = Record<string, unknown>
const routesOf = (text: string): Routes => (dataOf(text) as { routes: Routes }).routes
const before = routesOf(document)

it.each(Object.keys(before))('changes `%s` alone', (name) => {
  const text = withPrimaries(document, { [name]: 'c/new' }, () => [])
  const { [name]: changed, ...others } = routesOf(text)
  const { [name]: was, ...rest } = before
  expect(others).toEqual(rest)
  const chain = (route: unknown): unknown[] => [(route as { targets?: unknown }).targets ?? route].flat()
  expect(chain(changed)).toEqual(['c/new', ...chain(was)])
  if (!Array.isArray(was) && typeof was === 'object') expect(changed).toEqual({ ...was, targets: chain(changed) })
  expect(text).toContain('# kept')
})

it('changes several at once', () => {
  const wishes = Object.fromEntries(Object.keys(before).map((name) => [name, `c/${name}`]))
  const after = routesOf(withPrimaries(document, wishes, () => []))
  for (const [name, route] of Object.entries(after))
    expect([(route as { targets?: unknown }).targets ?? route].flat()[0]).toBe(`c/${name}`)
  expect(after['targets-only']).toMatchObject({ onContextWindow: ['a/1', 'b/1'] })
  expect(after.twice).toMatchObject({ onContentPolicy: ['a/4'] })
})
