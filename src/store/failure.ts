// Says what kind of trouble a SQLite error is for the ledger.
import { LedgerError } from './ledgerRow.ts'

/** Any error of a write as a `LedgerError`; never throws. */
export function classifyFailure(error: unknown): LedgerError {
  if (error instanceof LedgerError) return error
  const code = String((error as { code?: unknown }).code ?? '')
  const message = error instanceof Error ? error.message : String(error)
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new LedgerError('locked', 'The ledger database is locked by another program.', false, error)
  }
  // Nor is a row at fault when the driver says that of a connection: closed, or read from at the moment.
  if (error instanceof TypeError && message.includes('database connection'))
    return new LedgerError('io', `The ledger cannot be written: ${message}.`, false, error)
  // The driver refuses values that it cannot bind with plain JavaScript errors.
  if (error instanceof TypeError || error instanceof RangeError) {
    return new LedgerError('invalid', `The ledger refused a row: ${message}.`, false, error)
  }
  // A file-size limit and a quota look like an input/output error with their own number.
  if (code === 'SQLITE_FULL' || code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') {
    return new LedgerError('full', 'The disk of the ledger is full.', false, error)
  }
  if (code.startsWith('SQLITE_IOERR') || code.startsWith('SQLITE_') === false) {
    return new LedgerError('io', `The ledger cannot be written: ${message}.`, false, error)
  }
  if (code.startsWith('SQLITE_CONSTRAINT') || code === 'SQLITE_MISMATCH' || code === 'SQLITE_TOOBIG') {
    return new LedgerError('invalid', `The ledger refused a row: ${message}.`, false, error)
  }
  return new LedgerError('io', `The ledger cannot be written: ${message} (${code}).`, false, error)
}

/** The row is at fault, not the database: its neighbours can be written. */
export function isRowFault(failure: LedgerError): boolean {
  return failure.code === 'invalid'
}
