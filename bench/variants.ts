// What `bench:features` compares: pairs of gateways that differ by one thing.
import { join, resolve } from 'node:path'
import { extras, type Feature, features } from './contenders/features.ts'
import { makeCopy, makeUncounted } from './contenders/uncounted.ts'

export interface Variant {
  readonly name: string
  readonly title: string
  readonly with: readonly Feature[]
  readonly without: readonly Feature[]
  /** Makes that of the side without, where it is another one. */
  readonly build?: () => string
}

/** Everything, against the same of another checkout. */
export const sinceThen = (checkout: string): Variant => ({
  name: 'build',
  title: `everything, as built here and in ${checkout}`,
  with: features,
  without: features,
  build: () => join(resolve(checkout), 'dist'),
})

const allBut = (...names: string[]): Feature[] => features.filter(({ name }) => !names.includes(name))
/** They count by key, too: without keys that part of them does nothing, and would be taken for what keys cost. */
const byKey = features.filter((feature) => feature.countsByKey).map(({ name }) => name)

/** The first compares equals: what it shows is the noise that the others have to be read against. */
export const variants: readonly Variant[] = [
  { name: 'nothing', title: 'the same twice: the noise', with: features, without: features },
  ...features.map((feature) =>
    feature.name === 'keys'
      ? {
          name: feature.name,
          title: `${feature.title}; with and without: no ${byKey.join(', ')}, which count by key`,
          with: allBut(...byKey),
          without: allBut(feature.name, ...byKey),
        }
      : { name: feature.name, title: feature.title, with: features, without: allBut(feature.name) },
  ),
  {
    name: 'keys+limits+budgets',
    title: 'these three together; with and without: no alerts, which count by key',
    with: allBut('alerts'),
    without: allBut('alerts', 'keys', 'limits', 'budgets'),
  },
  {
    name: 'copy',
    title: 'the same twice, each of a build of its own: the noise of the next two',
    with: features,
    without: features,
    build: makeCopy,
  },
  {
    name: 'metrics',
    title: 'each request and each attempt is counted; without: a build that counts neither',
    with: features,
    without: features,
    build: makeUncounted,
  },
  {
    name: 'metrics+log',
    title: 'these two together',
    with: features,
    without: allBut('log'),
    build: makeUncounted,
  },
  ...extras.map((extra) => ({
    name: extra.name,
    title: extra.title,
    with: [...features, extra],
    without: features,
  })),
  { name: 'all', title: 'everything against bare', with: features, without: [] },
]
