// The ledger's journal: a file that rows are appended to before SQLite takes them, so that no death of the process loses one.
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { crc32 } from 'node:zlib'
import type { Entry } from './batch.ts'
import type { JournalPlace } from './journalPlace.ts'
import { nameOf, nameOfFile } from './sameFile.ts'

export interface Journal {
  /** Behind the last record. */
  readonly place: JournalPlace
  /** Appends the entries as one record: with its return they survive the death of the process. Throws what `fs` throws; then it holds none of them. */
  append(entries: readonly Entry[]): void
  /** Forgets all records. Only when the database has them. */
  restart(): void
  /** Whether it is still the file of its name: else no start finds what is appended. */
  isThere(): boolean
  /** Begins a new file of that name, in the next epoch, without any record. Another that stands there is kept. Throws what `fs` throws. */
  renew(): void
  /** `remove`: the database has all records. */
  close(remove: boolean): void
}

/** Beside the database; not to be confused with SQLite's own `-journal`, which write-ahead logging does without. */
export const journalFile = (database: string): string => `${database}.journal`

/*
 * Layout, all numbers little-endian: a header of 16 bytes (4 of magic, 4 of CRC-32 over the rest, the epoch as a double), then
 * records: 4 bytes of length, 4 of CRC-32 over the text, begun with the epoch, and the entries as one JSON array. A record that was cut
 * short by a death fails its sum, and nobody was told that it was kept.
 */
const magic = 0x4c4a_5254
const headerSize = 16
const recordHead = 8

/** Opens the journal for appending, empty, in an epoch after `last`. Whatever it held must be in the database already. */
export function openJournal(file: string, last: number): Journal {
  let fd = openSync(file, 'w', 0o600)
  let epoch = last
  let offset = 0
  const write = (bytes: Buffer, at: number): void => {
    // A short write is followed by the error that explains it, a full disk say.
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, at + done)
  }
  function restart(): void {
    write(makeHeader(epoch + 1), 0)
    epoch++
    offset = headerSize
    try {
      ftruncateSync(fd, headerSize)
    } catch {
      // Records of another epoch fail their sums: they only take room.
    }
  }
  const isSame = (): boolean => nameOf(fstatSync(fd, { bigint: true })) === nameOfFile(file)
  // Some file systems, of networks and of layers, number an open file otherwise than its name: there it is believed to be there.
  const isTold = isSame()
  const isThere = (): boolean => !isTold || isSame()
  function renew(): void {
    if (existsSync(file)) renameSync(file, `${file}.found-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`)
    const before = fd
    fd = openSync(file, 'wx', 0o600)
    try {
      restart()
    } catch (error) {
      closeSync(fd)
      fd = before
      rmSync(file, { force: true })
      throw error
    }
    closeSync(before)
  }
  try {
    restart()
  } catch (error) {
    closeSync(fd)
    throw error
  }
  return {
    get place() {
      return { epoch, offset }
    },
    append(entries) {
      const record = makeRecord(entries, epoch)
      // At a place of its own: what a failed write left behind is written over.
      write(record, offset)
      offset += record.length
    },
    restart,
    isThere,
    renew,
    close(remove) {
      // One that another gateway has begun in its place is that one's.
      const isOwn = isThere()
      closeSync(fd)
      if (!remove || !isOwn) return
      try {
        rmSync(file, { force: true })
      } catch {
        // In a folder that may not be written any more it stays: nothing in it is taken twice.
      }
    },
  }
}

/** What could not be read of a journal although it was written whole. */
export interface Damage {
  bytes: number
}

/**
 * The records behind `from`, oldest first, each with the place behind it. Empty when there is no journal, or one that was taken already.
 * A bad byte costs the record that it is in, and none of those behind it; `damage` counts what was passed over. What a death cut short
 * is no damage.
 */
export function* readJournal(
  file: string,
  from: JournalPlace,
  damage: Damage = { bytes: 0 },
): Generator<{ entries: Entry[]; place: JournalPlace }> {
  if (!existsSync(file)) return
  const bytes = readFileSync(file)
  const said = readHeader(bytes)
  if (said === undefined && bytes.length > headerSize) damage.bytes += headerSize
  // The header counts for nothing: the records know their epoch, which is the one that the database has seen last, or the next.
  const epoch = said ?? [from.epoch, from.epoch + 1].find((one) => findRecord(bytes, headerSize, one) !== undefined)
  if (epoch === undefined || epoch < from.epoch) return
  let offset = epoch === from.epoch ? Math.max(from.offset, headerSize) : headerSize
  while (offset < bytes.length) {
    const at = findRecord(bytes, offset, epoch)
    if (at === undefined) {
      if (isWhole(bytes, offset) && !isOlder(bytes, offset, epoch)) damage.bytes += bytes.length - offset
      return
    }
    damage.bytes += at - offset
    offset = endOf(bytes, at)
    const text = bytes.subarray(at + recordHead, offset)
    yield { entries: JSON.parse(text.toString()) as Entry[], place: { epoch, offset } }
  }
}

const endOf = (bytes: Buffer, at: number): number => at + recordHead + bytes.readUInt32LE(at)

/** A record of that length may stand there. All are JSON arrays, and text read as a length is far too much. */
const isWhole = (bytes: Buffer, at: number): boolean =>
  at + recordHead < bytes.length && bytes[at + recordHead] === 0x5b && endOf(bytes, at) <= bytes.length

const isRecord = (bytes: Buffer, at: number, epoch: number): boolean =>
  isWhole(bytes, at) && crc32(bytes.subarray(at + recordHead, endOf(bytes, at)), epoch) === bytes.readUInt32LE(at + 4)

/** The first sound record at or behind a place. */
function findRecord(bytes: Buffer, from: number, epoch: number): number | undefined {
  for (let at = from; at + recordHead < bytes.length; at++) if (isRecord(bytes, at, epoch)) return at
  return undefined
}

/** Left over from before the journal was begun anew, where the file could not be cut: it was taken long ago. */
function isOlder(bytes: Buffer, at: number, epoch: number): boolean {
  for (let one = epoch - 1; one > 0 && one >= epoch - 8; one--) if (isRecord(bytes, at, one)) return true
  return false
}

/** Whether a journal holds anything at all; cheap. */
export function hasRecords(file: string): boolean {
  let fd: number
  try {
    fd = openSync(file, 'r')
  } catch {
    return false
  }
  try {
    return fstatSync(fd).size > headerSize
  } finally {
    closeSync(fd)
  }
}

function makeHeader(epoch: number): Buffer {
  const header = Buffer.alloc(headerSize)
  header.writeUInt32LE(magic, 0)
  header.writeDoubleLE(epoch, 8)
  header.writeUInt32LE(crc32(header.subarray(8)), 4)
  return header
}

/** The epoch; undefined for what is no journal. */
function readHeader(bytes: Buffer): number | undefined {
  if (bytes.length < headerSize || bytes.readUInt32LE(0) !== magic) return undefined
  return crc32(bytes.subarray(8, headerSize)) === bytes.readUInt32LE(4) ? bytes.readDoubleLE(8) : undefined
}

function makeRecord(entries: readonly Entry[], epoch: number): Buffer {
  const text = JSON.stringify(entries)
  // Three bytes of UTF-8 for a unit of UTF-16 at most.
  const record = Buffer.allocUnsafe(recordHead + text.length * 3)
  const length = record.write(text, recordHead)
  const whole = record.subarray(0, recordHead + length)
  whole.writeUInt32LE(length, 0)
  whole.writeUInt32LE(crc32(whole.subarray(recordHead), epoch), 4)
  return whole
}
