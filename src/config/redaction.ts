// Takes literal secrets out of a document before anyone reads it, and puts them back when it is written back.
import { createHmac } from 'node:crypto'
import type { Path } from './problem.ts'
import { scalarsOf } from './writtenDocument.ts'

export interface Redactor {
  /** The document with a mark in place of each literal secret; the same secret always has the same mark. Comments included. */
  redact(document: string): string
  /**
   * The document with each mark replaced by what it stood for in `known`; the known one itself, where it was changed in nothing.
   * @throws UnknownMark when none of them has such a secret
   */
  restore(document: string, known: readonly string[]): string
}

/** A document with a mark that stands for nothing here. */
export class UnknownMark extends Error {
  constructor(mark: string) {
    super(`${mark} stands for no secret of this configuration: write the secret itself, or \${NAME}.`)
    this.name = 'UnknownMark'
  }
}

/** What was served, what is served next, and the file that it stands beside. */
const maxRedacted = 3
const markPattern = /(["']?)(\[redacted:[0-9a-f]{12}\])\1/g
/** Nothing but variables, whose values are not in the document. A default would be. */
const onlyVariables = /^(?:\$\{[A-Za-z_]\w*(?::-)?\})+$/
const secretName = /key|token|secret|passw|auth|credential/i
/** Keys as vendors make them, wherever they stand. */
const vendorKey =
  /\b(?:sk|pk|rk|gsk|tk|xai|nvapi|hf|ghp|glpat|key|fw|r8|pplx)[-_][A-Za-z0-9_-]{12,}|\bAIza[A-Za-z0-9_-]{30,}|\beyJ[\w-]{10,}\.[\w-]+\.[\w-]+/g
/** What is written in comments nobody checks: long and mixed is enough. */
const longToken = /[A-Za-z0-9_+/=-]{32,}/g

/** @param pepper makes marks that tell nothing about a secret to who guesses; the same pepper makes the same marks */
export function createRedactor(pepper: Buffer | string): Redactor {
  const markOf = (secret: string): string =>
    `[redacted:${createHmac('sha256', pepper).update('mark\0').update(secret).digest('hex').slice(0, 12)}]`

  function secretsIn(document: string): Map<string, string> {
    const secrets = new Map<string, string>()
    for (const secret of literalSecrets(document)) secrets.set(markOf(secret), secret)
    return secrets
  }

  /** The last documents with what was made of them: whoever looks at the configuration looks at the same one again. */
  const redacted = new Map<string, string>()

  function redact(document: string): string {
    const known = redacted.get(document)
    if (known !== undefined) return known
    const made = redactAnew(document)
    if (redacted.size >= maxRedacted) redacted.delete(redacted.keys().next().value as string)
    redacted.set(document, made)
    return made
  }

  function redactAnew(document: string): string {
    const places = scalarsOf(document).filter(isSecret)
    // The same secret in a comment, or in a place where none belongs.
    const replaceKnown = replacerOf(
      places.map(({ value }) => value as string),
      markOf,
    )
    const parts: string[] = []
    let at = 0
    for (const { value, start, end } of places.sort((a, b) => a.start - b.start)) {
      // An anchor's scalar may be there more than once.
      if (start < at) continue
      parts.push(replaceKnown(document.slice(at, start)), `"${markOf(value as string)}"`)
      at = document[end - 1] === '\n' ? end - 1 : end
    }
    parts.push(replaceKnown(document.slice(at)))
    const text = parts.join('').replace(vendorKey, (token) => markOf(token))
    return text.replace(/(^|\s)#.*$/gm, (comment) => comment.replace(longToken, (t) => (isMixed(t) ? markOf(t) : t)))
  }

  return {
    redact,
    restore(document, known) {
      if (!document.includes('[redacted:')) return document
      // Marks stand in quotes, which what they stand for may not have had.
      const same = known.find((text) => redact(text) === document)
      if (same !== undefined) return same
      const secrets = new Map(known.flatMap((text) => [...secretsIn(text)]))
      return document.replace(markPattern, (_, quote: string, mark: string) => {
        const secret = secrets.get(mark)
        if (secret === undefined) throw new UnknownMark(mark)
        // A quoted mark stands for a whole value, a bare one for a part of a text.
        return quote === '' ? secret : JSON.stringify(secret)
      })
    },
  }
}

/** Shorter texts are words, which may stand anywhere. */
const shortestKnown = 8

/** Replaces each of many texts wherever it stands, the longest first, in one pass over the text. */
function replacerOf(known: readonly string[], by: (found: string) => string): (text: string) => string {
  const byStart = new Map<string, string[]>()
  for (const one of [...new Set(known)].sort((a, b) => b.length - a.length)) {
    if (one.length < shortestKnown) continue
    const start = one.slice(0, shortestKnown)
    const alike = byStart.get(start)
    if (alike) alike.push(one)
    else byStart.set(start, [one])
  }
  if (byStart.size === 0) return (text) => text
  return (text) => {
    let replaced = ''
    let done = 0
    for (let at = 0; at + shortestKnown <= text.length; at++) {
      const found = byStart.get(text.slice(at, at + shortestKnown))?.find((one) => text.startsWith(one, at))
      if (found === undefined) continue
      replaced += text.slice(done, at) + by(found)
      done = at + found.length
      at = done - 1
    }
    return done === 0 ? text : replaced + text.slice(done)
  }
}

/** Whether a value may not be shown: what is written at a place for secrets, unless it only names variables. */
function isSecret({ path, value }: { path: Path; value: unknown }): boolean {
  if (typeof value !== 'string' || value === '' || onlyVariables.test(value)) return false
  const [section, , field] = path
  const last = String(path.findLast((step) => typeof step === 'string') ?? '')
  if (section === 'keys') return field === 'key'
  if (section === 'metrics') return last === 'token'
  if (section === 'trace') return path.includes('headers') || (last === 'url' && carriesSecret(value))
  if (section === 'admin' || section === 'auth') return field === 'secret'
  // The address of a webhook is often a secret by itself.
  if (section === 'webhooks') return field === 'secret' || field === 'headers' || field === 'url'
  if (section === 'providers')
    return field === 'apiKey' || field === 'headers' || (field === 'proxy' && value.includes('@'))
  return (section === 'targets' && field === 'params' && secretName.test(last)) || /^api_?key$/i.test(last)
}

/** An address with a user and a password, or with a query, in which some collectors want their key. */
const carriesSecret = (url: string): boolean => /^[a-z]+:\/\/[^/?#]*@|\?/i.test(url)

function literalSecrets(document: string): string[] {
  const values = scalarsOf(document)
    .filter(isSecret)
    .map(({ value }) => value as string)
  const comments = [...document.matchAll(/(^|\s)#.*$/gm)].flatMap(([comment]) => comment.match(longToken) ?? [])
  return [...values, ...(document.match(vendorKey) ?? []), ...comments.filter(isMixed)]
}

const isMixed = (token: string): boolean => /\d/.test(token) && /[A-Za-z]/.test(token) && new Set(token).size >= 10
