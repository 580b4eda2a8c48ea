// What tells Gemini's generations apart: names that nobody knows are of the newest one.

export interface Family {
  /** Calls without the signature of the thought that led to them are refused. */
  needsSignatures: boolean
  givesCallIds: boolean
  /** Takes an enforced JSON answer beside functions. */
  mixes: boolean
}

/** The generation of a model by its name. */
export function familyOf(model: string): Family {
  const isOld = /gemini-[12]|gemma/.test(model)
  return { needsSignatures: !isOld, givesCallIds: !isOld, mixes: !isOld }
}
