// What the live configuration wants remembered, as a small interface: the store keeps it in SQLite.

/** Who did it: the name of a key, and its role. */
export interface Actor {
  readonly name: string
  readonly role: string
}

/** Why there is a new version. */
export type VersionSource = 'start' | 'file' | 'environment' | 'write' | 'primary' | 'rollback'

export interface VersionLine {
  readonly number: number
  /** Unix milliseconds. */
  readonly at: number
  /** Of the document: SHA-256, first 12 hex digits. */
  readonly hash: string
  readonly source: VersionSource
  readonly actor: string
  /** What was done, in a few words. */
  readonly note: string
}

export interface Version extends VersionLine {
  /** Before variables are replaced. May hold secrets: redact it before it is shown. */
  readonly document: string
}

/** Admin writes: they hold as long as the file is the one that they were made on. */
export interface Overlay {
  /** SHA-256 of the file's text, all of it. */
  readonly baseHash: string
  /** In place of the file; undefined where only primaries were set. */
  readonly document: string | undefined
  /** First target by route. */
  readonly primaries: Readonly<Record<string, string>>
  /** Paths in which it differs from the file. */
  readonly changes: readonly string[]
}

export interface Bypass {
  readonly reason: string
  readonly actor: string
  readonly at: number
}

/** Writes reject and reads throw on trouble; a write that rejects has changed nothing. */
export interface ConfigMemory {
  newest(): Version | undefined
  version(number: number): Version | undefined
  /** Newest first, those below `before`. */
  versions(limit: number, before?: number): VersionLine[]
  overlay(): Overlay | undefined
  bypass(): Bypass | undefined
  /** Both or none. */
  save(version: Version, overlay: Overlay | undefined): Promise<void>
  saveOverlay(overlay: Overlay | undefined): Promise<void>
  saveBypass(bypass: Bypass | undefined): Promise<void>
}
