// Who may come in to the admin API: nobody without a key of enough role, whatever is asked.
import supertest from 'supertest'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ApiKey } from '../src/config/snapshot.ts'
import { createGatekeeper } from '../src/gateway/admit.ts'
import { isAdminPath } from '../src/http/admin/door.ts'
import { createAdmin } from '../src/http/admin/index.ts'
import { mayAct, type Role, roles } from '../src/http/admin/role.ts'
import { defineRoute } from '../src/http/admin/route.ts'
import { adminRoutes } from '../src/http/admin/table.ts'
import { get, post, send } from './support/exchange.ts'
import { startGateway, upstreamAt } from './support/gateway.ts'
import { adminKey, appKey, bearer, type LedgerGateway, startLedgerGateway } from './support/ledgerGateway.ts'

const wrongKey = 'sk-test-wrong-key-0123456789'

const gatekeeper = createGatekeeper({ insecure: false })
let books: LedgerGateway
beforeAll(async () => {
  // Many wrong keys come from here, and each has to get its own answer.
  books = await startLedgerGateway({ access: { failuresPerMinute: 0 } })
})
afterAll(() => books.close())

describe('C49 nobody comes in without a key of enough role', () => {
  const paths = adminRoutes.map(({ method, path }) => [method, path.replace(/:\w+/g, 'x')] as const)

  it.each([...paths, ['GET', ''], ['GET', '/nothing-here'], ['PUT', '/spend'], ['OPTIONS', '/spend']] as const)(
    'C49 %s /admin%s',
    async (method, path) => {
      for (const start of ['/admin', '/api/v1/admin']) {
        const ask = (headers: Record<string, string>) => send(method, books.url + start + path, undefined, headers).done
        for (const headers of [{}, bearer(wrongKey), bearer(''), bearer("' OR '1'='1"), { 'x-api-key': wrongKey }]) {
          const exchange = await ask(headers)
          expect(exchange.status).toBe(401)
          expect(JSON.parse(exchange.text).error.code).toBe('invalid_api_key')
          expect(exchange.headers['www-authenticate']).toBe('Bearer')
        }
        const app = await ask(bearer(appKey))
        expect(app.status).toBe(403)
        expect(JSON.parse(app.text).error.code).toBe('permission_denied')
        expect((await ask(bearer(adminKey))).status).not.toBe(401)
      }
    },
  )

  it('C61 without any key configured /admin is refused, from this machine too', async () => {
    const open = await startGateway({ providers: { p: upstreamAt(books.simulator.url) }, routes: { m: 'p/elsewhere' } })
    try {
      for (const headers of [{}, bearer(adminKey), bearer('')]) {
        const exchange = await get(`${open.url}/admin/spend`, headers)
        expect(exchange.status).toBe(401)
        expect(JSON.parse(exchange.text).error.message).toContain('TURNOUT_MASTER_KEY')
      }
      expect(
        (await post(`${open.url}/v1/chat/completions`, { model: 'm', messages: [{ role: 'user', content: 'Hello' }] }))
          .status,
      ).toBe(200)
    } finally {
      await open.close()
    }
  })

  it('gives pages of other origins nothing, whatever `corsOrigins` says', async () => {
    const exchange = await get(`${books.url}/admin/spend`, { ...bearer(adminKey), origin: 'https://evil.example' })
    expect(Object.keys(exchange.headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
  })

  it('every route needs a role, and each role may do what it needs and no more', async () => {
    for (const route of adminRoutes) expect(roles).toContain(route.role)
    const rows = roles.map((role) =>
      defineRoute({
        method: 'GET',
        path: `/as-${role}`,
        role,
        summary: `for ${role}`,
        answer: async () => ({ json: { role } }),
      }),
    )
    for (const held of roles) {
      const key = { name: 'k', role: held } as unknown as ApiKey
      const { snapshot } = books.gateway.turnout
      const digest = [...snapshot.keys].find(([, { role }]) => role === 'admin')![0]
      const admin = createAdmin(
        {
          snapshot: () => ({ ...snapshot, keys: new Map([[digest, key]]) }),
          ledger: undefined,
          gatekeeper,
          log: { error() {}, warn() {} } as never,
        },
        rows,
      )
      for (const needed of roles) {
        const reply = await supertest(admin).get(`/admin/as-${needed}`).set(bearer(adminKey))
        expect([held, needed, reply.status]).toEqual([held, needed, mayAct(held as Role, needed) ? 200 : 403])
      }
    }
    expect(roles.map((role) => mayAct('responder', role))).toEqual([true, true, false, false])
  })

  it('takes only whole path segments for its own', () => {
    expect(['/admin', '/admin/', '/admin/x', '/api/v1/admin/x'].map(isAdminPath)).toEqual([true, true, true, true])
    expect(['/adminx', '/v1/admin', '/api/v1/administrators', '/'].map(isAdminPath)).toEqual(Array(4).fill(false))
  })

  it('sends security headers with every answer, refusals included', async () => {
    for (const headers of [bearer(adminKey), {}]) {
      const exchange = await get(`${books.url}/admin/spend`, headers)
      expect(exchange.headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'content-type': 'application/json',
      })
      expect(exchange.headers['x-powered-by']).toBeUndefined()
      expect(exchange.headers.etag).toBeUndefined()
    }
  })
})
