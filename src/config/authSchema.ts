// The part of the schema that says which signed tokens of end users open the door.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.
import * as z from 'zod'
import { defaults } from './defaults.ts'
import { ownRules } from './limitSchema.ts'
import { block, duration, id, strict, text } from './schemaField.ts'

const base = defaults.clientJwt
const patterns = z.array(text(256)).max(256).optional()

const claims = strict({
  key: text(128).optional().describe('Claim with the name of the key that the token stands for.'),
  team: text(128).optional().describe("Claim with the team, in place of the key's own."),
  user: text(128).optional().describe('Claim with the end user. A token has to have it.').meta({ default: base.user }),
})

const standAlone = strict({
  name: id.optional().describe('Name in the ledger and the logs.').meta({ default: base.name }),
  team: id.optional().describe('Team that it belongs to.'),
  routes: patterns.describe('Names and patterns that may be asked for as `model`. All unless given.'),
  models: patterns.describe('`provider/model` names and patterns that may serve it. All unless given.'),
  ...ownRules,
})

/** The section of the document. */
export const auth = block({
  jwt: block({
    jwks: text().optional().describe("Where the issuer's keys are: an `https://` address, or a file."),
    secret: text(1024).optional().describe('Secret of HS256 tokens, at least 32 characters, best as `${NAME}`.'),
    publicKey: text(16_384).optional().describe('Public key in PEM, in place of the two.'),
    audience: text(255)
      .optional()
      .describe('What `aud` of a token has to be. Not that of `admin.jwt`.')
      .meta({ default: base.audience }),
    issuer: text(255).optional().describe('What `iss` of a token has to be. Not looked at unless given.'),
    clockTolerance: duration(base.clockTolerance).describe("By how much the issuer's clock may differ."),
    claims: claims.optional().describe('What is read of a token.'),
    defaultKey: id.optional().describe('Name of the key that tokens stand for which name none.'),
    standAlone: standAlone.optional().describe('The same as a key of their own, in place of `defaultKey`.'),
  })
    .optional()
    .describe('Signed tokens of end users. They need `exp`, `aud` and a user, and call models only.'),
})

export type AuthSettings = z.output<typeof auth>
