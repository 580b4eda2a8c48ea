// The memory of a live configuration that has no database.
import type { Bypass, ConfigMemory, Overlay, Version } from '../../src/config/memory.ts'

/** Remembers as long as the test has it. */
export function forgetfulMemory(): ConfigMemory {
  const versions: Version[] = []
  let overlay: Overlay | undefined
  let bypass: Bypass | undefined
  return {
    newest: () => versions.at(-1),
    version: (number) => versions.find((version) => version.number === number),
    versions: (limit, before = Number.POSITIVE_INFINITY) =>
      versions
        .filter(({ number }) => number < before)
        .reverse()
        .slice(0, limit)
        .map(({ document: _, ...line }) => line),
    overlay: () => overlay,
    bypass: () => bypass,
    async save(version, next) {
      versions.push(version)
      if (versions.length > 100) versions.shift()
      overlay = next
    },
    async saveOverlay(next) {
      overlay = next
    },
    async saveBypass(next) {
      bypass = next
    },
  }
}
