// Calls that others may join: found as long as they run, by whoever can use their framing, and not a moment longer.
import { expect, it } from 'vitest'
import type { Target } from '../src/config/snapshot.ts'
import { Flight, Flights, type Tower } from '../src/gateway/cacheFlight.ts'
import type { Call } from '../src/gateway/call.ts'
import type { Framing } from '../src/state/cache/entry.ts'

const flightOf = (key: string, framing: Framing): Flight =>
  new Flight({} as Tower, key, framing, {} as Target, {} as Call, 1_000, 1_000, 0)

it('of a stream suit whoever wants one, with or without its usage', () => {
  const flights = new Flights()
  flights.add(flightOf('a', 'stream'))
  flights.add(flightOf('b', 'stream+usage'))
  expect([flights.find('a', 'stream+usage')?.key, flights.find('b', 'stream')?.key]).toEqual(['a', 'b'])
})

it('are found by key and framing until they are taken out, each by itself', () => {
  const flights = new Flights()
  const [whole, stream, other] = [flightOf('a', 'json'), flightOf('a', 'stream'), flightOf('b', 'json')]
  for (const flight of [whole, stream, other]) flights.add(flight)
  expect([flights.find('a', 'json'), flights.find('a', 'stream'), flights.find('b', 'stream')]).toEqual([
    whole,
    stream,
    undefined,
  ])
  expect(flights.find('a', 'json', (flight) => flight !== whole)).toBe(stream)
  flights.remove(whole)
  flights.remove(whole)
  expect([flights.find('a', 'json'), flights.find('b', 'json')]).toEqual([stream, other])
  flights.remove(stream)
  flights.remove(flightOf('b', 'json'))
  expect([flights.find('a', 'json'), flights.find('a', 'stream'), flights.find('b', 'json')]).toEqual([
    undefined,
    undefined,
    other,
  ])
})
