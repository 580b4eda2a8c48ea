// Reads a V8 CPU profile and sums self time by function and by place.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

interface ProfileNode {
  id: number
  callFrame: { functionName: string; url: string; lineNumber: number }
}

interface CpuProfile {
  nodes: ProfileNode[]
  samples: number[]
  timeDeltas: number[]
}

export interface Share {
  name: string
  /** Microseconds. */
  self: number
}

export interface ProfileSums {
  functions: Share[]
  /** Files of ours, packages, node's own modules, and the engine. */
  places: Share[]
  /** All time in which something ran: idle left out. */
  micros: number
}

/** Sums of one `.cpuprofile`, largest first. Paths are shown relative to `root`. */
export const readCpuProfile = (file: string, root: string): ProfileSums => {
  const profile = JSON.parse(readFileSync(file, 'utf8')) as CpuProfile
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const functions = new Map<string, number>()
  const places = new Map<string, number>()
  let micros = 0
  profile.samples.forEach((id, i) => {
    const node = nodes.get(id)
    const delta = profile.timeDeltas[i] ?? 0
    if (!node || node.callFrame.functionName === '(idle)') return
    const place = placeOf(node, root)
    const name = `${node.callFrame.functionName || '(anonymous)'}  ${place}${place.startsWith('(') ? '' : `:${node.callFrame.lineNumber + 1}`}`
    micros += delta
    functions.set(name, (functions.get(name) ?? 0) + delta)
    places.set(place, (places.get(place) ?? 0) + delta)
  })
  return { functions: sort(functions), places: sort(places), micros }
}

const sort = (sums: Map<string, number>): Share[] =>
  [...sums].map(([name, self]) => ({ name, self })).sort((a, b) => b.self - a.self)

const placeOf = ({ callFrame: { url, functionName } }: ProfileNode, root: string): string => {
  if (url === '') return functionName.startsWith('(') ? functionName : '(native)'
  if (url.startsWith('node:')) return url
  const path = url.startsWith('file:') ? fileURLToPath(url) : url
  const inside = path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path
  return inside.replace(/^.*node_modules\//, '')
}
