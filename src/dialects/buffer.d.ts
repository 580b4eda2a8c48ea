// Node's Buffer has these since its beginnings; its type package leaves them out. They skip the encoding lookup of `toString`.
declare global {
  interface Buffer {
    latin1Slice(start?: number, end?: number): string
  }
}

export {}
