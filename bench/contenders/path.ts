// Which way an answer of Turnout took, read from its headers: a work whose requests go another way than its title says measures something else.
import type { IncomingHttpHeaders } from 'node:http'
import type { Work } from '../work.ts'
import type { Feature } from './features.ts'

/** Headers that a reply has where a feature is on, and not where it is off. What else a feature does shows in the database: a test looks there. */
const headerOf: Readonly<Record<string, string>> = {
  limits: 'x-upstream-ratelimit-limit-requests',
  rollout: 'x-turnout-rollout',
  cache: 'x-turnout-cache',
  trace: 'x-turnout-trace',
}

/** A rollout has two sides, and each has an answer of its own in the cache: of three of the same request one is there in any case. */
export const answersToHit = 3

/**
 * What is not as it should be; undefined = all is.
 *
 * @param answers the headers of all answers of this work
 */
export const findDetour = (
  on: readonly Feature[],
  work: Pick<Work, 'lane' | 'hub'>,
  answers: readonly IncomingHttpHeaders[],
): string | undefined => {
  const isOn = (name: string) => on.some((feature) => feature.name === name)
  const lane = work.hub ? 'hub' : 'identity'
  const mayHit = work.lane === 'cached' && isOn('cache')
  for (const headers of answers) {
    const isHit = sayCache(headers).startsWith('hit')
    if (!isHit && headers['x-turnout-lane'] !== lane) return `the lane is ${headers['x-turnout-lane']}, not ${lane}`
    if (isHit && !mayHit) return 'it came from the cache'
    for (const [name, header] of Object.entries(headerOf)) {
      // A hit has nothing of an upstream, and no side of a rollout.
      if (isHit && (name === 'limits' || name === 'rollout')) continue
      if ((headers[header] !== undefined) !== isOn(name)) return `${header} is ${headers[header] ?? 'absent'}`
    }
  }
  if (mayHit && answers.length >= answersToHit && !answers.some((headers) => sayCache(headers).startsWith('hit')))
    return `none of ${answers.length} came from the cache (${answers.map(sayCache).join(', ')})`
  return undefined
}

const sayCache = (headers: IncomingHttpHeaders): string => String(headers['x-turnout-cache'] ?? 'no word of it')
